"""Quantities as integers, for arithmetic on resources: thousandths for cpu, whole units for all else, rounded up. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from lateen.kube.quantity import milli, whole


@lru_cache(maxsize=4096)
def amount(resource: str, quantity: str) -> int:
    """``cpu: 250m`` -> 250, ``memory: 1Ki`` -> 1024."""
    return milli(quantity) if resource == "cpu" else whole(quantity)


def amounts_of(quantities: Mapping[str, Any]) -> dict[str, int]:
    """A resource list as integers."""
    return {k: amount(k, str(v)) for k, v in quantities.items()}
