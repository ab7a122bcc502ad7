"""What the checks of every kind are made of. Checks are generators of findings; a ``field`` is the path they report.

Types were checked before (``kube.schemas``), so a value that is there has its type; it may be missing or null.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from lateen.kube import names, quantity
from lateen.kube.meta import Object
from lateen.kube.names import Check
from lateen.kube.validation.errors import DUPLICATE, FieldError, forbidden, invalid, required, too_long, unsupported

Errors = Iterator[FieldError]
Rule = Callable[[Object, Object | None], Errors]

IMMUTABLE = "field is immutable"
_PERCENT = "a valid percent string must be a numeric string followed by an ending '%'"
_PERCENT_TEXT = f"{_PERCENT} (e.g. '1%',  or '93%', regex used for validation is '[0-9]+%')"
_ANNOTATIONS_MAX = 256 * 1024
_FINALIZERS = ("kubernetes", "orphan", "foregroundDeletion")
_OPERATORS = ("In", "NotIn", "Exists", "DoesNotExist")


def entries(obj: Mapping[str, Any] | None, name: str, at: str) -> Iterator[tuple[str, Object]]:
    """(path, item) of the objects in list ``name``; ``at`` is the path of ``obj``."""
    field = f"{at}.{name}" if at else name
    for i, item in enumerate((obj or {}).get(name) or ()):
        yield f"{field}[{i}]", item or {}


def follows(check: Check, field: str, value: str) -> Errors:
    """Findings of a name rule."""
    for text in check(value):
        yield invalid(field, value, text)


def needed(check: Check, field: str, value: str | None) -> Errors:
    """A name that must be there and follow its rule."""
    if not value:
        yield required(field)
    else:
        yield from follows(check, field, value)


def non_negative(obj: Mapping[str, Any], at: str, *fields: str) -> Errors:
    """Numbers that may not be below 0."""
    for name in fields:
        value = obj.get(name)
        if value is not None and value < 0:
            yield invalid(f"{at}.{name}", value, "must be greater than or equal to 0")


def one_of(obj: Mapping[str, Any], name: str, at: str, known: Sequence[str], *, need: bool = True) -> Errors:
    """A word from a list."""
    value, field = obj.get(name), f"{at}.{name}" if at else name
    if value in known:
        return
    if value:
        yield unsupported(field, value, known)
    elif need:
        yield required(field)


def unchanged(new: Any, old: Any, field: str, detail: str = IMMUTABLE) -> Errors:
    """A field that may not change."""
    if new != old:
        yield invalid(field, new, detail)


def unique(found: Iterable[tuple[str, Any]]) -> Errors:
    """(path, identity) pairs of which no identity may come twice."""
    seen: set[Any] = set()
    for field, identity in found:
        if identity in seen:
            yield FieldError(DUPLICATE, field, "", identity)
        seen.add(identity)


def port(value: Any, field: str) -> Errors:
    """A port by number or name."""
    if isinstance(value, int):
        for text in names.port_number(value):
            yield invalid(field, value, text)
    else:
        yield from follows(names.port_name, field, str(value or ""))


def count_or_percent(value: Any, field: str) -> Errors:
    """An IntOrString that is a count or a share."""
    if isinstance(value, int):
        if value < 0:
            yield invalid(field, value, "must be greater than or equal to 0")
    elif not re.fullmatch("[0-9]+%", value):
        yield invalid(field, value, _PERCENT_TEXT)


def at_most_all(value: Any, field: str) -> Errors:
    """A share may not be over 100%."""
    if isinstance(value, str) and re.fullmatch("[0-9]+%", value) and int(value[:-1]) > 100:
        yield invalid(field, value, "must not be greater than 100%")


def amount(value: Any, field: str, *, positive: bool = False) -> Errors:
    """A quantity that is not negative (or above 0)."""
    try:
        number = quantity.parse(value)
    except ValueError as error:
        yield invalid(field, value, str(error))
        return
    if number < 0 or (positive and not number):
        yield invalid(field, str(value), "must be greater than zero" if positive else "must be greater than or equal to 0")


def label_map(labels: Mapping[str, Any] | None, field: str) -> Errors:
    """Labels: keys and values."""
    for key, value in (labels or {}).items():
        yield from follows(names.qualified_name, field, key)
        yield from follows(names.label_value, field, value or "")


def label_selector(selector: Mapping[str, Any] | None, at: str) -> Errors:
    """A metav1.LabelSelector."""
    yield from label_map((selector or {}).get("matchLabels"), f"{at}.matchLabels")
    for field, term in entries(selector, "matchExpressions", at):
        operator, values = term.get("operator"), term.get("values")
        if operator in ("In", "NotIn") and not values:
            yield required(f"{field}.values", "must be specified when `operator` is 'In' or 'NotIn'")
        elif operator in ("Exists", "DoesNotExist") and values:
            yield forbidden(f"{field}.values", "may not be specified when `operator` is 'Exists' or 'DoesNotExist'")
        elif operator not in _OPERATORS:
            yield invalid(f"{field}.operator", operator or "", "not a valid selector operator")
        yield from follows(names.qualified_name, f"{field}.key", term.get("key") or "")


def metadata(obj: Mapping[str, Any], name_rule: Check, *, own_finalizers: bool = True) -> Errors:
    """ObjectMeta. ``own_finalizers``: those without a domain must be Kubernetes' own (not so for CRDs and custom resources)."""
    meta = obj.get("metadata") or {}
    if meta.get("generateName"):
        base = meta["generateName"]
        yield from follows(name_rule, "metadata.generateName", base[:-1] + "a" if base.endswith("-") else base)
    if meta.get("name"):
        yield from follows(name_rule, "metadata.name", meta["name"])
    else:
        yield required("metadata.name", "name or generateName is required")
    if meta.get("labels"):
        yield from label_map(meta["labels"], "metadata.labels")
    if meta.get("annotations"):
        yield from _annotations(meta["annotations"])
    if meta.get("ownerReferences"):
        yield from _owners(meta)
    for i, finalizer in enumerate(meta.get("finalizers") or ()):
        yield from _finalizer(finalizer, f"metadata.finalizers[{i}]", own=own_finalizers)


def _annotations(annotations: Mapping[str, Any]) -> Errors:
    size = 0
    for key, value in annotations.items():
        yield from follows(names.qualified_name, "metadata.annotations", key.lower())
        size += len(key) + len((value or "").encode())
    if size > _ANNOTATIONS_MAX:
        yield too_long("metadata.annotations", _ANNOTATIONS_MAX)


def _owners(meta: Mapping[str, Any]) -> Errors:
    controller = ""
    for field, owner in entries(meta, "ownerReferences", "metadata"):
        for name in ("apiVersion", "kind", "name", "uid"):
            if not owner.get(name):
                shown = "version" if name == "apiVersion" else name
                yield invalid(f"{field}.{name}", "", f"{shown} must not be empty" if name != "uid" else "must not be empty")
        if owner.get("controller"):
            if controller:
                detail = "Only one reference can have Controller set to true. Found "
                detail += f'"true" in references for {controller} and {owner.get("kind")}/{owner.get("name")}'
                yield invalid("metadata.ownerReferences", meta["ownerReferences"], detail)
            controller = f"{owner.get('kind')}/{owner.get('name')}"


def _finalizer(finalizer: str, field: str, *, own: bool) -> Errors:
    yield from follows(names.qualified_name, field, finalizer)
    if own and "/" not in finalizer and finalizer not in _FINALIZERS:
        yield invalid(field, finalizer, "name is neither a standard finalizer name nor is it fully qualified")
