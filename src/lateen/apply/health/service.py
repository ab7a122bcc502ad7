"""Services: an address, and somebody behind it."""

from __future__ import annotations

from collections.abc import Mapping

from lateen.apply.health.seam import HEALTHY, Health, View, in_motion, progressing, spec, status
from lateen.kube.meta import Object, labels_of, meta

_WORKLOADS = ("Deployment", "StatefulSet", "DaemonSet", "ReplicaSet")


def assess(obj: Object, view: View) -> Health:
    """A load balancer needs its address; a selector that some workload fits needs a ready endpoint."""
    if (moving := in_motion(obj)) is not None:
        return moving
    s = spec(obj)
    if s.get("type") == "ExternalName":
        return HEALTHY
    if s.get("type") == "LoadBalancer" and not (status(obj).get("loadBalancer") or {}).get("ingress"):
        return progressing("waits for an address of the load balancer")
    if s.get("clusterIP") == "":
        return progressing("waits for an address")
    selector, namespace = s.get("selector") or {}, meta(obj).get("namespace", "")
    if selector and view.knows("EndpointSlice") and _selected(selector, namespace, view) and not _ready(obj, namespace, view):
        return progressing("has no ready endpoint")
    return HEALTHY


def _selected(selector: Mapping[str, str], namespace: str, view: View) -> bool:
    """Whether a workload that wants pods makes such ones."""
    for kind in _WORKLOADS:
        for found in view.all(kind, namespace):
            labels = labels_of(spec(found).get("template") or {})
            if selector.items() <= labels.items() and spec(found).get("replicas", 1) > 0:
                return True
    return False


def _ready(obj: Object, namespace: str, view: View) -> bool:
    name = meta(obj)["name"]
    for found in view.all("EndpointSlice", namespace):
        if labels_of(found).get("kubernetes.io/service-name") == name:
            for endpoint in found.get("endpoints") or ():
                if (endpoint.get("conditions") or {}).get("ready", True):
                    return True
    return False
