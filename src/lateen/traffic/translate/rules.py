"""The rules of an HTTPRoute -> ``ir.Route``, sorted by the precedence that the Gateway API lays down."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lateen.kube.meta import Key, Object, key_of
from lateen.traffic.ir import (
    Backend,
    HeaderEdit,
    Match,
    Mirror,
    PathChange,
    PathKind,
    PortKey,
    Redirect,
    Route,
    Timeouts,
    ValueMatch,
)
from lateen.traffic.translate.conditions import Condition, age, resolved
from lateen.traffic.translate.references import References

_PATH_RANK = {PathKind.EXACT: 0, PathKind.REGEX: 1, PathKind.PREFIX: 2}
_UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}
_ANY = ({"path": {"type": "PathPrefix", "value": "/"}},)
Ranked = tuple[tuple[Any, ...], Route]


class UnsupportedError(Exception):
    """A value that the proxies cannot carry out: the route is not accepted."""


@dataclass(frozen=True, slots=True)
class Rules:
    """A route's rules, each with its place in the order, and whether its references hold."""

    routes: tuple[Ranked, ...]
    resolved: Condition


def rules_of(route: Object, references: References, kind: str = "HTTPRoute") -> Rules:
    """The rules of a route of ``kind``, which is written as an HTTPRoute. Raises UnsupportedError with the reason in words."""
    reader = _Reader(route, references, kind)
    ranked = tuple(reader.routes())
    return Rules(ranked, reader.bad[0] if reader.bad else resolved())


def seconds_of(text: str | None) -> float | None:
    """A Gateway API duration (``1h30m``, ``250ms``). Zero means no limit."""
    if not text:
        return None
    return sum(float(amount) * _UNITS[unit] for amount, unit in re.findall(r"(\d+)(ms|h|m|s)", text)) or None


class _Reader:
    """Reads one route; bad references collect in ``bad``."""

    def __init__(self, route: Object, references: References, kind: str) -> None:
        self._route, self._references, self._kind = route, references, kind
        self._key: Key = key_of(route)
        self.bad: list[Condition] = []

    def routes(self) -> Iterator[Ranked]:
        """Each match of each rule with its sort key."""
        for index, rule in enumerate(self._route["spec"].get("rules") or ({},)):
            backends = tuple(self._backends(rule))
            for number, entry in enumerate(rule.get("matches") or _ANY):
                match = _match(entry)
                yield (*_precedence(match), *age(self._route), index, number), self._one(rule, match, backends)

    def _one(self, rule: Mapping[str, Any], match: Match, backends: tuple[Backend, ...]) -> Route:
        filters = _whole(rule.get("filters") or ())
        request, response = _edits(filters)
        timeouts = rule.get("timeouts") or {}
        rewrite = _first(filters, "URLRewrite", "urlRewrite")
        return Route(
            source=self._key,
            match=match,
            backends=backends,
            redirect=_redirect(_first(filters, "RequestRedirect", "requestRedirect"), match),
            rewrite_host=rewrite.get("hostname") or "" if rewrite else "",
            rewrite_path=_path_change(rewrite.get("path"), match) if rewrite else None,
            request=request,
            response=response,
            mirrors=tuple(self._mirrors(filters)),
            timeouts=Timeouts(request=seconds_of(timeouts.get("request")), backend=seconds_of(timeouts.get("backendRequest"))),
        )

    def _backends(self, rule: Mapping[str, Any]) -> Iterator[Backend]:
        for ref in rule.get("backendRefs") or ():
            request, response = _edits(_whole(ref.get("filters") or ()), inner=True)
            weight = ref.get("weight")
            yield Backend(port=self._port(ref), weight=1 if weight is None else int(weight), request=request, response=response)

    def _mirrors(self, filters: Sequence[Mapping[str, Any]]) -> Iterator[Mirror]:
        for entry in (f["requestMirror"] for f in filters if f["type"] == "RequestMirror"):
            port, fraction = self._port(entry["backendRef"]), entry.get("fraction") or {}
            if port is not None:
                numerator = fraction.get("numerator", entry.get("percent", 100))
                yield Mirror(port, int(numerator), int(fraction.get("denominator", 100)))

    def _port(self, ref: Mapping[str, Any]) -> PortKey | None:
        found = self._references.backend(ref, self._kind, self._key.namespace)
        if isinstance(found, Condition):
            self.bad.append(found)
            return None
        return found


def _precedence(match: Match) -> tuple[Any, ...]:
    rank = _PATH_RANK[match.path_kind]
    headers = [h for h in match.headers if not h.name.startswith(":")]  # of an Ingress's wildcard host: no matter of rank
    return rank, -len(match.path), not match.method, -len(headers), -len(match.query)


def _match(entry: Mapping[str, Any]) -> Match:
    path = entry.get("path") or {}
    kind, value = PathKind(path.get("type") or "PathPrefix"), path.get("value") or "/"
    return Match(
        path=_checked(value) if kind is PathKind.REGEX else value,
        path_kind=kind,
        headers=tuple(_value(h, lower=True) for h in _unique(entry.get("headers") or ())),
        query=tuple(_value(q) for q in _unique(entry.get("queryParams") or ())),
        method=entry.get("method") or "",
    )


def _unique(entries: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The first of each name: names of headers do not differ by case."""
    first: dict[str, Mapping[str, Any]] = {}
    for entry in entries:
        first.setdefault(entry["name"].lower(), entry)
    return list(first.values())


def _value(entry: Mapping[str, Any], *, lower: bool = False) -> ValueMatch:
    regex = entry.get("type") == "RegularExpression"
    name = entry["name"].lower() if lower else entry["name"]
    return ValueMatch(name, _checked(entry["value"]) if regex else entry["value"], regex)


def _checked(pattern: str) -> str:
    """The pattern, if it is one that RE2 can carry out: no look-around, no back-references."""
    try:
        re.compile(pattern)
    except re.error as error:
        raise UnsupportedError(f"{pattern!r} is not a regular expression: {error}") from error
    if re.search(r"\(\?(=|!|<=|<!|P=)|\\[1-9]", pattern):
        raise UnsupportedError(f"{pattern!r} uses look-around or a back-reference, which RE2 does not know")
    return pattern


_CONFIGURED = {
    "RequestHeaderModifier": "requestHeaderModifier",
    "ResponseHeaderModifier": "responseHeaderModifier",
    "RequestMirror": "requestMirror",
    "RequestRedirect": "requestRedirect",
    "URLRewrite": "urlRewrite",
}


def _whole(filters: Sequence[Mapping[str, Any]]) -> Sequence[Mapping[str, Any]]:
    """The filters, each with what its type needs (a server that does not check CEL rules stores others too)."""
    for entry in filters:
        field = _CONFIGURED.get(entry["type"])
        if field is not None and not isinstance(entry.get(field), Mapping):
            raise UnsupportedError(f"the filter {entry['type']} has no {field}")
    return filters


def _edits(filters: Sequence[Mapping[str, Any]], *, inner: bool = False) -> tuple[HeaderEdit, HeaderEdit]:
    """(request, response) header changes. ``inner``: filters of a backend, where only these are carried out."""
    request = response = HeaderEdit()
    for entry in filters:
        if entry["type"] == "RequestHeaderModifier":
            request = request.then(_edit(entry["requestHeaderModifier"]))
        elif entry["type"] == "ResponseHeaderModifier":
            response = response.then(_edit(entry["responseHeaderModifier"]))
        elif inner or entry["type"] not in ("RequestRedirect", "URLRewrite", "RequestMirror"):
            raise UnsupportedError(f"the filter {entry['type']} is not supported" + (" on a backend" if inner else ""))
    return request, response


def _edit(entry: Mapping[str, Any]) -> HeaderEdit:
    put, add = (tuple((h["name"], h["value"]) for h in entry.get(k) or ()) for k in ("set", "add"))
    return HeaderEdit(put, add, tuple(entry.get("remove") or ()))


def _first(filters: Sequence[Mapping[str, Any]], kind: str, field: str) -> Mapping[str, Any] | None:
    return next((f.get(field) or {} for f in filters if f["type"] == kind), None)


def _redirect(entry: Mapping[str, Any] | None, match: Match) -> Redirect | None:
    if entry is None:
        return None
    scheme, port = entry.get("scheme") or "", entry.get("port")
    if port is None and scheme:
        port = {"http": 80, "https": 443}[scheme]
    return Redirect(
        scheme=scheme,
        host=entry.get("hostname") or "",
        port=port,
        path=_path_change(entry.get("path"), match),
        code=int(entry.get("statusCode") or 302),
    )


def _path_change(entry: Mapping[str, Any] | None, match: Match) -> PathChange | None:
    if not entry:
        return None
    if entry["type"] == "ReplaceFullPath":
        return PathChange(entry.get("replaceFullPath") or "/", prefix=False)
    if match.path_kind is not PathKind.PREFIX:
        raise UnsupportedError("ReplacePrefixMatch needs a match of type PathPrefix")
    return PathChange(entry.get("replacePrefixMatch") or "/", prefix=True)
