"""How long callers wait and how often they try, as far as manifests say: variables, VirtualServices, HTTPRoutes."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from lateen.check.graph import Edge, settings
from lateen.check.manifest import Manifest, Path, mapping, maps
from lateen.check.world import World

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h)")


@dataclass(frozen=True, slots=True)
class Setting:
    """A number and where it is written."""

    value: float
    manifest: Manifest
    path: Path


def seconds(text: str, name: str = "") -> float | None:
    """A duration: ``500ms``, ``1m30s``, or a number whose unit the setting's name tells (``_MS``; else seconds)."""
    text = text.strip().lower()
    if _DURATION.findall(text) and _DURATION.sub("", text) == "":
        return sum(float(n) * _UNITS[u] for n, u in _DURATION.findall(text))
    if re.fullmatch(r"\d+(\.\d+)?", text):
        milli = re.search(r"(ms|millis|milliseconds|msec)$", name.lower()) or (float(text) >= 1000 and "sec" not in name.lower())
        return float(text) * (0.001 if milli else 1.0)
    return None


def timeout(world: World, edge: Edge) -> Setting | None:
    """How long the caller waits for the callee, when it is written anywhere."""
    return _variable(world, edge, "TIMEOUT") or _route(world, edge, "timeout")


def attempts(world: World, edge: Edge) -> Setting | None:
    """How many times one request may be sent over the edge: the first time and the retries, of the code and of the mesh."""
    own, mesh = _variable(world, edge, "RETRIES|RETRY|ATTEMPTS"), _route(world, edge, "attempts")
    if own is None or mesh is None:
        return own or mesh
    return Setting(own.value * mesh.value, own.manifest, own.path)


def _variable(world: World, edge: Edge, words: str) -> Setting | None:
    """A variable for this callee, else one for all of the caller's calls."""
    name = re.sub(r"[^A-Z0-9]", "_", edge.service.name.upper())
    short = name.removesuffix("SERVICE").rstrip("_") or name
    general = None
    for manifest, path, variable, text in settings(world, edge.caller):
        upper = re.sub(r"[^A-Z0-9]", "_", variable.upper())
        if not re.search(words, upper) or any(
            w in upper for w in ("BACKOFF", "DELAY", "INTERVAL", "IDLE", "SHUTDOWN", "SESSION", "CONNECT_TIMEOUT")
        ):
            continue
        value = seconds(text, variable) if words == "TIMEOUT" else _times(text, upper)
        if value is None:
            continue
        if upper.startswith((f"{name}_", f"{short}_")):
            return Setting(value, manifest, path)
        if re.fullmatch(
            r"((HTTP|GRPC|REQUEST|CLIENT|UPSTREAM|CALL|RPC|DEFAULT|MAX)_)*(" + words + r")(_(MS|SECONDS|SEC|S|COUNT|MAX))?", upper
        ):
            general = Setting(value, manifest, path)
    return general


def _times(text: str, name: str) -> float | None:
    if not text.strip().isdigit():
        return None
    return float(text) + (0 if "ATTEMPTS" in name else 1)


def _route(world: World, edge: Edge, what: str) -> Setting | None:
    for m in world.kind("VirtualService"):
        hosts = [str(h).split(".")[0] for h in m.spec.get("hosts") or ()]
        if edge.service.name in hosts:
            for i, rule in enumerate(maps(m.spec.get("http"))):
                if found := _of_rule(m, ("spec", "http", i), rule, what):
                    return found
    for m in world.kind("HTTPRoute", "GRPCRoute"):
        parents = [str(p.get("name")) for p in maps(m.spec.get("parentRefs")) if p.get("kind") == "Service"]
        if edge.service.name in parents:
            for i, rule in enumerate(maps(m.spec.get("rules"))):
                if found := _of_gateway_rule(m, ("spec", "rules", i), rule, what):
                    return found
    return None


def _of_rule(m: Manifest, path: Path, rule: Mapping[str, object], what: str) -> Setting | None:
    if what == "timeout":
        value = seconds(str(rule.get("timeout", "")))
        return Setting(value, m, (*path, "timeout")) if value else None
    retries = mapping(rule.get("retries")).get("attempts")
    return Setting(retries + 1.0, m, (*path, "retries", "attempts")) if isinstance(retries, int) else None


def _of_gateway_rule(m: Manifest, path: Path, rule: Mapping[str, object], what: str) -> Setting | None:
    if what == "timeout":
        value = seconds(str(mapping(rule.get("timeouts")).get("request", "")))
        return Setting(value, m, (*path, "timeouts", "request")) if value else None
    retries = mapping(rule.get("retry")).get("attempts")
    return Setting(retries + 1.0, m, (*path, "retry", "attempts")) if isinstance(retries, int) else None
