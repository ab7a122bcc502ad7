"""Deterministic YAML of plain data, byte for byte as PyYAML writes it and several times as fast: it asks PyYAML once per text.

Maps keep their order, texts of several lines are blocks, there are no aliases. Reading is ``yamltext``'s.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from typing import Any

import yaml

_DUMPER: Any = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
_STR = "tag:yaml.org,2002:str"
# Texts that PyYAML would write bare and others (Go) would read as a number or a truth value.
_AMBIGUOUS = re.compile(
    r"[yYnN]|[-+]?(\d[\d_]*\.?[\d_]*|\.\d[\d_]*)[eE][-+]?\d+|[-+]?0[oO][0-7_]+|[-+]?0[xX][\da-fA-F_]+|[-+]?0[bB][01_]+"
)
_BARE = re.compile(r"[A-Za-z/][A-Za-z0-9_./-]{2,}")
_WORDS = frozenset({"true", "false", "yes", "no", "on", "off", "null"})
_LONGEST_KEY = 100  # beyond some length YAML writes keys in another way


class _Dumper(_DUMPER):  # type: ignore[misc]
    def ignore_aliases(self, data: Any) -> bool:
        return True


def _text(dumper: Any, value: str) -> Any:
    style = "|" if "\n" in value else "'" if _AMBIGUOUS.fullmatch(value) else None
    return dumper.represent_scalar(_STR, value, style=style)


_Dumper.add_representer(str, _text)


def dump(objects: Iterable[Any]) -> str:
    """The objects as one stream of YAML documents; equal objects give equal bytes on every machine."""
    return "---\n".join(_document(o) for o in objects)


def _document(value: Any) -> str:
    parts: list[str] = []
    if type(value) is dict and value and _map(value, "", parts.append):
        return "".join(parts)
    return _slowly(value)


def _slowly(value: Any) -> str:
    return str(yaml.dump(value, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=1_000_000))


def _map(found: dict[Any, Any], indent: str, put: Any) -> bool:
    """Write the fields, the first one where the line stands. False for what only PyYAML can write."""
    first = True
    for key, value in found.items():
        if type(key) is not str or len(key) > _LONGEST_KEY or not key.isprintable():
            return False
        put(f"{_scalar(key)}:" if first else f"{indent}{_scalar(key)}:")
        first = False
        kind = type(value)
        if kind is str:
            if "\n" not in value:
                put(f" {_scalar(value)}\n")
            elif not _plain_block(value):
                return False
            else:
                put(f" {_block(value, indent)}\n")
        elif kind is dict and value:
            put(f"\n{indent}  ")
            if not _map(value, indent + "  ", put):
                return False
        elif kind is list and value:
            put(f"\n{indent}")
            if not _list(value, indent, put):
                return False
        else:
            put(f" {_other(value)}\n")
    return True


def _list(found: list[Any], indent: str, put: Any) -> bool:
    first = True
    for value in found:
        put("- " if first else f"{indent}- ")
        first = False
        kind = type(value)
        if kind is str:
            if "\n" not in value:
                put(f"{_scalar(value)}\n")
            elif not _plain_block(value):
                return False
            else:
                put(f"{_block(value, indent)}\n")
        elif kind is dict and value:
            if not _map(value, indent + "  ", put):
                return False
        elif kind is list and value:
            if not _list(value, indent + "  ", put):
                return False
        else:
            put(f"{_other(value)}\n")
    return True


@lru_cache(maxsize=65536)
def _scalar(text: str) -> str:
    """A text of one line."""
    if _BARE.fullmatch(text) and text.lower() not in _WORDS:
        return text
    return _slowly([text])[2:-1]


def _plain_block(text: str) -> bool:
    """Whether a text of several lines needs no signs beside the bar: no space before it, one line break at most behind."""
    return text[0] not in " \n\t" and not text.endswith("\n\n") and text.replace("\n", "").isprintable()


def _block(text: str, indent: str) -> str:
    """A text of several lines, in a field or an item at this indentation."""
    head, *lines = _slowly([text])[2:-1].split("\n")
    return "\n".join([head, *(indent + line if line else "" for line in lines)])


def _other(value: Any) -> str:
    if value is None or value is True or value is False:
        return {None: "null", True: "true", False: "false"}[value]
    return str(value) if type(value) is int else _slowly([value])[2:-1]
