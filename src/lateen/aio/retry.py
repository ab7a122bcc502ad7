"""Back-off as data. Jitter is passed in by whoever wants it, so that tests are exact."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Backoff:
    """``first * factor ** failures`` seconds, at most ``most``; then up to the share ``jitter`` longer."""

    first: float = 0.005
    factor: float = 2.0
    most: float = 60.0
    jitter: float = 0.0

    def delay(self, failures: int, draw: float = 0.0) -> float:
        """Seconds to wait after the failure number ``failures`` (0 for the first); ``draw`` is a random number in [0, 1)."""
        return min(self.most, self.first * self.factor ** min(failures, 60)) * (1 + self.jitter * draw)
