"""CronJob: its schedule and time zone, and what each Job will be made of."""

from __future__ import annotations

from lateen.errors import InputError
from lateen.kube import cron, names
from lateen.kube.meta import Object
from lateen.kube.validation.base import Errors, metadata, non_negative, one_of
from lateen.kube.validation.errors import invalid, required
from lateen.kube.validation.pod import template

_NAME_MOST = 52  # a Job's name adds eleven letters


def cron_job(obj: Object, old: Object | None) -> Errors:
    """CronJob."""
    yield from metadata(obj, names.dns_subdomain)
    name = (obj.get("metadata") or {}).get("name") or ""
    if old is None and len(name) > _NAME_MOST:
        yield invalid("metadata.name", name, "must be no more than 52 characters")
    spec = obj.get("spec") or {}
    if old is not None and spec == old.get("spec"):
        return
    yield from _schedule(spec)
    yield from non_negative(spec, "spec", "startingDeadlineSeconds", "successfulJobsHistoryLimit", "failedJobsHistoryLimit")
    yield from one_of(spec, "concurrencyPolicy", "spec", ("Allow", "Forbid", "Replace"))
    found = (spec.get("jobTemplate") or {}).get("spec") or {}
    yield from template(found.get("template"), "spec.jobTemplate.spec.template", restart=("OnFailure", "Never"))


def _schedule(spec: Object) -> Errors:
    schedule, zone = spec.get("schedule") or "", spec.get("timeZone")
    if not schedule:
        yield required("spec.schedule")
    elif "TZ" in schedule:
        yield invalid("spec.schedule", schedule, "cannot use TZ or CRON_TZ in schedule, use timeZone field instead")
    else:
        try:
            cron.check(schedule)
        except InputError as error:
            yield invalid("spec.schedule", schedule, error.message)
    if zone is not None:
        try:
            cron.zone(zone or "none")
        except InputError as error:
            yield invalid("spec.timeZone", zone, error.message)
