"""Which services call each other, where lateen's own variables say it; and how they are reached from outside."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from lateen.adopt.manifests.objects import Key
from lateen.adopt.nodes import filled
from lateen.kube.meta import Object, meta
from lateen.model.types import slug

_URL = re.compile(r"\w+://\$\(([A-Z0-9_]+)_SERVICE_HOST\):\$\(\1_SERVICE_PORT(?:_([A-Z0-9_]+))?\)")
_DEPENDS = "config.kubernetes.io/depends-on"


def calls(services: dict[str, dict[str, Any]], objects: Mapping[Key, Object]) -> None:
    """Turn variables that are addresses of services into ``needs``."""
    by_variable = {n.upper().replace("-", "_"): n for n, s in services.items() if s.get("ports")}
    for name, service in services.items():
        env = service.get("env") or {}
        needs: dict[str, Any] = {}
        for variable, value in list(env.items()):
            match = _URL.fullmatch(value) if isinstance(value, str) else None
            if match and match[1] in by_variable and variable == f"{match[1]}_URL" and by_variable[match[1]] != name:
                needed = by_variable[match[1]]
                needs[needed] = filled({"port": _port(match[2], services[needed]), "order": _order(name, needed, objects)})
                del env[variable]
        if needs:
            service["needs"] = needs
        if not env:
            service.pop("env", None)


def _port(word: str | None, needed: Mapping[str, Any]) -> str | None:
    return next((p for p in needed["ports"] if p.upper().replace("-", "_") == word), None) if word else None


def _order(name: str, needed: str, objects: Mapping[Key, Object]) -> str | None:
    """``none`` where the workload does not wait for it."""
    notes = [meta(o).get("annotations") or {} for (k, n), o in objects.items() if n == name and k != "Service"]
    return (
        None
        if any(str(a.get(_DEPENDS, "")).endswith(f"/{needed}") or f"/{needed}," in str(a.get(_DEPENDS)) for a in notes)
        else "none"
    )


def routes(services: dict[str, dict[str, Any]], objects: Mapping[Key, Object]) -> None:
    """Turn plain HTTPRoutes through a Gateway ``default`` into ``routes``."""
    if ("Gateway", "default") not in objects:
        return
    for (kind, _), found in objects.items():
        if kind != "HTTPRoute":
            continue
        spec = found["spec"]
        parents, hosts, rules = spec.get("parentRefs") or [], spec.get("hostnames") or [""], spec.get("rules") or []
        if len(parents) != 1 or parents[0].get("name") != "default" or len(hosts) != 1 or not rules:
            continue
        names = {b.get("name") for r in rules for b in r.get("backendRefs") or ()}
        service = services.get(next(iter(names), "")) if len(names) == 1 else None
        if service is not None and service.get("ports") and all(_simple(r) for r in rules):
            for rule in rules:
                path = rule["matches"][0]["path"]["value"]
                service.setdefault("routes", []).append(filled({"host": hosts[0], "path": path, "port": _named(rule, service)}))


def _simple(rule: Mapping[str, Any]) -> bool:
    matches = rule.get("matches") or []
    return (
        len(matches) == 1 and (matches[0].get("path") or {}).get("type") == "PathPrefix" and len(rule.get("backendRefs") or ()) == 1
    )


def _named(rule: Mapping[str, Any], service: Mapping[str, Any]) -> str | None:
    number = rule["backendRefs"][0].get("port")
    names = [n for n, p in service["ports"].items() if (p if isinstance(p, int) else p["port"]) == number]
    return names[0] if names and names[0] != next(iter(service["ports"])) else None


_PATHS = {"Prefix": None, "Exact": "exact"}


def ingresses(
    services: dict[str, dict[str, Any]], objects: Mapping[Key, Object], primary: Mapping[str, str]
) -> tuple[str, dict[Key, Key]]:
    """Turn Ingresses of one host and one service into ``routes``; ``primary`` gives the service of a Service.

    The class they share, and which wanted Ingress each rendered one stands for; nothing where a Gateway has the name ``default``.
    """
    found = [o for (kind, _), o in objects.items() if kind == "Ingress"]
    classes = {str(o["spec"].get("ingressClassName") or "") for o in found}
    pairs: dict[Key, Key] = {}
    if len(classes) != 1 or ("Gateway", "default") in objects:
        return "", {}
    for ingress in found:
        made = _ingress(ingress["spec"], services, primary)
        if made is None:
            continue
        name, host, listed = made
        title = ("Ingress", f"{name}-{slug(host.replace('*', 'any'))}" if host else name)
        if title not in pairs:
            services[name].setdefault("routes", []).extend(listed)
            pairs[title] = ("Ingress", str(meta(ingress)["name"]))
    return classes.pop() if pairs else "", pairs


def _ingress(
    spec: Mapping[str, Any], services: Mapping[str, Any], primary: Mapping[str, str]
) -> tuple[str, str, list[dict[str, Any]]] | None:
    """Service, host and routes of an Ingress; None for one that is more than that."""
    rules = spec.get("rules") or []
    if len(rules) != 1 or spec.get("defaultBackend"):
        return None
    host, paths = str(rules[0].get("host") or ""), (rules[0].get("http") or {}).get("paths") or []
    backends = [(p.get("backend") or {}).get("service") or {} for p in paths]
    names = {primary.get(str(b.get("name")), "") for b in backends}
    service = services.get(next(iter(names), "")) if len(names) == 1 else None
    if service is None or not service.get("ports") or any(p.get("pathType") not in _PATHS for p in paths):
        return None
    listed = [
        filled({"host": host, "path": p.get("path") or "/", "match": _PATHS[p["pathType"]], "port": _of_backend(b, service)})
        for p, b in zip(paths, backends, strict=True)
    ]
    return next(iter(names)), host, listed


def _of_backend(backend: Mapping[str, Any], service: Mapping[str, Any]) -> str | None:
    port = backend.get("port") or {}
    if port.get("name") in service["ports"]:
        return str(port["name"]) if port["name"] != next(iter(service["ports"])) else None
    return _named({"backendRefs": [{"port": port.get("number")}]}, service)
