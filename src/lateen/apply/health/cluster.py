"""Namespaces, CustomResourceDefinitions, PodDisruptionBudgets, and every kind that has no rule of its own."""

from __future__ import annotations

from lateen.apply.health.seam import HEALTHY, Health, State, View, condition_of, degraded, in_motion, progressing, status, told
from lateen.kube.meta import Object


def assess_namespace(obj: Object, view: View) -> Health:
    """Active."""
    if (moving := in_motion(obj)) is not None:
        return moving
    return progressing("is being deleted") if status(obj).get("phase") == "Terminating" else HEALTHY


def assess_definition(obj: Object, view: View) -> Health:
    """Established, with its names accepted."""
    if (moving := in_motion(obj)) is not None:
        return moving
    names = condition_of(obj, "NamesAccepted")
    if names.get("status") == "False":
        return degraded(told(names), hopeless=True)
    return HEALTHY if condition_of(obj, "Established").get("status") == "True" else progressing("is not established yet")


def assess_budget(obj: Object, view: View) -> Health:
    """Always fine; one that allows no disruption says so."""
    if (moving := in_motion(obj)) is not None:
        return moving
    if status(obj).get("expectedPods") and status(obj).get("disruptionsAllowed") == 0:
        return Health(State.healthy, "allows no disruption now")
    return HEALTHY


def assess_generic(obj: Object, view: View) -> Health:
    """The conventions of kstatus: Stalled, Reconciling, Ready."""
    if (moving := in_motion(obj)) is not None:
        return moving
    if (stalled := condition_of(obj, "Stalled")).get("status") == "True":
        return degraded(told(stalled), hopeless=True)
    if (busy := condition_of(obj, "Reconciling")).get("status") == "True":
        return progressing(told(busy))
    found = condition_of(obj, "Ready")
    return progressing(told(found)) if found and found.get("status") != "True" else HEALTHY
