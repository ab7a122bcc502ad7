"""Containers of pods and templates (ValidateContainers in pkg/apis/core/validation)."""

from __future__ import annotations

from collections.abc import Collection

from lateen.kube import names, quantity
from lateen.kube.meta import Object
from lateen.kube.validation.base import Errors, amount, entries, follows, needed, one_of, unique
from lateen.kube.validation.errors import forbidden, invalid, not_found, required
from lateen.kube.validation.probes import lifecycle, probe
from lateen.kube.validation.security import container_security

PROTOCOLS = ("SCTP", "TCP", "UDP")
_PULL = ("Always", "IfNotPresent", "Never")
_MESSAGES = ("FallbackToLogsOnError", "File")
_RESTART = ("Always", "Never", "OnFailure")
_STANDARD = ("cpu", "memory", "ephemeral-storage")
_SOURCES = ("fieldRef", "resourceFieldRef", "configMapKeyRef", "secretKeyRef", "fileKeyRef")
_ONE_SOURCE = "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef`, `secretKeyRef` or `fileKeyRef`"
_FIELDS = (
    "metadata.name", "metadata.namespace", "metadata.uid", "spec.nodeName", "spec.serviceAccountName",
    "status.hostIP", "status.hostIPs", "status.podIP", "status.podIPs",
)  # fmt: skip
_RESTARTABLE = ("lifecycle", "livenessProbe", "readinessProbe", "startupProbe")


def containers(spec: Object, at: str, volumes: Collection[str]) -> Errors:
    """Init containers and containers of a pod's spec; ``volumes`` are the names that can be mounted."""
    if not spec.get("containers"):
        yield required(f"{at}.containers")
    for field, found in entries(spec, "initContainers", at):
        yield from container(found, field, volumes)
        yield from _init(found, field)
    for field, found in entries(spec, "containers", at):
        yield from container(found, field, volumes)
    every = (entry for name in ("initContainers", "containers") for entry in entries(spec, name, at))
    yield from unique((f"{field}.name", c["name"]) for field, c in every if c.get("name"))
    yield from _host_ports(spec, at)


def container(container: Object, at: str, volumes: Collection[str]) -> Errors:
    """One container of any kind at path ``at``."""
    yield from needed(names.dns_label, f"{at}.name", container.get("name"))
    image = container.get("image") or ""
    if not image:
        yield required(f"{at}.image")
    elif image != image.strip():
        yield invalid(f"{at}.image", image, "must not have leading or trailing whitespace")
    yield from one_of(container, "imagePullPolicy", at, _PULL)
    yield from one_of(container, "terminationMessagePolicy", at, _MESSAGES)
    if container.get("ports"):
        yield from _ports(container, at)
    if container.get("env"):
        yield from _env(container, at)
    if container.get("envFrom"):
        yield from _env_from(container, at)
    if container.get("volumeMounts"):
        yield from _mounts(container, at, volumes)
    if container.get("resources"):
        yield from resources(container["resources"], f"{at}.resources")
    yield from container_security(container, at)
    for name in ("livenessProbe", "readinessProbe", "startupProbe"):
        if container.get(name) is not None:
            yield from probe(container[name], f"{at}.{name}", once=name != "readinessProbe")
    if container.get("restartPolicyRules"):
        yield from _restart_rules(container, at)
    yield from one_of(container, "restartPolicy", at, _RESTART, need=False)
    for field, policy in entries(container, "resizePolicy", at):
        yield from one_of(policy, "resourceName", field, ("cpu", "memory"))
        yield from one_of(policy, "restartPolicy", field, ("NotRequired", "RestartContainer"))
    if container.get("lifecycle"):
        yield from lifecycle(container["lifecycle"], f"{at}.lifecycle")


def _restart_rules(container: Object, at: str) -> Errors:
    if not container.get("restartPolicy"):
        yield required(f"{at}.restartPolicy", "must specify restartPolicy when restart rules are used")
    for field, rule in entries(container, "restartPolicyRules", at):
        codes = rule.get("exitCodes")
        yield from one_of(rule, "action", field, ("Restart",))
        if codes is None:
            yield required(f"{field}.exitCodes", "must be specified")
            continue
        yield from one_of(codes, "operator", f"{field}.exitCodes", ("In", "NotIn"))
        if not codes.get("values"):
            yield invalid(f"{field}.exitCodes.values", codes.get("values"), "must specify at least one exit code")


def _init(container: Object, at: str) -> Errors:
    if container.get("restartPolicy") == "Always":
        return
    for name in _RESTARTABLE:
        if container.get(name) is not None:
            yield forbidden(f"{at}.{name}", "may not be set for init containers without restartPolicy=Always")


def _ports(container: Object, at: str) -> Errors:
    yield from unique((f"{f}.name", p["name"]) for f, p in entries(container, "ports", at) if p.get("name"))
    for field, found in entries(container, "ports", at):
        if found.get("name"):
            yield from follows(names.port_name, f"{field}.name", found["name"])
        if not found.get("containerPort"):
            yield required(f"{field}.containerPort")
        for name in ("containerPort", "hostPort"):
            if found.get(name):
                for text in names.port_number(found[name]):
                    yield invalid(f"{field}.{name}", found[name], text)
        yield from one_of(found, "protocol", field, PROTOCOLS)


def _host_ports(spec: Object, at: str) -> Errors:
    taken: list[tuple[str, str]] = []
    for path, container in entries(spec, "containers", at):
        for field, found in entries(container, "ports", path):
            host = found.get("hostPort")
            if host:
                taken.append((f"{field}.hostPort", f"{host}/{found.get('protocol')}/{found.get('hostIP') or ''}"))
            if host and spec.get("hostNetwork") and host != found.get("containerPort"):
                detail = "must match `hostPort` when `hostNetwork` is true"
                yield invalid(f"{field}.containerPort", found.get("containerPort"), detail)
    yield from unique(taken)


def _env(container: Object, at: str) -> Errors:
    for field, variable in entries(container, "env", at):
        name = variable.get("name")
        if not name:
            yield required(f"{field}.name")
        else:
            yield from follows(names.env_name, f"{field}.name", name)
        if variable.get("valueFrom") is not None:
            yield from _value_from(variable, f"{field}.valueFrom")


def _value_from(variable: Object, at: str) -> Errors:
    source = variable["valueFrom"]
    given = [name for name in _SOURCES if source.get(name) is not None]
    if variable.get("value"):
        yield invalid(at, "", "may not be specified when `value` is not empty")
    elif not given:
        yield invalid(at, "", _ONE_SOURCE)
    elif len(given) > 1:
        yield invalid(at, "", "may not have more than one field specified at a time")
    for name in given:
        yield from _source(name, source[name], f"{at}.{name}")


def _source(name: str, source: Object, at: str) -> Errors:
    if name in ("configMapKeyRef", "secretKeyRef"):
        if not source.get("key"):
            yield required(f"{at}.key")
        else:
            yield from follows(names.config_key, f"{at}.key", source["key"])
    elif name == "fieldRef":
        path = source.get("fieldPath") or ""
        if not path:
            yield required(f"{at}.fieldPath")
        elif path not in _FIELDS and not path.startswith(("metadata.labels['", "metadata.annotations['")):
            yield from one_of({"fieldPath": path}, "fieldPath", at, _FIELDS)
    elif name == "resourceFieldRef" and not source.get("resource"):
        yield required(f"{at}.resource")


def _env_from(container: Object, at: str) -> Errors:
    for field, source in entries(container, "envFrom", at):
        given = [name for name in ("configMapRef", "secretRef") if source.get(name) is not None]
        if not given:
            yield invalid(field, "", "must specify one of: `configMapRef` or `secretRef`")
        elif len(given) > 1:
            yield invalid(field, "", "may not have more than one field specified at a time")
        for name in given:
            if not source[name].get("name"):
                yield required(f"{field}.{name}.name")


def _mounts(container: Object, at: str, volumes: Collection[str]) -> Errors:
    paths: set[str] = set()
    for field, mount in entries(container, "volumeMounts", at):
        name, path = mount.get("name") or "", mount.get("mountPath") or ""
        if not name:
            yield required(f"{field}.name")
        elif name not in volumes:
            yield not_found(f"{field}.name", name)
        if not path:
            yield required(f"{field}.mountPath")
        elif path in paths:
            yield invalid(f"{field}.mountPath", path, "must be unique")
        paths.add(path)
        yield from inner_path(mount.get("subPath") or "", f"{field}.subPath")
        if mount.get("subPath") and mount.get("subPathExpr"):
            yield invalid(f"{field}.subPathExpr", mount["subPathExpr"], "subPathExpr and subPath are mutually exclusive")


def inner_path(path: str, field: str) -> Errors:
    """A path that stays inside its volume."""
    if path.startswith("/"):
        yield invalid(field, path, "must be a relative path")
    if ".." in path.split("/"):
        yield invalid(field, path, "must not contain '..'")


def resources(found: Object, at: str) -> Errors:
    """Requests and limits."""
    for kind in ("limits", "requests"):
        for name, value in (found.get(kind) or {}).items():
            field = f"{at}.{kind}[{name}]"
            yield from follows(names.qualified_name, field, name)
            if name not in _STANDARD and "/" not in name and not name.startswith("hugepages-"):
                yield invalid(field, name, "must be a standard resource for containers")
            yield from amount(value, field)
    limits = found.get("limits") or {}
    for name, value in (found.get("requests") or {}).items():
        if name in limits and _more(value, limits[name]):
            yield invalid(f"{at}.requests", str(value), f"must be less than or equal to {name} limit of {limits[name]}")


def _more(one: str, other: str) -> bool:
    try:
        return quantity.parse(one) > quantity.parse(other)
    except ValueError:
        return False  # the amounts themselves were found wrong already
