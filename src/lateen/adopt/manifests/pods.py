"""A pod template in the words of the model: what runs, its variables, ports, checks, resources, rights."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from lateen.adopt.nodes import filled
from lateen.adopt.software import of_image, protocol_of
from lateen.kube import podsecurity
from lateen.kube.meta import Object, meta
from lateen.model.types import is_variable

_NAME = re.compile(r"[a-z]([-a-z0-9]{0,61}[a-z0-9])?")
_PORT_NAME = re.compile(r"(?=.*[a-z])[a-z0-9]+(-[a-z0-9]+)*")
_PROTOCOLS = {
    "http": "http",
    "kubernetes.io/h2c": "http2",
    "http2": "http2",
    "grpc": "grpc",
    "tcp": "tcp",
    "tls": "tls",
    "https": "tls",
}


def service(template: Object, ports: dict[str, Any]) -> dict[str, Any]:
    """The fields of a service that its pods tell. ``ports`` are the ones of its Service."""
    spec = template["spec"]
    main = spec["containers"][0]
    return filled(
        {
            **container(main),
            "workingDir": main.get("workingDir") if str(main.get("workingDir", "")).startswith("/") else None,
            "envFrom": _env_from(main),
            "ports": ports,
            "health": _health(main, ports),
            "init": _inner(spec, sidecars=False),
            "sidecars": _inner(spec, sidecars=True),
            "identity": {"serviceAccount": str(spec.get("serviceAccountName") or "default")},
            "security": _security(template),
            "availability": _availability(spec),
            "annotations": dict(meta(template).get("annotations") or {}),
        }
    )


def container(found: Mapping[str, Any]) -> dict[str, Any]:
    """What containers of every kind have."""
    return filled(
        {
            "image": found.get("image"),
            "command": [escaped(c) for c in found.get("command") or ()],
            "args": [escaped(a) for a in found.get("args") or ()],
            "env": _env(found),
            "resources": _resources(found.get("resources") or {}),
        }
    )


def escaped(text: str) -> str:
    """A text that the model leaves as it is."""
    return text.replace("${", "$${")


def _env(found: Mapping[str, Any]) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for entry in found.get("env") or ():
        if is_variable(entry["name"]) and (value := _value(entry)) is not None:
            result[entry["name"]] = value
    return result


def _value(entry: Mapping[str, Any]) -> Any:
    """The value of a variable; None for one that the model has no word for."""
    if "valueFrom" not in entry:
        return escaped(str(entry.get("value") or ""))
    source = entry["valueFrom"]
    for field, word in (("secretKeyRef", "secret"), ("configMapKeyRef", "config")):
        if reference := source.get(field):
            return None if reference.get("optional") else {word: f"{reference['name']}/{reference['key']}"}
    if path := (source.get("fieldRef") or {}).get("fieldPath"):
        return {"field": path}
    return None


def _env_from(main: Mapping[str, Any]) -> list[str]:
    sources = main.get("envFrom") or ()
    names = [s["configMapRef"]["name"] for s in sources if "configMapRef" in s and len(s) == 1 and len(s["configMapRef"]) == 1]
    return names if len(names) == len(sources) and all(_NAME.fullmatch(n) for n in names) else []


def _resources(found: Mapping[str, Any]) -> dict[str, Any]:
    requests, limits, result = found.get("requests") or {}, found.get("limits") or {}, {}
    for name, word in (("cpu", "cpu"), ("memory", "memory"), ("ephemeral-storage", "ephemeral")):
        low, high = requests.get(name, limits.get(name)), limits.get(name)
        if low is not None:
            result[word] = f"{low}..{high}" if high is not None else str(low)
    return result


def service_ports(ports: list[dict[str, Any]], template: Object) -> dict[str, Any]:
    """Ports of a Service, by name, with the numbers that the pods listen on."""
    main = template["spec"]["containers"][0]
    named = {p["name"]: p["containerPort"] for c in template["spec"]["containers"] for p in c.get("ports") or () if "name" in p}
    numbers = {p["containerPort"]: p["name"] for p in main.get("ports") or () if "name" in p}
    result: dict[str, Any] = {}
    for port in ports:
        wanted = port.get("targetPort", port["port"])
        number = named.get(wanted) if isinstance(wanted, str) else wanted
        if number is None or port.get("protocol") == "SCTP":
            continue
        spoken = "udp" if port.get("protocol") == "UDP" else _spoken(port, int(number), str(main.get("image")))
        name = str(port.get("name") or numbers.get(number) or spoken)
        if name in result or len(name) > 15 or not _PORT_NAME.fullmatch(name):
            name = f"port-{port['port']}"
        result[name] = filled({"port": port["port"], "target": number if number != port["port"] else None})
        if spoken != "http":
            result[name]["protocol"] = spoken
    return {n: p["port"] if list(p) == ["port"] else p for n, p in result.items()}


def _spoken(port: Mapping[str, Any], number: int, image: str) -> str:
    name = str(port.get("name") or "")
    by_name = next((p for p in ("grpc", "http2", "https", "http", "tcp", "tls") if name == p or name.startswith(p + "-")), "")
    return _PROTOCOLS.get(str(port.get("appProtocol") or by_name), "") or protocol_of(number, of_image(image))


def _health(found: Mapping[str, Any], ports: Mapping[str, Any]) -> dict[str, Any]:
    names = (("ready", "readinessProbe"), ("live", "livenessProbe"), ("startup", "startupProbe"))
    ready = found.get("readinessProbe")
    result = {}
    for word, field in names:
        probe = _probe(found.get(field), found)
        patient = (
            word == "startup" and ready is not None and found.get(field) == ready | {"periodSeconds": 1, "failureThreshold": 600}
        )
        if probe is not None and not patient:
            result[word] = probe
    return result


def _probe(probe: Mapping[str, Any] | None, found: Mapping[str, Any]) -> dict[str, Any] | None:
    if probe is None:
        return None
    times = (
        ("period", "periodSeconds", 10),
        ("timeout", "timeoutSeconds", 1),
        ("failures", "failureThreshold", 3),
        ("successes", "successThreshold", 1),
        ("delay", "initialDelaySeconds", 0),
    )
    named = {p["name"]: p["containerPort"] for p in found.get("ports") or () if "name" in p}

    def number(port: Any) -> Any:
        return named.get(port) if isinstance(port, str) else port

    handler: dict[str, Any] = {}
    if get := probe.get("httpGet"):
        path = str(get.get("path") or "/")
        if number(get["port"]) is None or ":" in path or not path.startswith("/"):
            return None
        handler = {"get": f"{path}:{number(get['port'])}"}
    elif tcp := probe.get("tcpSocket"):
        handler = {"tcp": number(tcp["port"])}
    elif grpc := probe.get("grpc"):
        handler = {"grpc": f"{grpc['port']}/{grpc['service']}" if grpc.get("service") else grpc["port"]}
    elif command := (probe.get("exec") or {}).get("command"):
        handler = {"exec": list(command)}
    if not handler or None in handler.values():
        return None
    return handler | {word: probe[field] for word, field, default in times if probe.get(field, default) != default}


def _inner(spec: Mapping[str, Any], *, sidecars: bool) -> dict[str, Any]:
    """Init containers: those that end, or those that go on."""
    listed = spec.get("initContainers") or ()
    found = [c for c in listed if (c.get("restartPolicy") == "Always") == sidecars and _NAME.fullmatch(c["name"])]
    main = spec["containers"][0]["name"]
    return {
        c["name"]: container(c) | ({"health": _health(c, {})} if sidecars and _health(c, {}) else {})
        for c in found
        if c["name"] != main
    }


def _security(template: Object) -> dict[str, Any]:
    """The strictest standard that the pods keep, and what of it is not the default."""
    spec = template["spec"]
    profile = next((p for p in ("restricted", "baseline") if not podsecurity.evaluate(p, spec)), "privileged")
    own = spec["containers"][0].get("securityContext") or {}
    pod = spec.get("securityContext") or {}
    if profile == "privileged" and not own.get("privileged"):
        profile = "baseline"  # what breaks it is said by a patch
    found: dict[str, Any] = {
        "profile": profile if profile != "restricted" else None,
        "user": pod.get("runAsUser"),
        "group": pod.get("runAsGroup") if pod.get("runAsGroup") != pod.get("runAsUser") else None,
        "capabilities": (own.get("capabilities") or {}).get("add"),
    }
    return filled(found) | ({} if own.get("readOnlyRootFilesystem") or profile == "privileged" else {"readOnlyRoot": False})


def breaks_baseline(template: Object) -> bool:
    """Whether a namespace that enforces the baseline standard would refuse the pods."""
    return bool(podsecurity.evaluate("baseline", template["spec"]))


def _availability(spec: Mapping[str, Any]) -> dict[str, Any]:
    grace = spec.get("terminationGracePeriodSeconds", 30)
    constraints = spec.get("topologySpreadConstraints") or ()
    keys = {c.get("topologyKey") for c in constraints}
    spread = None if keys == {"kubernetes.io/hostname"} else "zone" if keys == {"topology.kubernetes.io/zone"} else "none"
    return filled({"grace": grace if grace != 30 else None, "priority": spec.get("priorityClassName"), "spread": spread})
