"""Laying one tree over another, with positions kept: several files, an environment over the application, services over defaults.

The rule: maps merge, scalars and lists replace, routes merge by host and path, an empty value deletes what is below it.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from lateen.kube.yamltext import Node

_EITHER = {"replicas": "scale", "scale": "replicas"}  # two names of one thing: the upper one wins
_ENV_LIKE, _TEXT_LISTS = "env", ("command", "args", "exec")


def lay(over: Node, base: Node | None) -> Node:
    """``over`` on top of ``base``; neither is changed."""
    if base is None or not isinstance(over.data, dict) or not isinstance(base.data, dict):
        return over
    merged: dict[str, Node] = {k: v for k, v in base.data.items() if _EITHER.get(k) not in over.data}
    for name, node in over.data.items():
        below = merged.get(name)
        if node.data is None and below is not None:
            del merged[name]
        elif name == "routes" and below is not None:
            merged[name] = _keyed(node, below)
        else:
            merged[name] = lay(node, below)
    return replace(over, data=merged)


def _keyed(over: Node, base: Node) -> Node:
    if not isinstance(over.data, list) or not isinstance(base.data, list):
        return over
    routes: dict[Any, Node] = {_route_key(n): n for n in base.data}
    for node in over.data:
        key = _route_key(node)
        routes[key] = lay(node, routes.get(key))
    return replace(over, data=list(routes.values()))


def _route_key(node: Node) -> Any:
    if not isinstance(node.data, dict):
        return id(node)
    host, path = node.get("host"), node.get("path")
    return (host.text if host else "", path.text if path else "/")


def as_written(node: Node, name: str = "") -> Node:
    """The tree with every scalar of env, command and args as it was written: there ``8080``, ``yes`` and ``0777`` are texts."""
    if isinstance(node.data, dict):
        if name == _ENV_LIKE:
            return replace(node, data={k: _text(v) for k, v in node.data.items()})
        return replace(node, data={k: as_written(v, k) for k, v in node.data.items()})
    if isinstance(node.data, list):
        convert = _text if name in _TEXT_LISTS else as_written
        return replace(node, data=[convert(v) for v in node.data])
    return node


def _text(node: Node) -> Node:
    return node if isinstance(node.data, dict | list | str | None) else replace(node, data=node.text)
