"""How an apply looks while it works: a live table on a terminal, one line per change everywhere else. On standard error."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from lateen.apply import Applied, EventSeen, HealthChanged, Listener, Planned, Progress, Ref, State, Verb
from lateen.cli.output import note, paint

_SHOWN = ("Deployment", "StatefulSet", "DaemonSet", "Job", "Pod", "ReplicaSet")
_MOODS = {State.healthy: "good", State.progressing: "busy", State.degraded: "bad"}


class Lines:
    """One line per thing that changed; the same warning of many pods once."""

    def __init__(self) -> None:
        self._said: set[tuple[str, str]] = set()

    def __call__(self, event: Progress) -> None:
        if isinstance(event, Planned):
            counts = {v: sum(a.verb is v for a in event.actions) for v in Verb}
            note(
                "  "
                + ", ".join(f"{n} to {v.value}" if v is not Verb.unchanged else f"{n} unchanged" for v, n in counts.items() if n)
            )
        elif isinstance(event, HealthChanged) and event.ref.kind in _SHOWN:
            text = paint(event.health.state.value, _MOODS.get(event.health.state, "dim"))
            note(f"  {event.after:5.1f}s  {event.ref.kind}/{event.ref.name}  {text}  {event.health.message}")
        elif isinstance(event, EventSeen) and event.type == "Warning" and event.reason not in ("Unhealthy",):
            if (event.reason, event.message) in self._said:
                return
            self._said.add((event.reason, event.message))
            note(f"         {paint(event.reason, 'busy')}  {event.ref.kind}/{event.ref.name}  {event.message}")


class Table:
    """A row per workload, redrawn in place."""

    def __init__(self, live: Any) -> None:
        self._live = live
        self._rows: dict[Ref, HealthChanged] = {}
        self._written = 0
        self._warning = ""

    def __call__(self, event: Progress) -> None:
        if isinstance(event, Applied):
            self._written += event.action.verb is not Verb.unchanged
        elif isinstance(event, HealthChanged) and event.ref.kind in _SHOWN:
            self._rows[event.ref] = event
        elif isinstance(event, EventSeen) and event.type == "Warning":
            self._warning = f"{event.reason} {event.ref.name}: {event.message}"
        self._live.update(self._drawn())

    def _drawn(self) -> Any:
        from rich.table import Table as Grid

        grid = Grid.grid(padding=(0, 2))
        for ref, event in sorted(self._rows.items()):
            colour = {"good": "green", "busy": "yellow", "bad": "red"}.get(_MOODS.get(event.health.state, ""), "dim")
            grid.add_row(f"  {ref.name}", f"[{colour}]{event.health.state.value}[/]", f"{event.after:.1f}s", event.health.message)
        if self._warning:
            grid.add_row("", "[yellow]warning[/]", "", self._warning[:120])
        return grid


@contextmanager
def listener(*, quiet: bool) -> Iterator[Listener]:
    """What to tell an apply's progress to."""
    if quiet:
        yield lambda _: None
    elif sys.stderr.isatty():
        from rich.console import Console
        from rich.live import Live

        with Live(console=Console(stderr=True), refresh_per_second=12, transient=True) as live:
            yield Table(live)
    else:
        yield Lines()
