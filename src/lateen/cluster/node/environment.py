"""A container's environment: pure resolution of ``env`` and ``envFrom`` over objects that the caller fetched.

Precedence as the kubelet's: service variables, then envFrom in order, then env in order; ``$(NAME)`` expands against what is
known so far, ``$$`` is a dollar. The pod network's own variables (HOST, PORT) lie below all of them.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from lateen.cluster.node.downward import field_value, resource_value
from lateen.errors import FailedError
from lateen.kube.addresses import bindable_port
from lateen.kube.meta import Object, meta

_REFERENCE = re.compile(r"\$(\$|\(([^()]*)\))")


class ConfigError(FailedError):
    """Something the container needs is not there: CreateContainerConfigError."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sources:
    """What the pod's environment refers to. A ConfigMap or Secret that does not exist is None."""

    configmaps: Mapping[str, Object | None] = field(default_factory=dict)
    secrets: Mapping[str, Object | None] = field(default_factory=dict)
    services: Sequence[Object] = ()
    network: Mapping[str, str] = field(default_factory=dict)
    image: Mapping[str, str] = field(default_factory=dict)
    unprivileged_start: int = 0


def references(container: Mapping[str, Any]) -> tuple[set[str], set[str]]:
    """Names of the ConfigMaps and Secrets that the container's environment needs."""
    configmaps, secrets = set(), set()
    for source in container.get("envFrom") or ():
        if ref := source.get("configMapRef"):
            configmaps.add(ref["name"])
        if ref := source.get("secretRef"):
            secrets.add(ref["name"])
    for entry in container.get("env") or ():
        value_from = entry.get("valueFrom") or {}
        if ref := value_from.get("configMapKeyRef"):
            configmaps.add(ref["name"])
        if ref := value_from.get("secretKeyRef"):
            secrets.add(ref["name"])
    return configmaps, secrets


def expand(text: str, known: Mapping[str, str]) -> str:
    """``$(NAME)`` by its value if it is known, else as it stands; ``$$`` becomes ``$``."""

    def one(found: re.Match[str]) -> str:
        if found[1] == "$":
            return "$"
        return known.get(found[2], found[0])

    return _REFERENCE.sub(one, text)


def environment(pod: Object, container: Mapping[str, Any], sources: Sources, allocatable: Mapping[str, str]) -> dict[str, str]:
    """All variables. ConfigError with the kubelet's message."""
    result = {**sources.image, **sources.network, **service_variables(sources.services, meta(pod), sources, _links(pod))}
    for source in container.get("envFrom") or ():
        result.update(_from(source, meta(pod).get("namespace", ""), sources))
    own: dict[str, str] = {}
    for entry in container.get("env") or ():
        value = _value(entry, pod, container, sources, allocatable, {**result, **own})
        if value is not None:
            own[entry["name"]] = value
    return result | own


def _links(pod: Object) -> bool:
    return (pod.get("spec") or {}).get("enableServiceLinks") is not False


def _from(source: Mapping[str, Any], namespace: str, sources: Sources) -> dict[str, str]:
    prefix = source.get("prefix") or ""
    for key, kind, known in (("configMapRef", "configmap", sources.configmaps), ("secretRef", "secret", sources.secrets)):
        ref = source.get(key)
        if ref is None:
            continue
        found = known.get(ref["name"])
        if found is None:
            if ref.get("optional"):
                return {}
            raise ConfigError(f'{kind} "{ref["name"]}" not found')
        return {prefix + k: v for k, v in texts(found).items()}
    return {}


def texts(obj: Object) -> dict[str, str]:
    """A ConfigMap's data, or a Secret's, decoded."""
    if obj.get("kind") == "Secret" or "type" in obj:
        return {k: base64.b64decode(v).decode(errors="replace") for k, v in (obj.get("data") or {}).items()}
    return dict(obj.get("data") or {})


def _value(
    entry: Mapping[str, Any],
    pod: Object,
    container: Mapping[str, Any],
    sources: Sources,
    allocatable: Mapping[str, str],
    known: Mapping[str, str],
) -> str | None:
    value_from = entry.get("valueFrom")
    if not value_from:
        return expand(entry.get("value") or "", known)
    if ref := value_from.get("configMapKeyRef"):
        return _key(ref, "configmap", "ConfigMap", sources.configmaps, pod)
    if ref := value_from.get("secretKeyRef"):
        return _key(ref, "secret", "Secret", sources.secrets, pod)
    if ref := value_from.get("fieldRef"):
        return field_value(pod, ref["fieldPath"])
    if ref := value_from.get("resourceFieldRef"):
        return resource_value(pod, container, ref, allocatable)
    raise ConfigError(f"environment variable {entry['name']}: unknown source {', '.join(value_from)}")


def _key(ref: Mapping[str, Any], kind: str, title: str, known: Mapping[str, Object | None], pod: Object) -> str | None:
    found = known.get(ref["name"])
    if found is None:
        if ref.get("optional"):
            return None
        raise ConfigError(f'{kind} "{ref["name"]}" not found')
    value = texts(found).get(ref["key"])
    if value is None and not ref.get("optional"):
        raise ConfigError(f"couldn't find key {ref['key']} in {title} {meta(pod).get('namespace', '')}/{ref['name']}")
    return value


def service_variables(services: Sequence[Object], pod: Mapping[str, Any], sources: Sources, links: bool) -> dict[str, str]:
    """``CART_SERVICE_HOST`` and its kin for the services of the pod's namespace, and KUBERNETES_*, with ports that can be bound."""
    result: dict[str, str] = {}
    for service in services:
        m, spec = meta(service), service.get("spec") or {}
        master = m.get("namespace") == "default" and m.get("name") == "kubernetes"
        if not master and not (links and m.get("namespace") == pod.get("namespace")):
            continue
        ip = spec.get("clusterIP")
        if ip and ip != "None" and spec.get("ports"):
            result.update(_variables(m["name"], ip, spec["ports"], sources.unprivileged_start))
    return result


def _variables(name: str, ip: str, ports: Sequence[Mapping[str, Any]], start: int) -> dict[str, str]:
    prefix = name.upper().replace("-", "_").replace(".", "_")
    first = bindable_port(ports[0]["port"], start)
    protocol = (ports[0].get("protocol") or "TCP").lower()
    result = {
        f"{prefix}_SERVICE_HOST": ip,
        f"{prefix}_SERVICE_PORT": str(first),
        f"{prefix}_PORT": f"{protocol}://{ip}:{first}",
    }
    for port in ports:
        number, kind = bindable_port(port["port"], start), (port.get("protocol") or "TCP")
        if port.get("name"):
            result[f"{prefix}_SERVICE_PORT_{port['name'].upper().replace('-', '_')}"] = str(number)
        base = f"{prefix}_PORT_{port['port']}_{kind}"
        result |= {
            base: f"{kind.lower()}://{ip}:{number}",
            f"{base}_PROTO": kind.lower(),
            f"{base}_PORT": str(number),
            f"{base}_ADDR": ip,
        }
    return result
