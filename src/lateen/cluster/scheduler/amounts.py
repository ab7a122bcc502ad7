"""Quantities as integers, for arithmetic on resources: thousandths for cpu, whole units for all else, rounded up. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import ROUND_CEILING, Decimal
from functools import lru_cache
from typing import Any

_SUFFIXES = {"n": "1e-9", "u": "1e-6", "m": "1e-3", "k": "1e3", "M": "1e6", "G": "1e9", "T": "1e12", "P": "1e15", "E": "1e18"}
_SCALES = {
    **{s: Decimal(v) for s, v in _SUFFIXES.items()},
    **{f"{s}i": Decimal(1 << 10 * (i + 1)) for i, s in enumerate("KMGTPE")},
}


@lru_cache(maxsize=4096)
def amount(resource: str, quantity: str) -> int:
    """``cpu: 250m`` -> 250, ``memory: 1Ki`` -> 1024. ValueError-like (ArithmeticError) never: the API server has validated it."""
    digits = quantity.rstrip("numkKMGTPEi")
    scale = _SCALES.get(quantity[len(digits) :], Decimal(1))
    value = Decimal(digits) * scale * (1000 if resource == "cpu" else 1)
    return int(value.to_integral_value(ROUND_CEILING))


def amounts_of(quantities: Mapping[str, Any]) -> dict[str, int]:
    """A resource list as integers."""
    return {k: amount(k, str(v)) for k, v in quantities.items()}
