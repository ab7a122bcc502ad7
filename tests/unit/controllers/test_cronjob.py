"""Schedules, and which moment of them is due."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from lateen.cluster.controllers import cronjob
from lateen.errors import InputError
from lateen.kube import cron
from lateen.kube.meta import Object, meta

NOW = datetime(2026, 3, 1, 12, 0, 30, tzinfo=UTC)


def cron_job(schedule: str, *, last: str = "", born: str = "2026-03-01T11:00:00Z", **spec: Any) -> Object:
    status = {"lastScheduleTime": last} if last else {}
    metadata = {"name": "c", "namespace": "default", "uid": "c", "creationTimestamp": born}
    base = {"schedule": schedule, "jobTemplate": {"metadata": {"labels": {"a": "b"}}, "spec": {"parallelism": 1}}}
    return {"apiVersion": "batch/v1", "kind": "CronJob", "metadata": metadata, "spec": base | spec, "status": status}


@pytest.mark.parametrize(
    ("made", "moment", "missed", "following"),
    [
        (cron_job("*/10 * * * *", last="2026-03-01T11:50:00Z"), "12:00", 1, 570.1),
        (cron_job("*/10 * * * *", last="2026-03-01T12:00:00Z"), None, 0, 570.1),
        (cron_job("*/10 * * * *"), "12:00", 6, 570.1),
        (cron_job("*/10 * * * *", startingDeadlineSeconds=20), None, 0, 570.1),
        (cron_job("0 13 * * *", timeZone="Europe/Zurich"), "13:00", 1, 86370.1),  # 13:00 there is 12:00 UTC
        (cron_job("@hourly"), "12:00", 1, 3570.1),
        (cron_job("@every 45m"), "11:45", 1, 1770.1),
        (cron_job("* * * * *", born="2026-02-01T00:00:00Z"), "12:00", 101, 30.1),
    ],
)
def test_which_moment_is_due(made: Object, moment: str | None, missed: int, following: float) -> None:
    found = cronjob.due(made, NOW)
    assert (f"{found.moment:%H:%M}" if found.moment else None, found.missed) == (moment, missed)
    assert found.next == pytest.approx(following)


def test_a_moment_that_summer_time_skips_comes_right_after_it() -> None:
    zone = cron.zone("Europe/Zurich")
    found = next(cron.moments("30 2 * * *", datetime(2026, 3, 29, 0, 0, tzinfo=zone)))
    assert found.astimezone(UTC) == datetime(2026, 3, 29, 1, 0, tzinfo=UTC)


@pytest.mark.parametrize("schedule", ["", "* * * *", "* * * * * *", "61 * * * *", "@often", "@every soon"])
def test_what_is_no_schedule(schedule: str) -> None:
    with pytest.raises(InputError):
        cron.check(schedule)


def test_the_name_of_a_job_tells_its_moment() -> None:
    made = cronjob.new_job(cron_job("@hourly"), NOW)
    assert meta(made)["name"] == f"c-{int(NOW.timestamp()) // 60}"
    assert meta(made)["annotations"] == {cronjob.SCHEDULED: "2026-03-01T12:00:30Z"}
    assert (meta(made)["labels"], meta(made)["ownerReferences"][0]["kind"]) == ({"a": "b"}, "CronJob")


def test_history_keeps_the_newest_of_each_kind() -> None:
    def job(name: str, kind: str, began: str) -> Object:
        return {"metadata": {"name": name}, "status": {"startTime": began, "conditions": [{"type": kind, "status": "True"}]}}

    jobs = [job("a", "Complete", "1"), job("b", "Complete", "2"), job("c", "Failed", "3"), job("d", "Failed", "4")]
    jobs.append({"metadata": {"name": "running"}, "status": {"startTime": "0"}})
    made = cron_job("@hourly", successfulJobsHistoryLimit=1, failedJobsHistoryLimit=0)
    assert [meta(j)["name"] for j in cronjob.beyond_history(made, jobs)] == ["a", "c", "d"]
