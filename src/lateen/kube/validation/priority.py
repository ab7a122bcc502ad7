"""PriorityClass."""

from __future__ import annotations

from lateen.kube import names
from lateen.kube.meta import Object
from lateen.kube.validation.base import Errors, metadata, one_of, unchanged
from lateen.kube.validation.errors import forbidden

HIGHEST = 1_000_000_000
SYSTEM = {"system-node-critical": 2_000_001_000, "system-cluster-critical": 2_000_000_000}


def priority_class(obj: Object, old: Object | None) -> Errors:
    """PriorityClass."""
    yield from metadata(obj, names.dns_subdomain)
    name, value = str(obj["metadata"].get("name") or ""), int(obj.get("value") or 0)
    if name.startswith("system-"):
        if SYSTEM.get(name) != value:
            text = "priority class names with 'system-' prefix are reserved for system use only"
            yield forbidden("metadata.name", text)
    elif value > HIGHEST:
        yield forbidden("value", f"maximum allowed value of a user defined priority is {HIGHEST}")
    if old is not None and value != int(old.get("value") or 0):
        yield forbidden("value", "may not be changed in an update.")
    if old is not None:
        yield from unchanged(obj.get("preemptionPolicy"), old.get("preemptionPolicy"), "preemptionPolicy")
    yield from one_of(obj, "preemptionPolicy", "", ("Never", "PreemptLowerPriority"), need=False)
