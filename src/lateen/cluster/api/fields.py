"""Field selectors: which fields each kind lets a client select by, and the test that a selector makes of an object. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from lateen.cluster.api import statuses
from lateen.cluster.api.registry import Served
from lateen.kube.meta import Object

Getter = Callable[[Object], str]

_TERM = re.compile(r"^\s*([^=!]+?)\s*(==|=|!=)\s*(.*?)\s*$")


def _path(*parts: str) -> Getter:
    def get(obj: Object) -> str:
        value: Any = obj
        for part in parts:
            value = value.get(part) if isinstance(value, dict) else None
        if isinstance(value, bool):
            return str(value).lower()
        return "" if value is None else str(value)

    return get


def _paths(*names: str) -> dict[str, Getter]:
    return {name: _path(*name.split(".")) for name in names}


_INVOLVED = ("kind", "namespace", "name", "uid", "apiVersion", "resourceVersion", "fieldPath")
_CORE_EVENT = {f"involvedObject.{f}": _path("involvedObject", f) for f in _INVOLVED} | {
    "reason": _path("reason"),
    "type": _path("type"),
    "source": lambda e: str((e.get("source") or {}).get("component") or e.get("reportingComponent") or ""),
    "reportingComponent": lambda e: str(e.get("reportingComponent") or (e.get("source") or {}).get("component") or ""),
}
_POD = _paths(
    "spec.nodeName",
    "spec.restartPolicy",
    "spec.schedulerName",
    "spec.serviceAccountName",
    "status.phase",
    "status.nominatedNodeName",
) | {
    "spec.hostNetwork": lambda p: str(bool((p.get("spec") or {}).get("hostNetwork"))).lower(),
    "status.podIP": _path("status", "podIP"),
}

# By storage collection: what may be selected beside metadata.name and metadata.namespace.
SELECTABLE: Mapping[str, Mapping[str, Getter]] = {
    "core/pods": _POD,
    "core/events": _CORE_EVENT,
    "core/nodes": {"spec.unschedulable": lambda n: str(bool((n.get("spec") or {}).get("unschedulable"))).lower()},
    "core/namespaces": _paths("status.phase"),
    "core/secrets": _paths("type"),
    "core/services": _paths("spec.clusterIP", "spec.type"),
    "core/replicationcontrollers": {"status.replicas": lambda o: str((o.get("status") or {}).get("replicas") or 0)},
    "apps/replicasets": {"status.replicas": lambda o: str((o.get("status") or {}).get("replicas") or 0)},
    "batch/jobs": {"status.successful": lambda o: str((o.get("status") or {}).get("succeeded") or 0)},
    "certificates.k8s.io/certificatesigningrequests": _paths("spec.signerName"),
}
_ALWAYS = _paths("metadata.name", "metadata.namespace")


def field_matcher(served: Served, text: str) -> Callable[[Object], bool]:
    """The test that ``text`` (``a=b,c!=d``) makes. BadRequestError for a field this kind cannot be selected by."""
    known = {**_ALWAYS, **SELECTABLE.get(served.collection, {}), **{f: _path(*f.split(".")) for f in served.selectable}}
    tests: list[tuple[Getter, bool, str]] = []
    for term in filter(None, (t.strip() for t in text.split(","))):
        found = _TERM.match(term)
        if found is None:
            raise statuses.bad_request(f"invalid selector: '{text}'; can't understand '{term}'")
        name, operator, value = found.groups()
        getter = known.get(name)
        if getter is None:
            raise statuses.bad_request(f"field label not supported: {name}")
        tests.append((getter, operator != "!=", value))
    return lambda obj: all((getter(obj) == value) is wanted for getter, wanted, value in tests)
