"""The list of checks: ``@check`` enters a function with what people need to know about it. ``check.run`` runs them."""

from __future__ import annotations

import pkgutil
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from importlib import import_module

from lateen.check import checks
from lateen.check.finding import Hit, Severity
from lateen.check.world import World

Function = Callable[[World], Iterable[Hit]]
THEMES = {
    "SEC": "pods: security",
    "RBAC": "rights and identity",
    "CFG": "secrets and configuration",
    "NET": "network, mTLS, edge",
    "IMG": "images and supply chain",
    "NS": "namespaces",
    "REL": "reliability",
    "CAP": "capacity and over-provisioning",
    "CPL": "tight coupling",
    "PIP": "pipelines and releases",
    "OBS": "observability",
    "OBJ": "well-formed objects",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One check. ``needs`` names what it cannot run without (``time``, ``ci``): where that is absent it is skipped, by name."""

    id: str
    title: str
    severity: Severity
    why: str
    fix: str
    function: Function
    needs: str = ""

    @property
    def theme(self) -> str:
        """``SEC`` of ``LT-SEC-001``."""
        return self.id.split("-")[1] if self.id.count("-") > 1 else "custom"


CHECKS: dict[str, Check] = {}


def check(
    id: str,  # noqa: A002 - what everybody calls it
    title: str,
    severity: Severity,
    *,
    why: str,
    fix: str,
    needs: str = "",
) -> Callable[[Function], Function]:
    """Enter a check: ``@check("LT-SEC-001", "privileged container", ERROR, why=..., fix=...)``."""

    def enter(function: Function) -> Function:
        if id in CHECKS:
            raise ValueError(f"{id} is given to two checks")
        CHECKS[id] = Check(id=id, title=title, severity=severity, why=why, fix=fix, function=function, needs=needs)
        return function

    return enter


def all_checks() -> list[Check]:
    """Every check of lateen, by id."""
    for _, name, _ in pkgutil.iter_modules(checks.__path__):
        import_module(f"{checks.__name__}.{name}")
    return [CHECKS[name] for name in sorted(CHECKS, key=_order)]


def _order(id: str) -> tuple[int, str]:  # noqa: A002
    themes = list(THEMES)
    return (themes.index(CHECKS[id].theme), id)


def hits(check: Check, world: World) -> Iterator[Hit]:
    """What the check says of the world."""
    yield from check.function(world)
