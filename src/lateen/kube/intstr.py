"""IntOrString values that are counts or percentages, resolved against a total as Kubernetes does (pkg/util/intstr)."""

from __future__ import annotations

import math
from typing import Any


def scaled(value: Any, total: int, *, round_up: bool) -> int:
    """``3`` is 3; ``"25%"`` is that share of ``total``, rounded. ValueError for anything else."""
    if isinstance(value, int):
        return value
    if isinstance(value, str) and value.endswith("%"):
        share = int(value[:-1]) * total / 100
        return math.ceil(share) if round_up else math.floor(share)
    raise ValueError(f"{value!r} is neither a count nor a percentage")
