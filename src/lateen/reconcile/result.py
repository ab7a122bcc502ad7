"""What a reconciler answers."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Result:
    """Done, or come back ``after`` seconds. A raised error means back-off; TerminalError means not until the input changes."""

    after: float | None = None


DONE = Result()
