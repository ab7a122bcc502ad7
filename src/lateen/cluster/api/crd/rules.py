"""``x-kubernetes-validations``: the CEL rules of a custom resource's schema, compiled once, evaluated at every write.

Semantics follow apiextensions-apiserver (pkg/apiserver/schema/cel): a rule stands at a place of the schema, ``self`` is the value
there; a rule that names ``oldSelf`` runs only where there is an old value to compare with. A rule that cannot be compiled is
skipped, and the log says so when the definition is served.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from lateen.cluster.api.cel.environment import CelError, Program, compiled
from lateen.kube.validation.errors import DUPLICATE, FORBIDDEN, INVALID, REQUIRED, FieldError

log = logging.getLogger(__name__)
_REASONS = {"FieldValueForbidden": FORBIDDEN, "FieldValueRequired": REQUIRED, "FieldValueDuplicate": DUPLICATE}
_OLD = re.compile(r"\boldSelf\b")
_ABSENT: Any = object()
_VARIABLES = ("self", "oldSelf")
# Names CEL keeps to itself: Kubernetes lets a rule write __namespace__ for a field called namespace.
_RESERVED = frozenset(
    (
        *("true", "false", "null", "in", "as", "break", "const", "continue", "else", "for", "function", "if"),
        *("import", "let", "loop", "package", "namespace", "return", "var", "void", "while"),
    )
)
_ESCAPES = (("__", "__underscores__"), (".", "__dot__"), ("-", "__dash__"), ("/", "__slash__"))

# (value, old value or _ABSENT, path) -> findings
Check = Callable[[Any, Any, str], Iterator[FieldError]]


def compile_rules(schema: Mapping[str, Any], name: str) -> Check | None:
    """The check of every rule in ``schema``; None if there are none. ``name`` says whose in the log."""
    own = [r for found in schema.get("x-kubernetes-validations") or () if (r := _rule(found, name)) is not None]
    fields = {k: c for k, s in (schema.get("properties") or {}).items() if (c := compile_rules(s, name)) is not None}
    values, items = (_below(schema, part, name) for part in ("additionalProperties", "items"))
    if not own and not fields and values is None and items is None:
        return None
    keys = tuple(schema.get("x-kubernetes-list-map-keys") or ()) if schema.get("x-kubernetes-list-type") == "map" else ()

    def check(value: Any, old: Any, path: str) -> Iterator[FieldError]:
        for rule in own:
            yield from rule(value, old, path)
        if isinstance(value, dict):
            for key, inner in value.items():
                found = fields.get(key, values)
                if found is not None:
                    before = old.get(key, _ABSENT) if isinstance(old, dict) else _ABSENT
                    yield from found(inner, before, f"{path}.{key}" if path else key)
        elif isinstance(value, list) and items is not None:
            for i, inner in enumerate(value):
                yield from items(inner, _same_item(inner, old, keys), f"{path}[{i}]")

    return check


def _below(schema: Mapping[str, Any], part: str, name: str) -> Check | None:
    found = schema.get(part)
    return compile_rules(found, name) if isinstance(found, Mapping) else None


def _same_item(item: Any, old: Any, keys: Sequence[str]) -> Any:
    """The old item with the same keys: only items of map lists can be compared."""
    if not keys or not isinstance(old, list) or not isinstance(item, dict):
        return _ABSENT
    wanted = [item.get(k) for k in keys]
    return next((o for o in old if isinstance(o, dict) and [o.get(k) for k in keys] == wanted), _ABSENT)


def _rule(found: Mapping[str, Any], name: str) -> Check | None:
    text = str(found.get("rule") or "")
    try:
        expression = compiled(text, _VARIABLES)
        told = compiled(str(found["messageExpression"]), _VARIABLES) if found.get("messageExpression") else None
    except CelError as error:
        log.warning("%s: the rule %r is skipped: %s", name, text, str(error).splitlines()[0])
        return None
    compares, optional = bool(_OLD.search(text)), bool(found.get("optionalOldSelf"))
    escaped = "__" in text

    def check(value: Any, old: Any, path: str) -> Iterator[FieldError]:
        if value is None or (compares and old is _ABSENT and not optional):
            return
        data = {"self": _escape(value) if escaped else value}
        if compares:
            data["oldSelf"] = None if old is _ABSENT else _escape(old) if escaped else old
        problem = ""
        try:
            if expression.run(data) is True:
                return
        except CelError as error:
            problem = str(error)
        where = path + str(found.get("fieldPath") or "") if path else str(found.get("fieldPath") or "").lstrip(".")
        yield _finding(found, where or "<nil>", value, _message(found, told, data, problem))

    return check


def _message(found: Mapping[str, Any], told: Program | None, data: Mapping[str, Any], problem: str) -> str:
    if problem:
        return f"{problem} evaluating rule: {found.get('message') or found['rule']}"
    if told is not None:
        try:
            text = told.run(data)
        except CelError:
            text = ""
        if isinstance(text, str) and text.strip():
            return text
    return str(found.get("message") or f"failed rule: {found['rule']}")


def _finding(found: Mapping[str, Any], path: str, value: Any, message: str) -> FieldError:
    kind = _REASONS.get(str(found.get("reason")), INVALID)
    shown = {dict: "object", list: "array"}.get(type(value), value) if isinstance(value, dict | list) else value
    return FieldError(kind, path, message, shown)


def _escape(value: Any) -> Any:
    """The value with field names as a rule writes them."""
    if isinstance(value, dict):
        return {_escaped(k): _escape(v) for k, v in value.items()}
    return [_escape(v) for v in value] if isinstance(value, list) else value


def _escaped(name: str) -> str:
    if name in _RESERVED:
        return f"__{name}__"
    for plain, escape in _ESCAPES:
        name = name.replace(plain, escape)
    return name


def absent() -> Any:
    """What stands for "there was no old value"."""
    return _ABSENT
