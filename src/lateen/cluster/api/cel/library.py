"""Kubernetes' function libraries for CEL: quantities, IP addresses and networks, URLs, semantic versions, formats, regexes,
lists, and the authorizer. A value of such a type is a map with its kind under ``@``; one function serves all receivers.

``environment`` loads ``extension``; the functions themselves are pure, but for the authorizer's last step, which asks ``Rbac``.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Mapping
from fractions import Fraction
from functools import partial
from itertools import pairwise
from typing import Any, Protocol
from urllib.parse import parse_qs, urlsplit
from weakref import WeakValueDictionary

from lateen.cluster.api.cel.formats import FORMATS, problems
from lateen.kube import quantity

_SEMVER = re.compile(r"^(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)(?:-([0-9A-Za-z.-]+))?(?:\+([0-9A-Za-z.-]+))?$")


def _made(kind: str, **fields: Any) -> dict[str, Any]:
    return {"@": kind, **fields}


def _number(value: Any) -> Fraction:
    """A quantity's worth; whole numbers count as quantities beside one."""
    return Fraction(value) if isinstance(value, int | float) else Fraction(value["value"])


def _ok(make: Callable[[str], Any]) -> Callable[[str], bool]:
    def check(text: str) -> bool:
        try:
            make(text)
        except ValueError:
            return False
        return True

    return check


# quantities and semantic versions: what can be compared


def _quantity(text: str) -> Any:
    return _made("quantity", value=str(quantity.parse(text)))


def _semver(text: str) -> Any:
    found = _SEMVER.match(text)
    if found is None:
        raise ValueError(f"No Major.Minor.Patch elements found in {text!r}")
    return _made("semver", major=int(found[1]), minor=int(found[2]), patch=int(found[3]), pre=found[4] or "")


def _rank(value: Any) -> Any:
    if isinstance(value, Mapping) and value.get("@") == "semver":
        parts = [(0, int(p), "") if p.isdigit() else (1, 0, p) for p in value["pre"].split(".")] if value["pre"] else [(2, 0, "")]
        return (value["major"], value["minor"], value["patch"], parts)
    return _number(value)


def _compare(a: Any, b: Any) -> int:
    left, right = _rank(a), _rank(b)
    return int(left > right) - int(left < right)


def _plus(a: Any, b: Any) -> Any:
    return _made("quantity", value=str(_number(a) + _number(b)))


def _minus(a: Any, b: Any) -> Any:
    return _made("quantity", value=str(_number(a) - _number(b)))


def _as_integer(value: Any) -> int:
    number = _number(value)
    if number.denominator != 1:
        raise ValueError("cannot convert value to integer")
    return int(number)


def _sign(value: Any) -> int:
    return (_number(value) > 0) - (_number(value) < 0)


# addresses


def _ip(text: str) -> Any:
    found = ipaddress.ip_address(text)
    if getattr(found, "ipv4_mapped", None):
        raise ValueError(f"IPv4-mapped IPv6 address {text!r} is not allowed")
    return _made("ip", value=text)


def _cidr(text: str) -> Any:
    ipaddress.ip_network(text, strict=False)
    if "/" not in text:
        raise ValueError(f"network address parse error during conversion from string: {text!r}")
    return _made("cidr", value=text)


def _network(value: Any) -> Any:
    return ipaddress.ip_network(value["value"] if isinstance(value, Mapping) else value, strict=False)


def _address(value: Any) -> Any:
    return ipaddress.ip_address(value["value"] if isinstance(value, Mapping) else value)


def _contains_cidr(outer: Any, inner: Any) -> bool:
    big, small = _network(outer), _network(inner)
    return bool(big.version == small.version and small.subnet_of(big))


def _global(value: Any) -> bool:
    found = _address(value)
    return not (found.is_unspecified or found.is_loopback or found.is_multicast or found.is_link_local)


def _ip_of(value: Any) -> Any:
    """``ip('1.2.3.4')``, and the address of a network."""
    if isinstance(value, Mapping):
        return _made("ip", value=value["value"].partition("/")[0])
    return _ip(value)


# URLs


def _url(text: str) -> Any:
    found = urlsplit(text)
    if not (found.scheme or text.startswith("/")) or " " in text:
        raise ValueError(f"URL parse error during conversion from string: parse {text!r}: invalid URI for request")
    return _made("url", value=text)


def _parsed(value: Any) -> Any:
    return urlsplit(value["value"])


# lists and texts


def _ordered(values: Any) -> bool:
    return all(a <= b for a, b in pairwise(values))


def _least(values: Any) -> Any:
    if not values:
        raise ValueError("min called on empty list")
    return min(values)


def _most(values: Any) -> Any:
    if not values:
        raise ValueError("max called on empty list")
    return max(values)


def _find(text: str, pattern: str) -> str:
    found = re.search(pattern, text)
    return found[0] if found else ""


def _find_all(text: str, pattern: str) -> list[str]:
    return [m[0] for m in re.finditer(pattern, text)]


def _find_some(text: str, pattern: str, limit: int) -> list[str]:
    found = _find_all(text, pattern)
    return found if limit < 0 else found[:limit]


def _position(values: Any, wanted: Any) -> int:
    return next((i for i, v in enumerate(values) if v == wanted), -1)


def _last_position(values: Any, wanted: Any) -> int:
    return max((i for i, v in enumerate(values) if v == wanted), default=-1)


# what may be there: the evaluator's own optional values cannot be made here


def _maybe(value: Any) -> dict[str, Any]:
    return _made("optional", has=value is not None, value=value)


def _value_of(value: Any) -> Any:
    if not value["has"]:
        raise ValueError("optional.none() dereference")
    return value["value"]


# the authorizer: each step adds to what is asked


def _with(**fields: Any) -> Callable[..., Any]:
    names = list(fields)

    def step(value: Any, *arguments: Any) -> Any:
        return {**value, **dict(zip(names, arguments, strict=False))}

    return step


def _functions() -> list[tuple[str, int, bool, Callable[..., Any]]]:
    """(name, arguments with the receiver, whether it has one, what it does)."""
    return [
        ("quantity", 1, False, _quantity),
        ("isQuantity", 1, False, _ok(quantity.parse)),
        ("isInteger", 1, True, lambda q: _number(q).denominator == 1),
        ("asInteger", 1, True, _as_integer),
        ("asApproximateFloat", 1, True, lambda q: float(_number(q))),
        ("sign", 1, True, _sign),
        ("add", 2, True, _plus),
        ("sub", 2, True, _minus),
        ("compareTo", 2, True, _compare),
        ("isLessThan", 2, True, lambda a, b: _compare(a, b) < 0),
        ("isGreaterThan", 2, True, lambda a, b: _compare(a, b) > 0),
        ("semver", 1, False, _semver),
        ("isSemver", 1, False, _ok(_semver)),
        ("major", 1, True, lambda v: v["major"]),
        ("minor", 1, True, lambda v: v["minor"]),
        ("patch", 1, True, lambda v: v["patch"]),
        ("ip", 1, False, _ip),
        ("ip", 1, True, _ip_of),
        ("isIP", 1, False, _ok(_ip)),
        ("ip.isCanonical", 1, False, lambda text: str(ipaddress.ip_address(text)) == text),
        ("family", 1, True, lambda v: _address(v).version),
        ("isUnspecified", 1, True, lambda v: _address(v).is_unspecified),
        ("isLoopback", 1, True, lambda v: _address(v).is_loopback),
        ("isLinkLocalMulticast", 1, True, lambda v: _address(v) in ipaddress.ip_network("224.0.0.0/24")),
        ("isLinkLocalUnicast", 1, True, lambda v: _address(v).is_link_local),
        ("isGlobalUnicast", 1, True, _global),
        ("cidr", 1, False, _cidr),
        ("isCIDR", 1, False, _ok(_cidr)),
        ("containsIP", 2, True, lambda n, a: _address(a) in _network(n)),
        ("containsCIDR", 2, True, _contains_cidr),
        ("masked", 1, True, lambda n: _made("cidr", value=str(_network(n)))),
        ("prefixLength", 1, True, lambda n: _network(n).prefixlen),
        ("url", 1, False, _url),
        ("isURL", 1, False, _ok(_url)),
        ("getScheme", 1, True, lambda u: _parsed(u).scheme),
        ("getHost", 1, True, lambda u: _parsed(u).netloc.rpartition("@")[2]),
        ("getHostname", 1, True, lambda u: _parsed(u).hostname or ""),
        ("getPort", 1, True, lambda u: str(_parsed(u).port or "")),
        ("getEscapedPath", 1, True, lambda u: _parsed(u).path),
        ("getQuery", 1, True, lambda u: parse_qs(_parsed(u).query, keep_blank_values=True)),
        ("find", 2, True, _find),
        ("findAll", 2, True, _find_all),
        ("findAll", 3, True, _find_some),
        ("format.named", 1, False, lambda name: _maybe(_made("format", name=name) if name in FORMATS else None)),
        *((f"format.{name}", 0, False, partial(_made, "format", name=name)) for name in FORMATS),
        ("validate", 2, True, lambda form, text: _maybe(problems(form["name"], text) or None)),
        ("isSorted", 1, True, _ordered),
        ("sum", 1, True, sum),
        ("min", 1, True, _least),
        ("max", 1, True, _most),
        ("jsonpatch.escapeKey", 1, False, lambda key: key.replace("~", "~0").replace("/", "~1")),
        ("group", 2, True, _with(group="")),
        ("resource", 2, True, _with(resource="")),
        ("subresource", 2, True, _with(subresource="")),
        ("namespace", 2, True, _with(namespace="")),
        ("name", 2, True, _with(name="")),
        ("path", 2, True, _with(path="")),
        ("serviceAccount", 3, True, _with(account_namespace="", account="")),
        ("check", 2, True, _with(verb="")),
        ("allowed", 1, True, lambda value: DECIDERS[value["decider"]].decide(value)),
        ("reason", 1, True, lambda value: ""),
        ("errored", 1, True, lambda value: False),
        ("error", 1, True, lambda value: ""),
    ]


def _typed(types: Any) -> list[tuple[str, int, Any, Any, Callable[..., Any]]]:
    """The same for names that CEL has for other receivers: (name, arguments, the receiver's type, what it gives, what it does)."""
    lists, maybe = types.List(types.DYN), types.Map(types.STRING, types.DYN)
    return [
        ("indexOf", 2, lists, types.INT, _position),
        ("lastIndexOf", 2, lists, types.INT, _last_position),
        ("hasValue", 1, maybe, types.BOOL, lambda v: v["has"]),
        ("value", 1, maybe, types.DYN, _value_of),
    ]


class Decider(Protocol):
    """Who answers ``authorizer...allowed()``."""

    def decide(self, value: Mapping[str, Any]) -> bool:
        """Whether what the authorizer value asks for may be done."""
        ...


# By the name that an authorizer value carries: expressions hold plain data only.
DECIDERS: WeakValueDictionary[str, Decider] = WeakValueDictionary()


def extension() -> Any:
    """Everything above, for ``cel.NewEnv``."""
    from cel_expr_python import cel

    dyn, by_name = cel.Type.DYN, dict[str, list[Any]]()
    for name, count, member, work in _functions():
        key = f"{name.replace('.', '_')}_{count}_{'of' if member else 'free'}"
        made = cel.Overload(key, dyn, [dyn] * count, is_member=member, impl=work)
        by_name.setdefault(name, []).append(made)
    for name, count, taker, gives, done in _typed(cel.Type):
        made = cel.Overload(f"{name}_{count}_own", gives, [taker, *[dyn] * (count - 1)], is_member=True, impl=done)
        by_name.setdefault(name, []).append(made)
    return cel.CelExtension("kubernetes", [cel.FunctionDecl(name, overloads) for name, overloads in by_name.items()])
