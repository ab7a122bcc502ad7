"""Kubernetes quantities: ``100m``, ``1.5``, ``128Mi``, ``1e3``. Exact: values are Fractions of the base unit.

Grammar: apimachinery pkg/api/resource.
"""

from __future__ import annotations

import re
from fractions import Fraction
from functools import lru_cache

_UNITS = {
    "n": Fraction(1, 10**9),
    "u": Fraction(1, 10**6),
    "m": Fraction(1, 1000),
    "": Fraction(1),
    "k": Fraction(10**3),
    "M": Fraction(10**6),
    "G": Fraction(10**9),
    "T": Fraction(10**12),
    "P": Fraction(10**15),
    "E": Fraction(10**18),
    "Ki": Fraction(2**10),
    "Mi": Fraction(2**20),
    "Gi": Fraction(2**30),
    "Ti": Fraction(2**40),
    "Pi": Fraction(2**50),
    "Ei": Fraction(2**60),
}
_MOST_EXPONENT = 64  # Kubernetes caps at 2^63 and rounds at a billionth: what is further out is a mistake or an attack
_FORM = re.compile(r"([+-]?(?:\d+(?:\.\d*)?|\.\d+))(?:[eE]([+-]?\d+)|(n|u|m|k|M|G|T|P|E|Ki|Mi|Gi|Ti|Pi|Ei)?)")


@lru_cache(maxsize=4096)
def parse(text: str | int | float) -> Fraction:
    """The value in base units (cores, bytes). ValueError if it is no quantity."""
    found = _FORM.fullmatch(str(text))
    if found is None:
        raise ValueError(
            f"unable to parse quantity's suffix: {text!r}; quantities must match the regular expression "
            "'^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"
        )
    number, exponent, unit = found.groups()
    if exponent and abs(int(exponent)) > _MOST_EXPONENT:
        raise ValueError(f"quantity {str(text)[:40]!r} is out of range")
    return Fraction(number) * (Fraction(10) ** int(exponent) if exponent else _UNITS[unit or ""])


def milli(text: str | int | float) -> int:
    """The value in thousandths, rounded up (CPU)."""
    value = parse(text) * 1000
    return -(-value.numerator // value.denominator)


def whole(text: str | int | float) -> int:
    """The value in base units, rounded up (bytes, counts)."""
    value = parse(text)
    return -(-value.numerator // value.denominator)


@lru_cache(maxsize=4096)
def canonical(text: str | int | float) -> str:
    """The form Kubernetes answers with: no fraction, the largest unit that loses nothing (``0.5`` is ``500m``, ``1024Mi`` is
    ``1Gi``). The kind of unit (binary, decimal, exponent) stays as written. Finer than a billionth is rounded up. ValueError.
    """
    found = _FORM.fullmatch(str(text).strip())
    if found is None:
        raise ValueError(f"{text!r} is no quantity")
    _, exponent, unit = found.groups()
    value = parse(str(text).strip())
    if (unit or "").endswith("i") and abs(value) >= 1024 and value.denominator == 1:
        return _scaled(value, 1024, ("", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"))
    nanos = -(-value * 10**9 // 1)
    units = tuple(f"e{n}" if n else "" for n in range(-9, 19, 3)) if exponent else ("n", "u", "m", "", "k", "M", "G", "T", "P", "E")
    return _scaled(Fraction(nanos), 1000, units)


def _scaled(value: Fraction, base: int, units: tuple[str, ...]) -> str:
    number, step = int(value), 0
    while number and number % base == 0 and step < len(units) - 1:
        number, step = number // base, step + 1
    return f"{number}{units[step]}" if number else "0"
