"""Hostnames of listeners and routes: which match, and which is the more specific. ``""`` is every host."""

from __future__ import annotations

from collections.abc import Iterable


def intersect(listener: str, route: str) -> str | None:
    """The hosts that both admit, as one hostname; None if there is none. A wildcard covers one label or more."""
    if not listener or not route:
        return listener or route
    if listener == route or _covers(listener, route):
        return route
    return listener if _covers(route, listener) else None


def _covers(wide: str, narrow: str) -> bool:
    return wide.startswith("*.") and narrow.removeprefix("*").endswith(wide[1:]) and narrow != wide[2:]


def covers(wide: str, narrow: str) -> bool:
    """Whether every host of ``narrow`` is one of ``wide``."""
    return not wide or wide == narrow or _covers(wide, narrow)


def specificity(hostname: str) -> tuple[int, int]:
    """Greater is more specific: an exact name, then the longer wildcard, then everything."""
    return (0 if not hostname else 1 if hostname.startswith("*.") else 2), len(hostname)


def owner(hostname: str, listeners: Iterable[str]) -> str | None:
    """Of the hostnames of listeners, the most specific one that covers ``hostname``: that listener's routes alone apply."""
    return max((name for name in listeners if covers(name, hostname)), key=specificity, default=None)
