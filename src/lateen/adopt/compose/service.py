"""One Compose service as a service of the model."""

from __future__ import annotations

import posixpath
import re
from dataclasses import dataclass
from typing import Any

from lateen.adopt.compose import checks, fields, limits
from lateen.adopt.compose.interpolate import env_file
from lateen.adopt.compose.mounts import Mounts, Shared, mounts
from lateen.adopt.compose.patches import patches
from lateen.adopt.compose.ports import mapped, ports
from lateen.adopt.compose.values import command, duration, items, pairs, plain_seconds, text, truth
from lateen.adopt.nodes import Loss, filled, literal, made
from lateen.adopt.software import of_image
from lateen.adopt.world import World
from lateen.kube.yamltext import Node, fault

BASELINE = {
    *("AUDIT_WRITE", "CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "MKNOD", "NET_BIND_SERVICE", "SETFCAP", "SETGID"),
    *("SETPCAP", "SETUID", "SYS_CHROOT"),
}
DEFAULTS = {"security": {"profile": "baseline", "readOnlyRoot": False}}
"""Compose's containers run as their image says, and may write to it."""
_ANNOTATION = re.compile(r"([a-z0-9]([-a-z0-9.]*[a-z0-9])?/)?[A-Za-z0-9]([-_.A-Za-z0-9]{0,61}[A-Za-z0-9])?")
_KINDS = {"stateful": "StatefulSet", "daemon": "DaemonSet", "job": "Job"}
_BUILD_LEFT = (
    *("cache_from", "cache_to", "ssh", "network", "shm_size", "isolation", "privileged", "labels", "tags", "no_cache", "pull"),
    *("additional_contexts", "extra_hosts", "ulimits", "entitlements", "dockerfile_inline"),
)


@dataclass(frozen=True, slots=True)
class Around:
    """What a service is translated in: the whole file, names of services in the model, calls between them, jobs, the machine."""

    tree: Node
    names: dict[str, str]
    calls: dict[str, dict[int, str]]
    jobs: frozenset[str]
    shared: Shared
    world: World

    def renamed(self, value: str) -> str:
        """A text in which hosts that are services have the names they have in the model."""
        for old, new in self.names.items():
            if old != new:
                value = re.sub(rf"(^|//|[@,=]){re.escape(old)}(?=[:/,]|$)", rf"\g<1>{new}", value)
        return value


@dataclass(frozen=True, slots=True)
class Made:
    """A service of the model, and what it lost."""

    fields: dict[str, Any]
    losses: list[Loss]
    privileged: bool


def service(name: str, node: Node, around: Around) -> Made:
    """The service; ``name`` is the one in the file. InputError."""
    own = around.names[name]
    image = text(node.get("image"))
    software = of_image(image)
    mounted = mounts(own, node, around.tree, around.shared, around.world)
    found = ports(mapped(node), software, around.calls.get(name, {}), node)
    numbers = {int(p.data["target"].data if "target" in p.data else p.data["port"].data) for p in found.values()}
    kind = _kind(name, node, around, mounted, database=software is not None and software.keeps)
    losses = [*fields.left(own, node), *limits.left(own, node), *mounted.losses, *_restart(own, node, kind)]
    security, privileged = _security(own, node, losses)
    replicas = limits.count(node)
    result: dict[str, Any] = {
        "kind": kind,
        "image": node.get("image"),
        "build": _build(own, node, around.world, losses),
        "command": _words(node.get("entrypoint"), around),
        "args": _words(node.get("command"), around),
        "workingDir": node.get("working_dir"),
        "env": _env(node, around),
        "config": mounted.config,
        "secrets": mounted.secrets,
        "ports": found if kind != "job" else {},
        "resources": limits.resources(node),
        "replicas": replicas if replicas is not None and kind not in ("daemon", "job") else None,
        "job": {"completions": replicas} if kind == "job" and replicas else None,
        "storage": mounted.storage,
        "security": security,
        "rollout": limits.rollout(node) or ({"strategy": "recreate"} if mounted.keeps and kind is None else {}),
        "annotations": _annotations(own, node, losses),
        "patches": patches(own, node, _KINDS.get(kind or "", "Deployment"), mounted.claims, losses),
    }
    if (grace := node.get("stop_grace_period")) is not None:
        result["availability"] = {"grace": plain_seconds(duration(grace))}
    if kind != "job":
        for key, value in checks.health(node, numbers).items():
            result[key] = {**(result.get(key) or {}), **value}
    return Made(filled(result), losses, privileged)


def _kind(name: str, node: Node, around: Around, mounted: Mounts, *, database: bool) -> str | None:
    mode = limits.mode(node)
    if name in around.jobs or mode.endswith("-job"):
        return "job"
    if mode == "global":
        return "daemon"
    return (
        "stateful" if database and mounted.keeps and not any(o == mounted.name for o, _ in around.shared.owner.values()) else None
    )


def _restart(name: str, node: Node, kind: str | None) -> list[Loss]:
    restart = node.get("restart")
    if restart is None or kind == "job" or not text(restart).startswith(("no", "on-failure")):
        return []
    why = "a service's pods are always started again; say kind: job under x-lateen for what ends"
    return [Loss(str(restart.key or restart.mark), f"services.{name}.restart: {text(restart)}", why)]


def _words(node: Node | None, around: Around) -> Node | None:
    words = command(node)
    return made([literal(around.renamed(w)) for w in words], node) if words and node is not None else None


def _build(name: str, node: Node, world: World, losses: list[Loss]) -> dict[str, Any] | None:
    build = node.get("build")
    if build is None or build.data is None:
        return None
    long = isinstance(build.data, dict)
    context = text(build.get("context")) or "." if long else text(build)
    if "://" in context or context.startswith("git@"):
        raise fault(f"the source {context} is not on this machine", build.mark, "clone it, and name its folder")
    found: dict[str, Any] = {"context": posixpath.normpath(context)}
    dockerfile = text(build.get("dockerfile")) if long else ""
    if dockerfile or world.read(posixpath.join(context, "Dockerfile")) is not None:
        found["dockerfile"] = dockerfile or "Dockerfile"
    if not long:
        return found
    found["target"] = build.get("target")
    found["args"] = {k: made(v.text if v.data is not None else world.variables.get(k, ""), v) for k, v in pairs(build.get("args"))}
    found["platforms"] = [text(p) for p in items(build.get("platforms"))]
    if build.get("secrets") is not None:
        losses.append(_lost(name, build, "secrets", "name their files under x-lateen: {build: {secrets: [ID=PATH]}}"))
    losses += [_lost(name, build, k, "lateen builds without it") for k in _BUILD_LEFT if build.get(k) is not None]
    return filled(found)


def _lost(name: str, build: Node, key: str, why: str) -> Loss:
    node = build.data[key]
    return Loss(str(node.key or node.mark), f"services.{name}.build.{key}", why)


def _env(node: Node, around: Around) -> dict[str, Node]:
    """``env_file`` first, then ``environment``; a variable without a value takes the machine's, and is left out if it has none."""
    found: dict[str, Node] = {}
    world = around.world
    for entry in items(node.get("env_file")) if not _is_entry(node) else [node.data["env_file"]]:
        path = entry.get("path") if isinstance(entry.data, dict) else entry
        raw = world.read(text(path))
        if raw is None:
            if isinstance(entry.data, dict) and not truth(entry.get("required"), default=True):
                continue
            raise fault(f"there is no file {text(path)!r}", (path or entry).mark)
        values = env_file(raw.decode(errors="replace"), world.variables, entry)
        found |= {k: made(literal(around.renamed(v)), entry) for k, v in values.items() if v is not None}
    for name, value in pairs(node.get("environment")):
        given = world.variables.get(name) if value.data is None else text(value)
        if given is not None:
            given = literal(around.renamed(given))
            found[name] = Node(given, value.mark, value.key, text=given)
    return found


def _is_entry(node: Node) -> bool:
    """Whether env_file is one entry in long form."""
    found = node.get("env_file")
    return found is not None and isinstance(found.data, dict)


def _security(name: str, node: Node, losses: list[Loss]) -> tuple[dict[str, Any], bool]:
    """What differs from DEFAULTS, and whether even the baseline standard is too strict."""
    added = [text(c).removeprefix("CAP_") for c in items(node.get("cap_add"))]
    if truth(node.get("privileged")):
        return {"profile": "privileged"}, True
    security: dict[str, Any] = {"readOnlyRoot": True} if truth(node.get("read_only")) else {}
    user, _, group = text(node.get("user")).partition(":")
    for field, value in (("user", user), ("group", group)):
        if value.isdigit():
            security[field] = int(value)
        elif value == "root":
            security[field] = 0
        elif value:
            place = node.data["user"]
            losses.append(
                Loss(str(place.key or place.mark), f"services.{name}.user: {value}", "only numbers are known outside the image")
            )
    if added:
        security["capabilities"] = added
    return security, bool(set(added) - BASELINE)


def _annotations(name: str, node: Node, losses: list[Loss]) -> dict[str, Any]:
    """Labels and annotations: Compose's labels are looked for by tools, as annotations are in Kubernetes."""
    found: dict[str, Any] = {}
    for field in ("labels", "annotations"):
        for key, value in pairs(node.get(field)):
            if _ANNOTATION.fullmatch(key):
                found[key] = made(value.text, value)
            else:
                losses.append(Loss(str(value.key or value.mark), f"services.{name}.{field}: {key}", "no name of an annotation"))
    return found
