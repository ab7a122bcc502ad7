"""A few words to write OpenAPI schemas with, so that a definition reads like the table in the Gateway API's reference."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Schema = dict[str, Any]

_LABEL = "[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_DOMAIN = rf"{_LABEL}(\.{_LABEL})*"
_PATH_CHARACTERS = r"[A-Za-z0-9\/\-._~%!$&'()*+,;=:]+"
GROUP_PATTERN = rf"^$|^{_DOMAIN}$"
KIND_PATTERN = "^[a-zA-Z]([-a-zA-Z0-9]*[a-zA-Z0-9])?$"
NAMESPACE_PATTERN = f"^{_LABEL}$"
SECTION_PATTERN = rf"^{_DOMAIN}$"
HOSTNAME_PATTERN = rf"^(\*\.)?{_DOMAIN}$"
CONTROLLER_PATTERN = rf"^{_DOMAIN}\/{_PATH_CHARACTERS}$"
ADDRESS_TYPE_PATTERN = rf"^Hostname|IPAddress|NamedAddress|{_DOMAIN}\/{_PATH_CHARACTERS}$"
DURATION_PATTERN = "^([0-9]{1,5}(h|m|s|ms)){1,4}$"


def _plain(**facts: Any) -> Schema:
    return {k: v for k, v in facts.items() if v is not None}


def string(least: int | None = None, most: int | None = None, pattern: str | None = None, **more: Any) -> Schema:
    """A string of ``least`` to ``most`` characters."""
    return _plain(type="string", minLength=least, maxLength=most, pattern=pattern, **more)


def enum(*values: Any, kind: str = "string", **more: Any) -> Schema:
    """One of ``values``."""
    return _plain(type=kind, enum=list(values), **more)


def integer(least: int | None = None, most: int | None = None, size: str | None = "int32", **more: Any) -> Schema:
    """An integer from ``least`` to ``most``."""
    return _plain(type="integer", format=size, minimum=least, maximum=most, **more)


def boolean() -> Schema:
    """True or false."""
    return {"type": "boolean"}


def array(items: Schema, most: int | None = None, *, kind: str = "atomic", key: str | None = None, **more: Any) -> Schema:
    """A list of at most ``most``; ``key`` makes it a map by that field."""
    keys = {"x-kubernetes-list-map-keys": [key]} if key else {}
    list_type = {"x-kubernetes-list-type": "map" if key else kind} if kind else {}
    return _plain(type="array", items=items, maxItems=most, **keys, **list_type, **more)


def table(values: Schema, most: int | None = None) -> Schema:
    """A mapping from any string."""
    return _plain(type="object", additionalProperties=values, maxProperties=most)


def record(fields: Mapping[str, Schema], required: str = "", **more: Any) -> Schema:
    """An object; ``required`` names fields, separated by spaces."""
    needed = {"required": required.split()} if required else {}
    return {"type": "object", "properties": dict(fields), **needed, **more}


def checked(schema: Schema, *rules: tuple[str, str]) -> Schema:
    """``schema`` with (CEL expression, what must hold) that every value must pass."""
    return {**schema, "x-kubernetes-validations": [{"rule": rule, "message": message} for rule, message in rules]}
