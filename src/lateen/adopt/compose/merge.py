"""Compose files laid over each other, and ``extends``: maps merge, most lists are joined, commands are replaced."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from lateen.adopt.compose.values import items, mapping, pairs, text
from lateen.kube.yamltext import Node, fault
from lateen.model.problems import nearest

_REPLACED = ("command", "entrypoint", "test", "x-lateen", "healthcheck")
_PAIRS = ("environment", "labels", "annotations", "args", "sysctls", "extra_hosts")
_MOUNTED = ("volumes", "configs", "secrets")
Load = Callable[[str, Node], Node]


def lay(over: Node, base: Node | None, name: str = "", depth: int = 0) -> Node:
    """``over`` on top of ``base``; neither is changed. ``depth`` counts from the top of the file: services are at 1."""
    if base is None or base.data is None or over.data is None:
        return over if over.data is not None or base is None else base
    if name in _REPLACED and name != "healthcheck":
        return over
    if depth > 2 and name in _PAIRS:
        merged = dict(pairs(base)) | dict(pairs(over))
        return replace(over, data=merged)
    if depth > 2 and name in ("depends_on", "networks"):
        return _named(over, base)
    if depth > 2 and name in _MOUNTED and isinstance(over.data, list) and isinstance(base.data, list):
        return replace(over, data=[*({_target(n): n for n in base.data} | {_target(n): n for n in over.data}).values()])
    if isinstance(over.data, dict) and isinstance(base.data, dict):
        merged = dict(base.data)
        for key, node in over.data.items():
            merged[key] = lay(node, merged.get(key), key, depth + 1)
        return replace(over, data=merged)
    if isinstance(over.data, list) and isinstance(base.data, list):
        return replace(over, data=[*base.data, *over.data])
    return over


def _named(over: Node, base: Node) -> Node:
    """Lists of names and maps by name, mixed."""
    merged: dict[str, Node] = {}
    for side in (base, over):
        if isinstance(side.data, dict):
            merged |= side.data
        else:
            merged |= {text(n): replace(n, data={}, key=n.mark) for n in items(side)}
    return replace(over, data=merged)


def _target(node: Node) -> Any:
    if isinstance(node.data, dict):
        return text(node.get("target") or node.get("source"))
    parts = text(node).split(":")
    return parts[1] if len(parts) > 1 else parts[0]


def extended(tree: Node, load: Load) -> Node:
    """The tree with every service's ``extends`` followed. ``load`` gives the tree of another file. InputError."""
    services = tree.get("services")
    if services is None or not any(isinstance(s.data, dict) and "extends" in s.data for s in mapping(services).values()):
        return tree
    full = {name: _service(name, tree, load, ()) for name in mapping(services)}
    return replace(tree, data={**tree.data, "services": replace(services, data=full)})


def _service(name: str, tree: Node, load: Load, seen: tuple[tuple[str, str], ...]) -> Node:
    services = mapping(tree.get("services"))
    node = services[name]
    extends = node.get("extends")
    if extends is None:
        return node
    other, file = (extends.get("service"), extends.get("file")) if isinstance(extends.data, dict) else (extends, None)
    source, wanted = load(text(file), extends) if file is not None else tree, text(other)
    key = (str(source.mark.source.name), wanted)
    if key in seen:
        raise fault(f"service {name!r} extends itself", extends.mark)
    known = mapping(source.get("services"))
    if wanted not in known:
        raise fault(f"there is no service {wanted!r} to extend", (other or extends).mark, nearest(wanted, known))
    base = _service(wanted, source, load, (*seen, key))
    own = replace(node, data={k: v for k, v in node.data.items() if k != "extends"})
    return lay(own, base, name, 2)
