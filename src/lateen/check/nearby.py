"""Near misses of names: the difference between something that lives elsewhere and a typing error."""

from __future__ import annotations

from collections.abc import Iterable


def nearest(name: str, known: Iterable[str]) -> str:
    """``; did you mean x?`` when a known name is one slip of the keyboard away (two in a long name), else nothing."""
    most = 1 if len(name) < 6 else 2
    near = [k for k in known if k != name and abs(len(k) - len(name)) <= most]
    found = min(((d, k) for k in near if (d := _slips(name, k)) <= most and not _counted(name, k)), default=None)
    return f"; did you mean {found[1]}?" if found else ""


def _slips(a: str, b: str) -> int:
    """Letters to insert, drop, replace or swap with the next (optimal string alignment)."""
    before: list[int] = []
    last = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        row = [i]
        for j, y in enumerate(b, 1):
            cost = min(last[j] + 1, row[j - 1] + 1, last[j - 1] + (x != y))
            if i > 1 and j > 1 and x == b[j - 2] and a[i - 2] == y:
                cost = min(cost, before[j - 2] + 1)
            row.append(cost)
        before, last = last, row
    return last[-1]


def _counted(a: str, b: str) -> bool:
    """Whether the names differ in a number or a last letter that counts (``db-1`` and ``db-2``, ``web-a`` and ``web-b``)."""
    if len(a) != len(b):
        return a.rstrip("0123456789-") == b.rstrip("0123456789-")
    differing = [(x, y) for x, y in zip(a, b, strict=True) if x != y]
    return all(x.isdigit() and y.isdigit() for x, y in differing) or (a[:-2] == b[:-2] and a[-2:-1] in "-_.")
