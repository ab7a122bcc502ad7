"""Volumes, configs and secrets of a Compose service.

Named volumes become storage; one that several services mount is one claim of the first, which the others refer to by a patch. Files
and small folders of the machine become configuration files; a folder that the service is built from is left out, for its image
holds it. Scratch volumes (``tmpfs``, volumes without a name) become ephemeral storage.
"""

from __future__ import annotations

import posixpath
import re
from dataclasses import dataclass, field
from typing import Any

from lateen.adopt.compose.values import items, mapping, size, text, truth
from lateen.adopt.nodes import Loss, made
from lateen.adopt.world import World
from lateen.kube.yamltext import Node, fault
from lateen.model.problems import nearest
from lateen.model.types import slug

SIZE = "1Gi"
_MOST_FILES, _MOST_BYTES = 200, 900_000
_BIND = re.compile(r"[./~]|[a-zA-Z]:\\")


@dataclass(slots=True)
class Mounts:
    """What a service mounts, by field of the model; ``claims`` maps a shared volume's path to the claim it uses."""

    name: str
    storage: dict[str, Node] = field(default_factory=dict)
    config: dict[str, Node] = field(default_factory=dict)
    secrets: dict[str, Node] = field(default_factory=dict)
    claims: dict[str, str] = field(default_factory=dict)
    losses: list[Loss] = field(default_factory=list)
    keeps: bool = False
    hidden: list[str] = field(default_factory=list)
    """Where folders would be mounted that the image holds."""

    def lose(self, node: Node, what: str, why: str) -> None:
        """Record what is not carried."""
        self.losses.append(Loss(str(node.key or node.mark), f"services.{self.name}: {what}", why))


@dataclass(frozen=True, slots=True)
class Shared:
    """Named volumes that several services mount: the service that has the claim, and its path there."""

    owner: dict[str, tuple[str, str]]

    @classmethod
    def of(cls, services: dict[str, Node]) -> Shared:
        """Found by looking at every service."""
        users: dict[str, list[tuple[str, str]]] = {}
        for name, service in services.items():
            for node in items(service.get("volumes")):
                kind, source, target, _ = volume(node)
                if kind == "volume" and source:
                    users.setdefault(source, []).append((name, target))
        return cls({v: found[0] for v, found in users.items() if len({n for n, _ in found}) > 1})


def volume(node: Node) -> tuple[str, str, str, bool]:
    """Kind (volume, bind, tmpfs, ...), source, path in the container, and whether it is read-only."""
    if isinstance(node.data, dict):
        kind, read_only = text(node.get("type")) or "volume", truth(node.get("read_only"))
        return kind, text(node.get("source")), _path(text(node.get("target")), node), read_only
    parts = text(node).split(":")
    if re.match(r"[a-zA-Z]:\\", text(node)):  # a drive of Windows
        parts = [":".join(parts[:2]), *parts[2:]]
    if len(parts) == 1:
        return "volume", "", _path(parts[0], node), False
    options = parts[2].split(",") if len(parts) > 2 else []
    kind = "bind" if _BIND.match(parts[0]) else "volume"
    return kind, parts[0], _path(parts[1], node), "ro" in options


def _path(path: str, node: Node) -> str:
    if not path.startswith("/"):
        raise fault(f"{path!r} is not an absolute path in the container", node.mark)
    return posixpath.normpath(path.replace("//", "/"))


def mounts(name: str, service: Node, tree: Node, shared: Shared, world: World) -> Mounts:
    """Everything that the service mounts."""
    result = Mounts(name)
    for node in items(service.get("volumes")):
        _volume(result, node, service, tree, shared, world)
    for path in [p for p, s in result.storage.items() if _anonymous(s) and any(p.startswith(h + "/") for h in result.hidden)]:
        result.lose(result.storage.pop(path), path, "it keeps the image's own files from a folder that is not mounted here")
    for node in items(service.get("tmpfs")):
        path = _path(text(node).partition(":")[0], node)
        result.storage[path] = made({"size": SIZE, "ephemeral": True}, node)
    if (shared_memory := service.get("shm_size")) is not None:
        result.storage["/dev/shm"] = made({"size": size(shared_memory), "ephemeral": True}, shared_memory)  # noqa: S108 # in the container
    _configs(result, service, tree)
    _secrets(result, service, tree, world)
    return result


def _volume(result: Mounts, node: Node, service: Node, tree: Node, shared: Shared, world: World) -> None:
    kind, source, path, read_only = volume(node)
    if kind == "tmpfs" or (kind == "volume" and not source):
        result.storage[path] = made({"size": _tmpfs_size(node), "ephemeral": True}, node)
    elif kind == "bind":
        _bind(result, node, service, source, path, world)
    elif kind == "volume":
        _named(result, node, tree, shared, source, path, read_only=read_only)
    else:
        result.lose(node, f"{kind} {source} at {path}", "only volumes, binds and tmpfs are carried")


def _anonymous(storage: Node) -> bool:
    return "ephemeral" in storage.data


def _tmpfs_size(node: Node) -> str:
    options = node.get("tmpfs")
    wanted = options.get("size") if options is not None else None
    return size(wanted) if wanted is not None else SIZE


def _named(result: Mounts, node: Node, tree: Node, shared: Shared, source: str, path: str, *, read_only: bool) -> None:
    known = mapping(tree.get("volumes"))
    if source not in known:
        raise fault(f"the volume {source!r} is not declared under volumes", node.mark, nearest(source, known))
    declared = known[source]
    if truth(declared.get("external")):
        result.lose(node, f"the external volume {source}", "it starts empty: copy what it holds into the new claim")
    extension = declared.get("x-lateen")
    wanted: dict[str, Any] = {"size": SIZE, **(mapping(extension) if extension is not None else {})}
    owner, place = shared.owner.get(source, (result.name, path))
    if (owner, place) == (result.name, path):
        own = {"mode": "rwx", "perReplica": False} if source in shared.owner else {}
        result.storage[path] = made(own | wanted, node)
        result.keeps = True
        return
    result.storage[path] = made({"size": SIZE, "ephemeral": True}, node)
    result.claims[path] = f"{owner}-{slug(place)}"
    if read_only:
        result.lose(node, f"read-only {path}", "the volume is shared, and can be written")


def _bind(result: Mounts, node: Node, service: Node, source: str, path: str, world: World) -> None:
    context = _context(service)
    inside = posixpath.normpath(source)
    if world.read(source) is not None:
        result.config[path] = made({"source": source}, node)
    elif context and (context == "." or inside == context or inside.startswith(context + "/")):
        result.hidden.append(path)
        result.lose(node, f"{source} at {path}", "the image is built from it and holds it; build again for a change")
    elif (found := world.files(source)) is None:
        result.lose(
            node, f"{source} at {path}", "there is no such file or folder here; a cluster does not see this machine's files"
        )
    elif len(found) > _MOST_FILES or sum(len(world.read(f"{source}/{f}") or b"") for f in found) > _MOST_BYTES:
        result.lose(node, f"{source} at {path}", "too large for a ConfigMap: build it into the image, or use a named volume")
    else:
        for file in found:
            result.config[posixpath.join(path, file)] = made({"source": posixpath.normpath(f"{source}/{file}")}, node)


def _context(service: Node) -> str:
    build = service.get("build")
    if build is None or build.data is None:
        return ""
    return posixpath.normpath(text(build.get("context")) or "." if isinstance(build.data, dict) else text(build))


def _entries(service: Node, tree: Node, kind: str) -> list[tuple[Node, str, str, Node]]:
    """Place, name, target and declaration of every config or secret of a service."""
    found = []
    for node in items(service.get(kind)):
        long = isinstance(node.data, dict)
        name = text(node.get("source")) if long else text(node)
        target = text(node.get("target")) if long else ""
        declared = mapping(tree.get(kind))
        if name not in declared:
            raise fault(f"{kind[:-1]} {name!r} is not declared under {kind}", node.mark, nearest(name, declared))
        found.append((node, name, target, declared[name]))
    return found


def _configs(result: Mounts, service: Node, tree: Node) -> None:
    for node, name, target, declared in _entries(service, tree, "configs"):
        path = _path(target or f"/{name}", node)
        mode = {"mode": text(node.get("mode"))} if node.get("mode") is not None else {}
        if (file := declared.get("file")) is not None:
            result.config[path] = made({"source": file, **mode}, node)
        elif (content := declared.get("content")) is not None:
            result.config[path] = made({"content": content, **mode}, node)
        else:
            why = "its content is not in this file: say it under x-lateen: {config: ...}"
            result.lose(node, f"config {name}", why)


def _secrets(result: Mounts, service: Node, tree: Node, world: World) -> None:
    for node, name, target, declared in _entries(service, tree, "secrets"):
        path = _path(target if target.startswith("/") else f"/run/secrets/{target or name}", node)
        if (file := declared.get("file")) is not None:
            result.secrets[path] = made({"from": f"file:{text(file)}"}, file)
            continue
        key = f"{slug(name)}/{name}"
        result.secrets[path] = made({"from": key}, node)
        what = "an environment variable" if declared.get("environment") is not None else "Docker's own store"
        result.lose(node, f"the value of secret {name}", f"it comes from {what}: make a Secret {slug(name)} with the key {name}")
