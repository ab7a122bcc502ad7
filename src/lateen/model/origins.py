"""Where the values of an application come from: its tree, value by value, each with the place in a file that gave it. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from lateen.kube.yamltext import Node, dump
from lateen.model.application import Application

Path = tuple[str | int, ...]


def leaves(node: Node, path: Path = ()) -> Iterator[tuple[Path, Node]]:
    """Every value that holds no others, with its path; an empty map or list is one, too."""
    children = items(node)
    if not children:
        yield path, node
    for step, child in children:
        yield from leaves(child, (*path, step))


def items(node: Node) -> list[tuple[str | int, Node]]:
    """The values in a map or list."""
    if isinstance(node.data, dict):
        return list(node.data.items())
    return list(enumerate(node.data)) if isinstance(node.data, list) else []


def place(node: Node) -> str:
    """``file:line`` of a value."""
    return f"{node.mark.source.name}:{node.mark.line + 1}"


def without(tree: Node, path: Path) -> Node:
    """The tree without the value at ``path``; maps and lists that are empty then stay."""
    return _changed(tree, path, None)


def instead(tree: Node, path: Path, data: Any) -> Node:
    """The tree with another scalar at ``path``."""
    return _changed(tree, path, (data,))


def _changed(node: Node, path: Path, wanted: tuple[Any] | None) -> Node:
    if not path:
        assert wanted is not None  # the root is never taken away
        return replace(node, data=wanted[0], text=str(wanted[0]))
    step, rest = path[0], path[1:]
    pairs = [(k, _changed(v, rest, wanted) if k == step else v) for k, v in items(node) if rest or wanted or k != step]
    return replace(node, data=dict(pairs) if isinstance(node.data, dict) else [v for _, v in pairs])


def of(application: Application) -> Node:
    """The merged tree as it counts in the application's environment: what was laid over it already is left out."""
    return replace(application.tree, data={k: v for k, v in application.tree.data.items() if k != "defaults"})


def described(tree: Node, *, origins: bool = True) -> str:
    """The tree as YAML; with ``origins``, each value's place beside it."""
    return "".join(_lines(tree, 0, origins))


def _lines(node: Node, depth: int, origins: bool) -> Iterator[str]:
    indent = "  " * depth
    for step, child in items(node):
        head = f"{indent}- " if isinstance(step, int) else f"{indent}{_scalar(step)}: "
        if _short(child):
            beside = f"  # {place(child)}" if origins else ""
            yield f"{head}{_flow(child)}{beside}\n"
        elif isinstance(step, int):
            first, *rest = _lines(child, depth + 1, origins)
            yield head + first.lstrip(" ")
            yield from rest
        else:
            yield head.rstrip() + "\n"
            yield from _lines(child, depth + 1, origins)


def _short(node: Node) -> bool:
    """Whether it goes on one line: a scalar, something empty, a list of scalars."""
    return not items(node) or (isinstance(node.data, list) and not any(items(n) or isinstance(n.data, dict) for n in node.data))


def _flow(node: Node) -> str:
    if isinstance(node.data, list):
        return f"[{', '.join([_flow(n) for n in node.data])}]"
    return "{}" if node.data == {} else "" if node.data is None else _scalar(node.data)


def _scalar(value: Any) -> str:
    """A scalar as YAML writes it on one line."""
    if isinstance(value, str) and ("\n" in value or any(c in value for c in ",[]{}")):
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("\t", "\\t") + '"'
    return dump([{"k": value}]).strip().removeprefix("k:").strip() or '""'
