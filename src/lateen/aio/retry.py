"""Back-off as data. Jitter is passed in by whoever wants it, so that tests are exact."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Backoff:
    """``first * factor ** failures`` seconds, at most ``most``."""

    first: float = 0.005
    factor: float = 2.0
    most: float = 60.0

    def delay(self, failures: int) -> float:
        """Seconds to wait after the failure number ``failures`` (0 for the first)."""
        return min(self.most, self.first * self.factor ** min(failures, 60))
