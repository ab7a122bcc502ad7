"""Python as a front: an application as objects of ``lateen.model``, as a tree whose places are the module's lines.

Which line gave a value is read from the source: the calls, dicts and names that lead from ``app`` to it. Where that leads nowhere
(a loop, a function), the place is the nearest thing around it that it does lead to.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping
from typing import Any

from pydantic.alias_generators import to_camel

from lateen.kube.yamltext import Mark, Node, Source
from lateen.model import App

VARIABLE = "app"


def tree(app: App, source: Source) -> Node:
    """The application as ``model.load`` takes it."""
    module = ast.parse(source.text)
    names = _names(module)
    data = app.model_dump(mode="json", by_alias=True, exclude_unset=True)
    return _Builder(source, names).node(data, names.get(VARIABLE), Mark(source, 0, 0))


def _names(module: ast.Module) -> dict[str, ast.expr]:
    """What the module's own names stand for; the last assignment counts."""
    found: dict[str, ast.expr] = {}
    for statement in module.body:
        if isinstance(statement, ast.Assign):
            found |= {t.id: statement.value for t in statement.targets if isinstance(t, ast.Name)}
        elif isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name) and statement.value is not None:
            found[statement.target.id] = statement.value
    return found


class _Builder:
    def __init__(self, source: Source, names: Mapping[str, ast.expr]) -> None:
        self._source, self._names = source, names

    def node(self, data: Any, written: ast.expr | None, around: Mark, key: Mark | None = None) -> Node:
        """The value as a Node; ``written`` is the expression that it came from, if that is known, ``around`` a place near it."""
        while isinstance(written, ast.Name):
            written = self._names.get(written.id)
        mark = self._mark(written) if written is not None else around
        if isinstance(data, dict):
            parts = _parts(written)
            children = {}
            for name, value in data.items():
                place, part = parts.get(name, (None, None))
                beside = self._mark(place) if place is not None else None
                children[name] = self.node(value, part, beside or mark, beside)
            return Node(children, mark, key)
        if isinstance(data, list):
            items = (
                written.elts if isinstance(written, ast.List | ast.Tuple) and len(written.elts) == len(data) else [None] * len(data)
            )
            return Node([self.node(v, w, mark) for v, w in zip(data, items, strict=True)], mark, key)
        return Node(data, mark, key, "" if data is None else str(data))

    def _mark(self, written: ast.AST) -> Mark:
        line, column = getattr(written, "lineno", 1) - 1, getattr(written, "col_offset", 0)
        same = getattr(written, "end_lineno", line + 1) == line + 1
        return Mark(self._source, line, column, getattr(written, "end_col_offset", column + 1) - column if same else 1)


def _parts(written: ast.expr | None) -> dict[str, tuple[ast.AST, ast.expr]]:
    """The parts of a call or dict by the names that they have in the model: where the name stands, and the value."""
    if isinstance(written, ast.Call):
        return {to_camel(k.arg.rstrip("_")): (k, k.value) for k in written.keywords if k.arg is not None}
    if isinstance(written, ast.Dict):
        pairs = zip(written.keys, written.values, strict=True)
        return {str(k.value): (k, v) for k, v in pairs if isinstance(k, ast.Constant)}
    return {}
