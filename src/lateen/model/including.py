"""``include``: further application files, each a part of the whole. What two of them give is an error, not a layer. Pure.

Paths in an included file are relative to that file: they are rewritten here, so that all paths start from the first file's folder.
"""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from lateen.kube.yamltext import Node, fault

_FILE = "file:"


def patterns(tree: Node) -> list[Node]:
    """The globs that a file includes."""
    found = tree.get("include")
    return [n for n in found.data if isinstance(n.data, str)] if found is not None and isinstance(found.data, list) else []


def join(parts: Sequence[Node]) -> Node:
    """All parts as one tree. InputError where two give the same value."""
    whole = parts[0]
    for part in parts[1:]:
        whole = _joined(whole, _without_head(part, whole), ())
    return replace(whole, data={k: v for k, v in whole.data.items() if k != "include"})


def _without_head(part: Node, whole: Node) -> Node:
    """A part may repeat which application it belongs to."""
    same = {
        k for k in ("apiVersion", "name") if (n := part.get(k)) is not None and (w := whole.get(k)) is not None and n.data == w.data
    }
    return replace(part, data={k: v for k, v in part.data.items() if k not in same and k != "include"})


def _joined(one: Node, other: Node, path: tuple[str, ...]) -> Node:
    if not isinstance(one.data, dict) or not isinstance(other.data, dict) or (len(path) == 2 and path[0] == "services"):
        first = one.key or one.mark
        raise fault(f"{'.'.join(path)} is given twice", other.key or other.mark, hint=f"first given at {first}")
    merged: dict[str, Any] = dict(one.data)
    for name, node in other.data.items():
        merged[name] = _joined(merged[name], node, (*path, name)) if name in merged else node
    return replace(one, data=merged)


def moved(tree: Node, folder: str) -> Node:
    """The tree with its relative paths as seen from where ``folder`` is relative to."""
    if folder in ("", "."):
        return tree

    def seen(node: Node) -> Node:
        text = node.data
        return _scalar(node, text if posixpath.isabs(text) else posixpath.normpath(posixpath.join(folder, text)))

    def service(node: Node) -> Node:
        return _service(node, seen)

    def environment(node: Node) -> Node:
        return _map(node, {"services": _each(service), "defaults": service})

    files = _each(lambda n: _text(n, seen))
    changes = {"services": _each(service), "defaults": service, "environments": _each(environment), "manifests": files}
    return _map(tree, {**changes, "secrets": lambda n: _map(n, {"files": files})})


def _service(service: Node, seen: Callable[[Node], Node]) -> Node:
    """A service's source, the files of its configuration and secrets."""

    def build(node: Node) -> Node:
        return (
            _text(node, seen)
            if not isinstance(node.data, dict)
            else _map(node, {"context": lambda n: _text(n, seen)}, {"context": "."})
        )

    def secret(node: Node) -> Node:
        return _of_file(node, seen) if not isinstance(node.data, dict) else _map(node, {"from": lambda n: _of_file(n, seen)})

    source = _each(lambda n: _map(n, {"source": lambda m: _text(m, seen)}))
    return _map(service, {"build": build, "config": source, "secrets": _each(secret)})


def _text(node: Node, seen: Callable[[Node], Node]) -> Node:
    return seen(node) if isinstance(node.data, str) else node


def _of_file(node: Node, seen: Callable[[Node], Node]) -> Node:
    if not isinstance(node.data, str) or not node.data.startswith(_FILE):
        return node
    return _scalar(node, _FILE + str(seen(_scalar(node, node.data.removeprefix(_FILE))).data))


def _scalar(node: Node, text: str) -> Node:
    return replace(node, data=text, text=text)


def _each(change: Callable[[Node], Node]) -> Callable[[Node], Node]:
    def changed(node: Node) -> Node:
        if isinstance(node.data, dict):
            return replace(node, data={k: change(v) for k, v in node.data.items()})
        return replace(node, data=[change(v) for v in node.data]) if isinstance(node.data, list) else node

    return changed


def _map(node: Node, changes: dict[str, Callable[[Node], Node]], missing: dict[str, str] | None = None) -> Node:
    """A map with some of its values changed; ``missing`` are values that are written out, because their default is a path."""
    if not isinstance(node.data, dict):
        return node
    data = {k: _scalar(node, v) for k, v in (missing or {}).items() if k not in node.data} | node.data
    return replace(node, data={k: changes[k](v) if k in changes else v for k, v in data.items()})
