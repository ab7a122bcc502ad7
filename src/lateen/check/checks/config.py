"""Secrets and configuration: credentials in clear, references to what is not there, changes that reach no pod."""

from __future__ import annotations

import base64
import binascii
import math
import re
import warnings
from collections import Counter, defaultdict
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

from lateen.check.finding import Hit, Severity
from lateen.check.manifest import Manifest, Path, mapping, maps
from lateen.check.nearby import nearest
from lateen.check.practice import on
from lateen.check.registry import check
from lateen.check.workload import Workload
from lateen.check.world import World

INFO, WARNING, ERROR = Severity.INFO, Severity.WARNING, Severity.ERROR
_SECRET_NAME = re.compile(
    r"(^|[_.\-])(pass(wd|word|phrase)?|pwd|secret|token|api_?key|access_?key|private_?key|credentials?|auth_?key|client_?secret|"
    r"encryption_?key|signing_?key)([_.\-]|$)",
    re.IGNORECASE,
)
_NOT_SECRET = re.compile(
    r"(_|-|\.|^)(file|path|name|dir|url|uri|host|port|ttl|expiry|expiration|enabled|type|length|size|policy|issuer|audience|namespace|"
    r"id|count|limit|timeout|algorithm|header|mode|store|ref|key_name|field|prefix|mount|rotation|min|max)s?$",
    re.IGNORECASE,
)
_VALUES = (
    ("an AWS access key", re.compile(r"\b(AKIA|ASIA)[0-9A-Z]{16}\b")),
    ("a private key", re.compile(r"-----BEGIN ([A-Z]+ )*PRIVATE KEY-----")),
    ("a GitHub token", re.compile(r"\bgh[pousr]_[A-Za-z0-9]{30,}\b|\bgithub_pat_\w{22,}")),
    ("a GitLab token", re.compile(r"\bglpat-[\w-]{20,}")),
    ("a Slack token", re.compile(r"\bxox[abprs]-[\w-]{10,}")),
    ("a Google API key", re.compile(r"\bAIza[\w-]{35}\b")),
    ("a Stripe key", re.compile(r"\b[rs]k_live_\w{16,}")),
    ("a JSON web token", re.compile(r"\beyJ[\w-]{10,}\.eyJ[\w-]{10,}\.[\w-]{10,}")),
    ("a password in a URL", re.compile(r"\b[a-z][a-z0-9+.\-]*://[^\s:/@$({]*:(?!\$)[^\s:/@$({]{2,}@")),
    ("a password in a connection string", re.compile(r"(?i)(?<![a-z])(password|pwd)=(?![\s;$({<%])[^\s;&]{3,}")),
)
_HARMLESS = re.compile(
    r"^(true|false|yes|no|none|null|nil|\d{1,5}|\$\(.*\)|\$\{.*\}|<.*>|\{\{.*\}\}|/[\w./-]+|disabled|enabled|)$", re.IGNORECASE
)


def credential(name: str, value: str) -> str:
    """What kind of credential a setting holds; empty when it looks like none."""
    for what, form in _VALUES:
        if form.search(value):
            return what
    short = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name)
    if _SECRET_NAME.search(short) and not _NOT_SECRET.search(short) and not _HARMLESS.match(value.strip()):
        return "a credential"
    return ""


@check(
    "LT-CFG-054",
    "Secret read from the environment",
    INFO,
    why="Environment variables leak into logs, crash reports and child processes, and do not change when the Secret does.",
    fix="mount the Secret as a file",
)
def secret_in_env(world: World) -> Iterator[Hit]:
    for c in world.containers:
        for i, e in enumerate(c.env):
            if mapping(e.get("valueFrom")).get("secretKeyRef"):
                yield on(c, "env", i, say=f"reads a Secret into the variable {e.get('name')}")


@check(
    "LT-CFG-055",
    "credential in clear in the environment",
    ERROR,
    why="Whoever reads the manifest, the repository or the pod has the credential, for as long as the history lives.",
    fix="put it into a Secret (an ExternalSecret or SealedSecret in Git) and use secretKeyRef; replace the credential",
)
def literal_credential(world: World) -> Iterator[Hit]:
    for c in world.containers:
        for i, e in enumerate(c.env):
            value = e.get("value")
            if isinstance(value, str) and (what := credential(str(e.get("name")), value)):
                yield on(c, "env", i, "value", say=f"has {what} in clear in {e.get('name')}")
        for key, i, word in c.arguments():
            if what := _in_word(word):
                yield on(c, key, i, say=f"has {what} in clear in its command line")


def _in_word(word: str) -> str:
    name, equals, value = word.lstrip("-").partition("=")
    if equals and " " not in word and re.fullmatch(r"[\w.-]+", name):
        return credential(name, value)
    return next((what for what, form in _VALUES if form.search(word)), "")


@check(
    "LT-CFG-056",
    "credential in a ConfigMap",
    ERROR,
    why="ConfigMaps are readable by most roles, are not encrypted at rest, and are shown by every tool.",
    fix="move it into a Secret; replace the credential",
)
def credential_in_config(world: World) -> Iterator[Hit]:
    for m in world.kind("ConfigMap"):
        for key, value in mapping(m.data.get("data")).items():
            text = str(value)
            what = credential(key, text) if "\n" not in text else _in_lines(text)
            if what:
                yield Hit(m, ("data", key), f"the key {key} holds {what}")


def _in_lines(text: str) -> str:
    """A credential in a configuration file."""
    for line in text.splitlines():
        found = re.match(r"""\s*['"]?([\w.-]+)['"]?\s*[:=]\s*['"]?([^'"\s#]+)""", line)
        if found and (what := credential(found.group(1), found.group(2))):
            return what
    return next((what for what, form in _VALUES if form.search(text)), "")


def references(w: Workload) -> Iterator[tuple[str, str, bool, Path]]:
    """(kind, name, optional, path) of every ConfigMap and Secret that the pods need."""
    for c in w.containers:
        for i, e in enumerate(c.env):
            source = mapping(e.get("valueFrom"))
            for key, kind in (("configMapKeyRef", "ConfigMap"), ("secretKeyRef", "Secret")):
                if ref := mapping(source.get(key)):
                    yield kind, str(ref.get("name")), ref.get("optional") is True, (*c.path, "env", i, "valueFrom", key, "name")
        for i, e in enumerate(maps(c.data.get("envFrom"))):
            for key, kind in (("configMapRef", "ConfigMap"), ("secretRef", "Secret")):
                if ref := mapping(e.get(key)):
                    yield kind, str(ref.get("name")), ref.get("optional") is True, (*c.path, "envFrom", i, key, "name")
    for i, v in enumerate(w.volumes):
        yield from _volume_references(w, i, v)


def _volume_references(w: Workload, i: int, volume: dict[str, Any]) -> Iterator[tuple[str, str, bool, Path]]:
    at = w.path("volumes", i)
    if ref := mapping(volume.get("configMap")):
        yield "ConfigMap", str(ref.get("name")), ref.get("optional") is True, (*at, "configMap", "name")
    if ref := mapping(volume.get("secret")):
        yield "Secret", str(ref.get("secretName")), ref.get("optional") is True, (*at, "secret", "secretName")
    for j, source in enumerate(maps(mapping(volume.get("projected")).get("sources"))):
        for key, kind in (("configMap", "ConfigMap"), ("secret", "Secret")):
            if ref := mapping(source.get(key)):
                yield kind, str(ref.get("name")), ref.get("optional") is True, (*at, "projected", "sources", j, key, "name")


_MAKERS = ("ExternalSecret", "SealedSecret", "Certificate", "SecretProviderClass", "VaultStaticSecret")


def _known(world: World, kind: str, namespace: str) -> set[str]:
    names = set(world.names(kind, namespace))
    if kind == "Secret":
        for m in world.kind(*_MAKERS):
            names |= {m.name, str(m.at("spec", "target", "name")), str(m.at("spec", "secretName"))}
    if kind == "ConfigMap":
        names.add("kube-root-ca.crt")
    return names


@check(
    "LT-CFG-057",
    "ConfigMap or Secret does not exist",
    ERROR,
    why="Pods that reference what is not there do not start.",
    fix="correct the name, add the object, or mark the reference optional",
)
def missing_reference(world: World) -> Iterator[Hit]:
    known: dict[tuple[str, str], set[str]] = {}
    for w in world.workloads:
        for kind, name, optional, path in references(w):
            names = known.setdefault((kind, w.namespace), _known(world, kind, w.namespace))
            if optional or name in names:
                continue
            hint = nearest(name, names)
            elsewhere = kind == "Secret" and not world.has("Secret", *_MAKERS)  # Secrets are rightly kept out of repositories
            severity = ERROR if hint else INFO if elsewhere else WARNING
            yield Hit(w.manifest, path, f"the {kind} {name} is not among the manifests{hint}", severity)


@check(
    "LT-CFG-216",
    "key does not exist",
    ERROR,
    why="A container whose variable names a key that is not there does not start.",
    fix="correct the key, add it, or mark the reference optional",
)
def missing_key(world: World) -> Iterator[Hit]:
    for c in world.containers:
        for i, e in enumerate(c.env):
            for key, kind in (("configMapKeyRef", "ConfigMap"), ("secretKeyRef", "Secret")):
                ref = mapping(mapping(e.get("valueFrom")).get(key))
                target = world.get(kind, c.workload.namespace, str(ref.get("name"))) if ref else None
                if target is None or ref.get("optional") is True:
                    continue
                keys = [k for part in ("data", "stringData", "binaryData") for k in mapping(target.data.get(part))]
                if str(ref.get("key")) not in keys:
                    hint = nearest(str(ref.get("key")), keys)
                    say = f"needs the key {ref.get('key')}, which {kind} {target.name} does not have{hint}"
                    yield on(c, "env", i, "valueFrom", key, "key", say=say)


@check(
    "LT-CFG-058",
    "long-lived ServiceAccount token",
    WARNING,
    why="A token Secret never expires and is not bound to a pod: a leak of it lasts.",
    fix="remove it; use the projected token, or kubectl create token",
)
def token_secret(world: World) -> Iterator[Hit]:
    for m in world.kind("Secret"):
        if m.data.get("type") == "kubernetes.io/service-account-token":
            yield Hit(m, ("type",), "the Secret is a ServiceAccount token that does not expire")


@check(
    "LT-CFG-059",
    "Secret in clear in the manifests",
    WARNING,
    why="base64 is no encryption: a Secret in a repository is known to all who can read it, for ever.",
    fix="use an ExternalSecret, a SealedSecret or SOPS; replace the values",
)
def secret_in_clear(world: World) -> Iterator[Hit]:
    if world.live:
        return
    for m in world.kind("Secret"):
        if m.data.get("sops") or m.data.get("type") == "kubernetes.io/service-account-token":
            continue
        for part in ("stringData", "data"):
            for key, value in mapping(m.data.get(part)).items():
                text = _decoded(str(value)) if part == "data" else str(value)
                if text and not _HARMLESS.match(text.strip()):
                    yield Hit(m, (part, key), f"the value of {key} is in the manifest")
                    break


def _decoded(value: str) -> str:
    try:
        return base64.b64decode(value, validate=True).decode("latin-1")
    except (binascii.Error, ValueError):
        return value


@check(
    "LT-CFG-060",
    "certificate expires soon",
    ERROR,
    why="An expired certificate stops every client at once.",
    fix="renew it, better: let cert-manager keep it",
    needs="time",
)
def certificate_expiry(world: World) -> Iterator[Hit]:
    from cryptography import x509

    for m in world.kind("Secret"):
        for part in ("data", "stringData"):
            value = mapping(m.data.get(part)).get("tls.crt")
            pem = _decoded(str(value)) if part == "data" else str(value)
            if not value or "BEGIN CERTIFICATE" not in pem or world.now is None:
                continue
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")  # an odd serial number is not what is asked here
                    end = x509.load_pem_x509_certificate(pem.encode()).not_valid_after_utc
            except ValueError:
                yield Hit(m, (part, "tls.crt"), "tls.crt is no certificate")
                continue
            if end - world.now < timedelta(days=world.settings.certificate_days):
                late = end < world.now
                say = f"the certificate {'expired' if late else 'expires'} on {end.date()}"
                yield Hit(m, (part, "tls.crt"), say, ERROR if late else WARNING)


@check(
    "LT-CFG-061",
    "change of configuration does not reach the pods",
    INFO,
    why="Variables are read at start: after a change of the ConfigMap some pods run with the old values, some with the new.",
    fix="put a hash into the ConfigMap's name or into an annotation of the template (kustomize, Helm checksum, lateen do)",
)
def config_change(world: World) -> Iterator[Hit]:
    hashed = re.compile(r"-[0-9a-z]{8,10}$")
    for w in world.serving:
        if any("checksum" in k or "hash" in k or "reloader" in k for k in (*w.annotations, *w.manifest.annotations)):
            continue
        for kind, name, _, path in references(w):
            if kind == "ConfigMap" and ("env" in path or "envFrom" in path) and not hashed.search(name):
                yield Hit(w.manifest, path, f"a change of {kind} {name} does not start new pods")
                break


def _entropy(text: str) -> float:
    counts = Counter(text)
    return -sum(n / len(text) * math.log2(n / len(text)) for n in counts.values())


@check(
    "LT-CFG-217",
    "random-looking value in the environment",
    INFO,
    why="Long random text in a manifest is often a key under a name nobody thought of.",
    fix="if it is a credential, put it into a Secret and replace it",
)
def random_value(world: World) -> Iterator[Hit]:
    for c in world.containers:
        for i, e in enumerate(c.env):
            value = e.get("value")
            if (
                not isinstance(value, str)
                or not re.fullmatch(r"[A-Za-z0-9+/_=-]{24,}", value)
                or credential(str(e.get("name")), value)
            ):
                continue
            if _entropy(value) > 4.2 and re.search(r"\d", value) and not value.startswith("sha256"):
                yield on(c, "env", i, "value", say=f"has a random-looking value in {e.get('name')}")


@check(
    "LT-CFG-218",
    "configuration that nobody uses",
    INFO,
    why="What nobody reads is kept, copied and trusted; often it is a reference with a wrong name.",
    fix="remove it, or correct the reference",
)
def unused_config(world: World) -> Iterator[Hit]:
    used = defaultdict(set)
    for w in world.workloads:
        for kind, name, *_ in references(w):
            used[kind, w.namespace].add(name)
    for m in world.kind("ConfigMap"):
        if m.name not in used["ConfigMap", world.namespace(m)] and world.in_namespace(world.namespace(m)) and _unused(m):
            yield Hit(m, ("metadata", "name"), f"no workload uses the ConfigMap {m.name}")


def _unused(m: Manifest) -> bool:
    return not any(k.startswith(("grafana_dashboard", "prometheus", "app.kubernetes.io/config")) for k in m.labels)
