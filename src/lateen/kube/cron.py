"""Schedules of CronJobs: five fields, or a word such as ``@daily`` or ``@every 90m``. Pure.

The syntax is that of robfig/cron's standard parser, which Kubernetes uses; fields are read by cronsim. Times that a change of
summer time skips run right after it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, tzinfo

from lateen.errors import InputError

_WORDS = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
_UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0}
_EVERY = re.compile(r"@every\s+((?:[0-9]+(?:\.[0-9]+)?[hms])+)")
_FIELDS = 5


def zone(name: str | None) -> tzinfo:
    """The time zone of that name; UTC for none. InputError."""
    if not name:
        return UTC
    from zoneinfo import ZoneInfo  # here, because a daemon without schedules starts without it

    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError) as error:
        raise InputError(f"unknown time zone {name}") from error


def check(schedule: str) -> None:
    """InputError when the schedule cannot be read."""
    moments(schedule, datetime(2026, 1, 1, tzinfo=UTC))


def moments(schedule: str, after: datetime) -> Iterator[datetime]:
    """The moments of a schedule after ``after``, in its time zone. InputError."""
    text = schedule.strip()
    if text.startswith("@every"):
        return _every(text, after)
    text = _WORDS.get(text, text).replace("?", "*")
    if len(text.split()) != _FIELDS:
        raise InputError(f"expected exactly 5 fields, found {len(text.split())}: {schedule}")
    from cronsim import CronSim, CronSimError  # here for the same reason

    try:
        return CronSim(text, after)
    except CronSimError as error:
        raise InputError(f"{str(error).lower()}: {schedule}") from error


def _every(text: str, after: datetime) -> Iterator[datetime]:
    found = _EVERY.fullmatch(text)
    if found is None:
        raise InputError(f"failed to parse duration: {text}")
    parts = re.findall(r"([0-9.]+)([hms])", found[1])
    seconds = max(1.0, sum(float(number) * _UNITS[unit] for number, unit in parts))
    return _steps(after.replace(microsecond=0), timedelta(seconds=int(seconds)))


def _steps(moment: datetime, step: timedelta) -> Iterator[datetime]:
    while True:
        moment += step
        yield moment
