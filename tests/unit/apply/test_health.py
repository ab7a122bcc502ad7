"""Stories of health: ``tests/golden/health/*.in.yaml`` holds objects with the world around them, ``.out.yaml`` their health."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from lateen.apply.health import Patience, assess
from lateen.kube.meta import Object, controller_of, meta

STORIES = Path(__file__).parents[2] / "golden" / "health"
CASES = sorted(p.name.removesuffix(".in.yaml") for p in STORIES.glob("*.in.yaml"))
NOW = datetime(2026, 1, 1, 0, 0, 0, tzinfo=UTC)


class StillView:
    """A world that stands still: ``around`` and nothing else."""

    def __init__(self, around: Sequence[Object]) -> None:
        self._around, self.patience = around, Patience()

    began = NOW - timedelta(seconds=60)

    def now(self) -> datetime:
        return NOW

    def children(self, uid: str, kind: str) -> Sequence[Object]:
        return [o for o in self.all(kind) if (controller_of(o) or {}).get("uid") == uid]

    def all(self, kind: str, namespace: str = "") -> Sequence[Object]:
        return [o for o in self._around if o["kind"] == kind and namespace in ("", meta(o).get("namespace"))]

    def knows(self, kind: str) -> bool:
        return True


def judged(story: dict[str, Any]) -> str:
    """``State: message``, with what else is said of it."""
    health = assess(story["object"], StillView(story.get("around", [])))
    more = [*(["hopeless"] if health.hopeless else []), *([f"log of {health.pod.name}/{health.container}"] if health.pod else [])]
    return f"{health.state}: {health.message}" + (f" ({', '.join(more)})" if more else "")


@pytest.mark.parametrize("case", CASES)
def test_health(case: str, golden: Callable[[Path, str], None]) -> None:
    stories = yaml.safe_load((STORIES / f"{case}.in.yaml").read_text())
    told = {name: judged(story) for name, story in stories.items()}
    golden(STORIES / f"{case}.out.yaml", yaml.safe_dump(told, sort_keys=False, width=1000))


def test_what_does_not_exist_is_missing() -> None:
    assert assess(None, StillView([])).state == "Missing"
