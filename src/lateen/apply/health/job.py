"""Jobs and CronJobs: done, or how far."""

from __future__ import annotations

from lateen.apply.health import pod
from lateen.apply.health.seam import (
    HEALTHY,
    Health,
    State,
    View,
    condition_of,
    degraded,
    in_motion,
    progressing,
    spec,
    status,
    told,
)
from lateen.kube.meta import Object, uid_of


def assess(obj: Object, view: View) -> Health:
    """Healthy only when complete; a resumed Job is running again."""
    if (moving := in_motion(obj)) is not None:
        return moving
    if (failed := condition_of(obj, "Failed")).get("status") == "True":
        worst = pod.worst(view.children(uid_of(obj), "Pod"), view)
        return Health(State.degraded, told(failed), True, worst.pod if worst else None, worst.container if worst else "")
    if condition_of(obj, "Complete").get("status") == "True":
        return HEALTHY
    if spec(obj).get("suspend"):
        return Health(State.suspended, "is suspended")
    done, wanted = status(obj).get("succeeded", 0), spec(obj).get("completions", 1)
    return pod.worst(view.children(uid_of(obj), "Pod"), view) or progressing(f"{done} of {wanted} done")


def assess_cron(obj: Object, view: View) -> Health:
    """A schedule is healthy, unless its last run did not succeed and nothing is running."""
    if (moving := in_motion(obj)) is not None:
        return moving
    s = status(obj)
    last, success = s.get("lastScheduleTime"), s.get("lastSuccessfulTime")
    if not spec(obj).get("suspend") and last and not s.get("active") and (success is None or success < last):
        return degraded("the last run did not succeed")
    return HEALTHY
