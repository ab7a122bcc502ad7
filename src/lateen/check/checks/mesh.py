"""TLS between services, and the rules of a mesh (Istio, Linkerd)."""

from __future__ import annotations

import re
from collections.abc import Iterator

from lateen.check.finding import Hit, Severity
from lateen.check.manifest import Manifest, dig, mapping, maps
from lateen.check.practice import on
from lateen.check.registry import check
from lateen.check.world import World

INFO, WARNING, ERROR = Severity.INFO, Severity.WARNING, Severity.ERROR


def meshed(world: World) -> list[Manifest]:
    """The namespaces whose pods are in a mesh by their labels or annotations."""
    return [
        m
        for m in world.kind("Namespace")
        if m.labels.get("istio-injection") == "enabled"
        or m.labels.get("istio.io/rev")
        or m.labels.get("istio.io/dataplane-mode") == "ambient"
        or m.annotations.get("linkerd.io/inject") == "enabled"
    ]


def _istio(world: World) -> list[Manifest]:
    return [m for m in meshed(world) if not m.annotations.get("linkerd.io/inject")]


@check(
    "LT-NET-070",
    "mTLS is not strict",
    ERROR,
    why="With PERMISSIVE or DISABLE a client without a certificate is served: identity proves nothing.",
    fix="set a PeerAuthentication with mtls.mode: STRICT for the namespace or the mesh",
)
def strict_mtls(world: World) -> Iterator[Hit]:
    found = [m for m in world.kind("PeerAuthentication") if "istio" in m.group]
    for m in found:
        mode = m.at("spec", "mtls", "mode")
        if mode in ("PERMISSIVE", "DISABLE"):
            yield Hit(m, ("spec", "mtls", "mode"), f"mTLS is {mode}", ERROR if mode == "DISABLE" else WARNING)
        for port, value in mapping(m.spec.get("portLevelMtls")).items():
            if mapping(value).get("mode") in ("PERMISSIVE", "DISABLE"):
                yield Hit(m, ("spec", "portLevelMtls", port, "mode"), f"mTLS of port {port} is {value['mode']}", WARNING)
    yield from _unauthenticated(world)
    strict = {m.namespace for m in found if m.at("spec", "mtls", "mode") == "STRICT" and not m.spec.get("selector")}
    for m in _istio(world):
        if m.name not in strict and not strict & {"istio-system", ""} and m.name not in {f.namespace for f in found}:
            yield Hit(m, ("metadata", "labels"), f"the namespace {m.name} is in the mesh, and nothing makes mTLS strict", WARNING)


_INBOUND = "config.linkerd.io/default-inbound-policy"


def _unauthenticated(world: World) -> Iterator[Hit]:
    """The same of Linkerd and Consul."""
    for m in world.kind("Namespace"):
        if m.annotations.get(_INBOUND) == "all-unauthenticated":
            yield Hit(
                m, ("metadata", "annotations", _INBOUND), "clients without an identity are served (all-unauthenticated)", WARNING
            )
    for w in world.workloads:
        if w.annotations.get(_INBOUND) == "all-unauthenticated":
            yield Hit(
                w.manifest, w.meta("annotations", _INBOUND), "clients without an identity are served (all-unauthenticated)", WARNING
            )
    for m in world.kind("Mesh", "ServiceDefaults", "ProxyDefaults"):
        if m.spec.get("mutualTLSMode") == "permissive" or m.spec.get("allowEnablingPermissiveMutualTLS") is True:
            key = "mutualTLSMode" if "mutualTLSMode" in m.spec else "allowEnablingPermissiveMutualTLS"
            yield Hit(m, ("spec", key), "mTLS is permissive", WARNING)


@check(
    "LT-NET-071",
    "pod outside the mesh",
    WARNING,
    why="A pod without the proxy has no identity, no encryption and no figures, while its neighbours rely on them.",
    fix="remove the annotation, or say why in a waiver",
)
def no_injection(world: World) -> Iterator[Hit]:
    for w in world.workloads:
        for where, values in ((w.meta("annotations"), w.annotations), (w.meta("labels"), w.labels)):
            for key, off in (
                ("sidecar.istio.io/inject", "false"),
                ("linkerd.io/inject", "disabled"),
                ("istio.io/dataplane-mode", "none"),
            ):
                if values.get(key, "").lower() == off and w.serves:
                    yield Hit(w.manifest, (*where, key), f"the pods are kept out of the mesh ({key})")


@check(
    "LT-NET-072",
    "mesh without authorization",
    WARNING,
    why="Encryption says who calls, not who may: every service of the mesh can call every other.",
    fix="add an AuthorizationPolicy that denies by default, and one per caller",
)
def no_authorization(world: World) -> Iterator[Hit]:
    kinds = ("AuthorizationPolicy", "ServerAuthorization", "HTTPRoutePolicy")
    covered = {m.namespace for m in world.kind(*kinds)}
    for m in meshed(world):
        if m.name not in covered and not covered & {"istio-system", ""} and world.in_namespace(m.name):
            yield Hit(m, ("metadata", "name"), f"the namespace {m.name} is in the mesh and has no AuthorizationPolicy")


@check(
    "LT-NET-220",
    "authorization lets everybody call",
    WARNING,
    why="An ALLOW rule without a source allows every caller, also those without an identity.",
    fix="name the callers in rules[].from[].source.principals",
)
def open_authorization(world: World) -> Iterator[Hit]:
    for m in world.kind("ServiceIntentions"):
        for i, source in enumerate(maps(m.spec.get("sources"))):
            if source.get("name") == "*" and source.get("action") == "allow":
                yield Hit(m, ("spec", "sources", i), "the intention allows every caller")
    for m in world.kind("AuthorizationPolicy"):
        if "istio" not in m.group or m.spec.get("action", "ALLOW") != "ALLOW":
            continue
        for i, rule in enumerate(m.spec.get("rules") or ()):
            sources = [mapping(f.get("source")) for f in maps(mapping(rule).get("from"))]
            anybody = any("*" in (s.get("principals") or ()) or "*" in (s.get("namespaces") or ()) for s in sources)
            if not rule or (anybody and not rule.get("to") and not rule.get("when")):
                yield Hit(m, ("spec", "rules", i), "the rule allows every caller")


@check(
    "LT-NET-221",
    "authorization or mTLS rule selects no pod",
    WARNING,
    why="It protects nothing, and who reads it believes that it does.",
    fix="correct spec.selector.matchLabels to the labels of the pods",
)
def idle_rule(world: World) -> Iterator[Hit]:
    for m in world.kind("AuthorizationPolicy", "PeerAuthentication", "RequestAuthentication", "Sidecar", "Server"):
        wanted = dig(m.data, "spec", "selector") or dig(m.data, "spec", "podSelector") or dig(m.data, "spec", "workloadSelector")
        labels = mapping(mapping(wanted).get("matchLabels") or mapping(wanted).get("labels"))
        namespace = world.namespace(m)
        if labels and world.in_namespace(namespace) and not world.labelled(namespace, labels):
            yield Hit(m, ("spec", "selector"), "the rule selects no pod")


_UNVERIFIED_ENV = {
    "NODE_TLS_REJECT_UNAUTHORIZED": ("0",),
    "PYTHONHTTPSVERIFY": ("0",),
    "GIT_SSL_NO_VERIFY": ("1", "true"),
    "SSL_VERIFY": ("false", "0"),
    "VERIFY_SSL": ("false", "0"),
    "TLS_VERIFY": ("false", "0"),
}
_UNVERIFIED_WORD = re.compile(
    r"--insecure-skip-tls-verify(=true)?$|--insecure-skip-verify(=true)?$|--tls-skip-verify$|--no-check-certificate$|"
    r"--kubelet-insecure-tls(=true)?$"
)


@check(
    "LT-NET-073",
    "TLS is not verified",
    ERROR,
    why="Encryption without verification protects from nobody who sits in between.",
    fix="trust the right authority instead of none",
)
def unverified(world: World) -> Iterator[Hit]:
    for m in world.kind("DestinationRule"):
        for path in (("spec", "trafficPolicy", "tls"), *_subset_policies(m)):
            tls = mapping(m.at(*path))
            if tls.get("mode") == "DISABLE":
                yield Hit(m, (*path, "mode"), "TLS to the service is off")
            elif tls.get("insecureSkipVerify") is True:
                yield Hit(m, (*path, "insecureSkipVerify"), "the server's certificate is not verified")
    for c in world.containers:
        for i, e in enumerate(c.env):
            name, value = str(e.get("name")).upper(), str(e.get("value", ""))
            skip = name.endswith(("INSECURE_SKIP_VERIFY", "SKIP_TLS_VERIFY", "TLS_INSECURE")) and value.lower() in (
                "1",
                "true",
                "yes",
            )
            if skip or value.lower() in _UNVERIFIED_ENV.get(name, ()):
                yield on(c, "env", i, "value", say=f"does not verify TLS ({e.get('name')})")
            elif re.search(r"[?&;\s]sslmode=(disable|allow|prefer)\b", value):
                yield on(
                    c, "env", i, "value", say=f"speaks to its database without verified TLS ({e.get('name')})", severity=WARNING
                )
        for key, i, word in c.arguments():
            if _UNVERIFIED_WORD.search(word):
                yield on(c, key, i, say=f"does not verify TLS ({word})")


def _subset_policies(m: Manifest) -> list[tuple[str | int, ...]]:
    return [("spec", "subsets", i, "trafficPolicy", "tls") for i, _ in enumerate(maps(m.spec.get("subsets")))]


_PROTOCOLS = re.compile(r"ssl[-_]protocols[\"']?\s*[:=]?\s*([^;\n]+)", re.IGNORECASE)
_OLD_TLS = re.compile(r"\b(SSLv[23]|TLSv1(\.[01])?)(?![.\d])", re.IGNORECASE)


@check(
    "LT-NET-075",
    "TLS older than 1.2",
    ERROR,
    why="TLS 1.0 and 1.1 are broken and forbidden by every standard.",
    fix="set the minimum to TLS 1.2, better 1.3",
)
def old_tls(world: World) -> Iterator[Hit]:
    for m in world.kind("Gateway"):
        for i, server in enumerate(maps(m.spec.get("servers"))):
            version = mapping(server.get("tls")).get("minProtocolVersion")
            if version in ("TLSV1_0", "TLSV1_1"):
                yield Hit(m, ("spec", "servers", i, "tls", "minProtocolVersion"), f"the Gateway accepts {version}")
    for m in world.kind("TLSOption"):
        if m.spec.get("minVersion") in ("VersionTLS10", "VersionTLS11"):
            yield Hit(m, ("spec", "minVersion"), f"the option accepts {m.spec['minVersion']}")
    for m in world.kind("Ingress"):
        for key, value in m.annotations.items():
            if key.endswith("ssl-protocols") and _OLD_TLS.search(value):
                yield Hit(m, ("metadata", "annotations", key), f"the Ingress accepts {value}")
    for m in world.kind("ConfigMap"):
        for key, value in mapping(m.data.get("data")).items():
            found = _PROTOCOLS.search(f"{key} {value}")
            if found and _OLD_TLS.search(found.group(1)):
                yield Hit(m, ("data", key), f"the configuration accepts {found.group(1).strip()}")
