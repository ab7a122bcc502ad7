"""Scalar types of the model: names, durations, quantities, ranges, paths. Each parses one notation and says what it expects."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from fractions import Fraction
from typing import Annotated, Any

from pydantic import AfterValidator, PlainSerializer, PlainValidator, WithJsonSchema

from lateen.errors import InputError
from lateen.images import reference
from lateen.kube import cron, quantity
from lateen.model.base import wrong

_LABEL = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")
_PORT_NAME = re.compile(r"(?=.*[a-z])[a-z0-9]+(-[a-z0-9]+)*")
_VARIABLE = re.compile(r"[-._A-Za-z][-._A-Za-z0-9]*")
_HUGE = re.compile(r"[eE][+-]?\d{3,}")
_DURATION = re.compile(r"(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m)?(?:(\d+(?:\.\d+)?)s)?(?:(\d+)ms)?")


@dataclass(frozen=True, slots=True)
class Range:
    """A request and a limit, as Kubernetes writes quantities; an empty limit means none."""

    request: str
    limit: str = ""


def _name(value: str) -> str:
    if not _LABEL.fullmatch(value) or len(value) > 63:
        fixed = re.sub(r"[^a-z0-9]+", "-", value.lower()).strip("-")[:63].rstrip("-")
        usable = _LABEL.fullmatch(fixed)
        wrong(
            f"{value!r} is not a name: use lower-case letters, digits and '-', first a letter, at most 63 characters",
            f"for example {fixed!r}" if usable else "",
        )
    return value


def _port_name(value: str) -> str:
    if not _PORT_NAME.fullmatch(value) or len(value) > 15:
        wrong(f"{value!r} is not a port name: use lower-case letters, digits, single '-', at most 15 characters")
    return value


def slug(text: str) -> str:
    """``/var/lib/data`` as a part of an object's name: ``var-lib-data``."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-") or "root"


def is_variable(value: str) -> bool:
    """Whether Kubernetes takes it as the name of an environment variable."""
    return _VARIABLE.fullmatch(value) is not None


def _variable(value: str) -> str:
    if not is_variable(value):
        wrong(f"{value!r} is not the name of an environment variable: use letters, digits, '_', '-' and '.', not first a digit")
    return value


def _duration(value: Any) -> float:
    if isinstance(value, int | float) and not isinstance(value, bool) and value >= 0:
        return float(value)
    found = _DURATION.fullmatch(value) if isinstance(value, str) and value else None
    if found is None:
        wrong(f"{value!r} is not a duration: write for example 500ms, 10s, 1m30s, 2h or 30d")
    d, h, m, s, ms = (float(part or 0) for part in found.groups())
    return d * 86400 + h * 3600 + m * 60 + s + ms / 1000


def _percent(value: Any) -> int:
    if isinstance(value, int) and not isinstance(value, bool) and value > 0:
        return value
    if isinstance(value, str) and re.fullmatch(r"[1-9]\d*%", value):
        return int(value[:-1])
    return wrong(f"{value!r} is not a percentage: write for example 70%")


def _cron(value: str) -> str:
    try:
        cron.check(value)
    except InputError as error:
        wrong(
            f"{value!r} is not a schedule: {error.message}",
            "write five fields (minute hour day month weekday), for example '30 2 * * *'",
        )
    return value


def _zone(value: str) -> str:
    try:
        cron.zone(value)
    except InputError:
        wrong(f"{value!r} is not a time zone: write for example Europe/Berlin or Etc/UTC")
    return value


def _cidr(value: str) -> str:
    try:
        ipaddress.ip_network(value)
    except ValueError:
        wrong(f"{value!r} is not a block of addresses: write for example 10.20.0.0/16")
    return value


def amount(text: str) -> Fraction:
    """The value of a quantity. Raises the validator's error for a bad one."""
    try:
        value = quantity.parse(text) if not _HUGE.search(text) else None
    except ValueError:
        value = None
    if value is None:
        wrong(f"{text!r} is not a quantity: write for example 100m or 0.5 (CPU cores), 128Mi or 1Gi (memory, storage)")
    if value < 0:
        wrong(f"{text!r} is negative")
    return value


def _quantity(value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        wrong(f"expected a quantity such as 128Mi, found {_kind(value)}")
    amount(str(value))
    return str(value)


def _written(value: Range) -> str:
    return f"{value.request}..{value.limit}" if value.limit else value.request


def _range(value: Any) -> Range:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        wrong(f"expected a quantity or a range such as 100m..500m, found {_kind(value)}")
    request, dots, limit = str(value).partition("..")
    low = amount(request)
    if dots and amount(limit) < low:
        wrong(f"the limit {limit} is below the request {request}", f"write {limit}..{request}, or one value for both")
    return Range(request, limit)


def _int_or_percent(value: Any) -> int | str:
    count = isinstance(value, int) and not isinstance(value, bool) and value >= 0
    if count or (isinstance(value, str) and re.fullmatch(r"\d+%", value)):
        return value  # type: ignore[no-any-return] # checked above
    return wrong(f"{value!r} is neither a count nor a percentage: write for example 1 or 25%")


def _path(value: str) -> str:
    if (
        not value.startswith("/")
        or "//" in value
        or ".." in value.split("/")
        or ":" in value
        or (len(value) > 1 and value.endswith("/"))
    ):
        wrong(f"{value!r} is not an absolute path: start with '/', without '..', ':' or a '/' at the end")
    return value


def _mode(value: Any) -> int:
    if isinstance(value, str) and re.fullmatch(r"0?o?[0-7]{3}", value):
        return int(value.replace("o", ""), 8)
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= 0o777:
        return value
    return wrong(f"{value!r} is not a file mode: write for example 0444")


def _image(value: str) -> str:
    try:
        reference.parse(value)
    except InputError as error:
        wrong(error.message, error.hint)
    return value


def _key(value: str) -> str:
    name, slash, key = value.partition("/")
    if not (name and slash and key and re.fullmatch(r"[-._a-zA-Z0-9]+", key)):
        wrong(f"{value!r} does not name a key: write name/key")
    return value


def _kind(value: Any) -> str:
    return {dict: "a map", list: "a list", bool: "true or false", type(None): "nothing"}.get(type(value), repr(value))


def _schema(*types: str, examples: tuple[str, ...] = (), pattern: str = "") -> WithJsonSchema:
    schema: dict[str, Any] = {"type": list(types) if len(types) > 1 else types[0]}
    more = {"examples": list(examples), "pattern": pattern}
    return WithJsonSchema(schema | {k: v for k, v in more.items() if v})


_NUMERIC = ("string", "number")
Name = Annotated[str, AfterValidator(_name), _schema("string", pattern=r"^[a-z]([-a-z0-9]{0,61}[a-z0-9])?$")]
PortName = Annotated[str, AfterValidator(_port_name), _schema("string", pattern=r"^[a-z0-9-]{1,15}$")]
Variable = Annotated[str, AfterValidator(_variable), _schema("string", pattern=r"^[-._A-Za-z][-._A-Za-z0-9]*$")]
Duration = Annotated[float, PlainValidator(_duration), _schema(*_NUMERIC, examples=("10s", "1m30s"))]
Quantity = Annotated[str, PlainValidator(_quantity), _schema(*_NUMERIC, examples=("1Gi",))]
QuantityRange = Annotated[
    Range, PlainValidator(_range), PlainSerializer(_written), _schema(*_NUMERIC, examples=("100m", "100m..500m"))
]
Percent = Annotated[int, PlainValidator(_percent), _schema("integer", "string", examples=("70%",))]
Cron = Annotated[str, AfterValidator(_cron), _schema("string", examples=("30 2 * * *",))]
TimeZone = Annotated[str, AfterValidator(_zone), _schema("string", examples=("Europe/Berlin",))]
Cidr = Annotated[str, AfterValidator(_cidr), _schema("string", examples=("10.20.0.0/16",))]
IntOrPercent = Annotated[int | str, PlainValidator(_int_or_percent), _schema("integer", "string", examples=("1", "25%"))]
AbsolutePath = Annotated[str, AfterValidator(_path), _schema("string", pattern="^/")]
Text = Annotated[str, _schema("string", "number", "boolean")]
Mode = Annotated[int, PlainValidator(_mode), _schema("integer", "string", examples=("0444",))]
ImageReference = Annotated[str, AfterValidator(_image), _schema("string", examples=("registry.example.com/shop/cart:1.4",))]
KeyReference = Annotated[str, AfterValidator(_key), _schema("string", pattern="^[^/]+/[^/]+$", examples=("db/password",))]
