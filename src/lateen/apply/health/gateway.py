"""Gateway API: accepted and programmed, by what controllers say of the current generation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from lateen.apply.health.seam import HEALTHY, Health, View, degraded, in_motion, progressing, spec, status, told
from lateen.kube.meta import Object, condition, meta


def assess_gateway(obj: Object, view: View) -> Health:
    """Accepted and Programmed."""
    if (moving := in_motion(obj)) is not None:
        return moving
    found = status(obj).get("conditions") or ()
    if not found or all(c.get("reason") == "Pending" for c in found):
        return progressing(f"waits for the controller of class {spec(obj).get('gatewayClassName')}")
    return _judge(found, ("Accepted", "Programmed"), meta(obj).get("generation", 0)) or HEALTHY


def assess_route(obj: Object, view: View) -> Health:
    """Every parent that answered accepts it and knows its backends; every parent it names has answered."""
    if (moving := in_motion(obj)) is not None:
        return moving
    parents, wanted = status(obj).get("parents") or (), spec(obj).get("parentRefs") or ()
    if len(parents) < len(wanted):
        return progressing(f"{len(parents)} of {len(wanted)} gateways have answered")
    for parent in parents:
        judged = _judge(parent.get("conditions") or (), ("Accepted", "ResolvedRefs"), meta(obj).get("generation", 0))
        if judged is not None:
            return judged
    return HEALTHY


def _judge(conditions: Sequence[Mapping[str, Any]], kinds: Sequence[str], generation: int) -> Health | None:
    for kind in kinds:
        found = condition(conditions, kind)
        if found is None or (found.get("observedGeneration") or generation) < generation:
            return progressing(f"waits to be {kind}")
        if found.get("status") == "False":
            if found.get("reason") == "Pending":
                return progressing(told(found))
            return degraded(f"not {kind}: {told(found)}")
        if found.get("status") != "True":
            return progressing(told(found))
    return None
