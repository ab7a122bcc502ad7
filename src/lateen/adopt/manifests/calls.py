"""Which services call each other, and how they are reached from outside, where lateen's own objects say it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from lateen.adopt.manifests.objects import Key
from lateen.adopt.nodes import filled
from lateen.kube.meta import Object, meta

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
