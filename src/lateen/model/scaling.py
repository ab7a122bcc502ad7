"""How many pods a service runs, and what decides it."""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import Field

from lateen.model.base import Model
from lateen.model.types import Cron, Duration, IntOrPercent, Name, Percent, TimeZone


class Queue(Model):
    """A queue whose length decides."""

    resource: Name = Field(description="The resource that holds the queue.")
    name: str | None = Field(default=None, description="The queue's name in it. Default: the service's.")
    length: int = Field(ge=1, description="Messages for each pod.")


class Metric(Model):
    """A PromQL query whose value decides."""

    query: str = Field(description="PromQL; its value is divided by `target` to give the number of pods.")
    target: float = Field(gt=0, description="The value for each pod.")


class Window(Model):
    """Other bounds from each moment of a schedule on."""

    cron: Cron = Field(description="When it begins.")
    end: Cron | None = Field(default=None, description="When it ends.")
    min: int = Field(ge=0, description="Pods at least, meanwhile.")
    max: int | None = Field(default=None, ge=1, description="Pods at most, meanwhile.")
    time_zone: TimeZone = Field(default="Etc/UTC", description="The time zone of both.")


class Pace(Model):
    """How fast the number changes."""

    window: Duration | None = Field(default=None, description="Look at the last ... and take the calmest answer.")
    step: IntOrPercent | None = Field(default=None, description="Pods, or a share of them, per period at most.")
    period: Duration = Field(default=60, description="The period of `step`.")


class Scale(Model):
    """How many pods: a number, or bounds and what decides between them."""

    short: ClassVar[dict[str, Any]] = {"type": "integer", "minimum": 0}
    expects: ClassVar[str] = "a number or a map"

    min: int = Field(default=1, ge=0, description="Pods at least.")
    max: int | None = Field(default=None, ge=1, description="Pods at most.")
    cpu: Percent | None = Field(default=None, description="Average use of the requested CPU to hold.")
    memory: Percent | None = Field(default=None, description="Average use of the requested memory to hold.")
    rps: float | None = Field(default=None, gt=0, description="Requests per second for each pod.")
    concurrency: float | None = Field(default=None, gt=0, description="Requests under way for each pod.")
    queue: Queue | None = Field(default=None, description="A queue whose length decides.")
    metric: Metric | None = Field(default=None, description="A PromQL query whose value decides.")
    schedule: list[Window] = Field(default=[], description="Other bounds at times.")
    to_zero: bool = Field(default=False, description="No pod at all while there is nothing to do (queue, metric, schedule).")
    up: Pace | None = Field(default=None, description="How fast it grows.")
    down: Pace | None = Field(default=None, description="How fast it shrinks. Default: calmest answer of 5 minutes.")
    vertical: bool = Field(default=False, description="Let a VerticalPodAutoscaler set the requests.")

    @classmethod
    def expand(cls, value: Any) -> Any:
        return (
            {"min": value, "max": value}
            if isinstance(value, int) and not isinstance(value, bool) and value >= 1
            else ({"min": 0} if value == 0 and not isinstance(value, bool) else value)
        )

    @property
    def triggers(self) -> tuple[str, ...]:
        """The fields that decide the number, in the order of the class."""
        return tuple(n for n in ("cpu", "memory", "rps", "concurrency", "queue", "metric", "schedule") if getattr(self, n))

    @property
    def automatic(self) -> bool:
        """Whether something else than this file decides the number."""
        return bool(self.triggers)
