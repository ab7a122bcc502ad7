"""Core kinds beside pods."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from lateen.cluster.api.tables.base import (
    AGE,
    NAME,
    NONE,
    SELECTOR,
    TEMPLATE,
    UNKNOWN,
    Column,
    at,
    containers,
    count,
    dig,
    joined,
    number,
    selector_text,
    since,
)
from lateen.kube.meta import Object, condition

_ROLE = "node-role.kubernetes.io/"
_MODES = {"ReadWriteOnce": "RWO", "ReadOnlyMany": "ROX", "ReadWriteMany": "RWX", "ReadWriteOncePod": "RWOP"}


def _node_status(node: Object, _: datetime) -> str:
    found = condition(dig(node, "status", "conditions"), "Ready")
    states = ["Unknown" if found is None else "Ready" if found.get("status") == "True" else "NotReady"]
    return ",".join(states + (["SchedulingDisabled"] if dig(node, "spec", "unschedulable") else []))


def _node_roles(node: Object, _: datetime) -> str:
    labels = dig(node, "metadata", "labels") or {}
    roles = {k.removeprefix(_ROLE) for k in labels if k.startswith(_ROLE)} | {
        v for k, v in labels.items() if k == "kubernetes.io/role"
    }
    return joined(sorted(r for r in roles if r))


def _address(kind: str) -> Column:
    def cell(node: Object, _: datetime) -> str:
        return next((a["address"] for a in dig(node, "status", "addresses") or () if a.get("type") == kind), NONE)

    return Column(f"{kind.removesuffix('IP')}-IP", cell, priority=1)


def _external_ip(service: Object, _: datetime) -> str:
    kind, spec = dig(service, "spec", "type"), service.get("spec") or {}
    if kind == "ExternalName":
        return str(spec.get("externalName", ""))
    given = list(spec.get("externalIPs") or ())
    if kind == "LoadBalancer":
        found = [i.get("ip") or i.get("hostname") or "" for i in dig(service, "status", "loadBalancer", "ingress") or ()]
        return joined([*found, *given], default="<pending>")
    return joined(given)


def _cluster_ip(service: Object, _: datetime) -> str:
    return NONE if dig(service, "spec", "type") == "ExternalName" else str(dig(service, "spec", "clusterIP") or NONE)


def _ports(service: Object, _: datetime) -> str:
    def one(port: Mapping[str, Any]) -> str:
        node = f":{port['nodePort']}" if port.get("nodePort") else ""
        return f"{port['port']}{node}/{port.get('protocol', 'TCP')}"

    return joined(one(p) for p in dig(service, "spec", "ports") or ())


def _service_selector(service: Object, _: datetime) -> str:
    return selector_text(dig(service, "spec", "selector"))


def _few(values: list[str], most: int) -> str:
    return joined(values[:most]) + (f" + {len(values) - most} more..." if len(values) > most else "")


def _endpoints(obj: Object, _: datetime) -> str:
    found = []
    for subset in obj.get("subsets") or ():
        ports = subset.get("ports") or ()
        for address in subset.get("addresses") or ():
            found += [f"{address['ip']}:{p['port']}" for p in ports] or [address["ip"]]
    return _few(found, 3)


def _event_source(event: Object, _: datetime) -> str:
    source = event.get("source") or {}
    component, host = source.get("component") or event.get("reportingComponent") or "", source.get("host") or ""
    return ", ".join(p for p in (component, host) if p)


def _last_seen(event: Object, now: datetime) -> str:
    series = event.get("series") or {}
    return since(series.get("lastObservedTime") or event.get("lastTimestamp") or event.get("eventTime"), now)


def _first_seen(event: Object, now: datetime) -> str:
    return since(event.get("firstTimestamp") or event.get("eventTime"), now)


def _event_count(event: Object, _: datetime) -> int:
    return int(dig(event, "series", "count") or event.get("count") or 1)


def _event_object(event: Object, _: datetime) -> str:
    involved = event.get("involvedObject") or {}
    return f"{str(involved.get('kind', '')).lower()}/{involved.get('name', '')}"


def _message(event: Object, _: datetime) -> str:
    return str(event.get("message") or "").strip()


def _modes(*path: str) -> Column:
    return Column("Access Modes", lambda o, _: joined((_MODES.get(m, m) for m in dig(o, *path) or ()), default=""))


def _claim(pv: Object, _: datetime) -> str:
    ref = dig(pv, "spec", "claimRef")
    return f"{ref.get('namespace', '')}/{ref.get('name', '')}" if ref else ""


def _phase(obj: Object, _: datetime) -> str:
    phase = str(dig(obj, "status", "phase") or "")
    return "Terminating" if dig(obj, "metadata", "deletionTimestamp") else phase


def _pvc_capacity(pvc: Object, _: datetime) -> str:
    return str(dig(pvc, "status", "capacity", "storage") or "") if dig(pvc, "spec", "volumeName") else ""


def _data(obj: Object, _: datetime) -> int:
    return len(obj.get("data") or ()) + len(obj.get("binaryData") or ())


def _quota(limits: bool) -> Column:
    def cell(quota: Object, _: datetime) -> str:
        hard, used = dig(quota, "status", "hard") or {}, dig(quota, "status", "used") or {}
        names = sorted(n for n in hard if n.startswith("limits.") is limits)
        return ", ".join(f"{n}: {used.get(n, 0)}/{hard[n]}" for n in names)

    return Column("Limit" if limits else "Request", cell)


def _pod_labels(template: Object, _: datetime) -> str:
    return selector_text(dig(template, "template", "metadata", "labels"))


_STORAGE_CLASS = ("spec", "storageClassName")
_MODE = Column("VolumeMode", at("spec", "volumeMode", default="<unset>"), priority=1)
_ATTRIBUTES = Column("VolumeAttributesClass", at("spec", "volumeAttributesClassName", default="<unset>"))

KINDS: Mapping[str, tuple[Column, ...]] = {
    "core/namespaces": (NAME, Column("Status", at("status", "phase")), AGE),
    "core/nodes": (
        NAME,
        Column("Status", _node_status),
        Column("Roles", _node_roles),
        AGE,
        Column("Version", at("status", "nodeInfo", "kubeletVersion")),
        _address("InternalIP"),
        _address("ExternalIP"),
        Column("OS-Image", at("status", "nodeInfo", "osImage", default=UNKNOWN), priority=1),
        Column("Kernel-Version", at("status", "nodeInfo", "kernelVersion", default=UNKNOWN), priority=1),
        Column("Container-Runtime", at("status", "nodeInfo", "containerRuntimeVersion", default=UNKNOWN), priority=1),
    ),
    "core/services": (
        NAME,
        Column("Type", at("spec", "type")),
        Column("Cluster-IP", _cluster_ip),
        Column("External-IP", _external_ip),
        Column("Port(s)", _ports),
        AGE,
        Column("Selector", _service_selector, priority=1),
    ),
    "core/endpoints": (NAME, Column("Endpoints", _endpoints), AGE),
    "core/events": (
        Column("Last Seen", _last_seen),
        Column("Type", at("type")),
        Column("Reason", at("reason")),
        Column("Object", _event_object),
        Column("Subobject", at("involvedObject", "fieldPath"), priority=1),
        Column("Source", _event_source, priority=1),
        Column("Message", _message),
        Column("First Seen", _first_seen, priority=1),
        Column("Count", _event_count, type="integer", priority=1),
        Column("Name", at("metadata", "name"), format="name", priority=1),
    ),
    "core/configmaps": (NAME, Column("Data", _data, type="string"), AGE),
    "core/secrets": (NAME, Column("Type", at("type")), Column("Data", _data, type="string"), AGE),
    "core/serviceaccounts": (NAME, Column("Secrets", count("secrets"), type="string"), AGE),
    "core/replicationcontrollers": (
        NAME,
        Column("Desired", number("spec", "replicas"), type="integer"),
        Column("Current", number("status", "replicas"), type="integer"),
        Column("Ready", number("status", "readyReplicas"), type="integer"),
        AGE,
        *containers(*TEMPLATE),
        SELECTOR,
    ),
    "core/podtemplates": (
        NAME,
        *(Column(c.name, c.cell) for c in containers("template", "spec")),
        Column("Pod Labels", _pod_labels),
    ),
    "core/persistentvolumes": (
        NAME,
        Column("Capacity", at("spec", "capacity", "storage")),
        _modes("spec", "accessModes"),
        Column("Reclaim Policy", at("spec", "persistentVolumeReclaimPolicy")),
        Column("Status", _phase),
        Column("Claim", _claim),
        Column("StorageClass", at(*_STORAGE_CLASS)),
        _ATTRIBUTES,
        Column("Reason", at("status", "reason")),
        AGE,
        _MODE,
    ),
    "core/persistentvolumeclaims": (
        NAME,
        Column("Status", _phase),
        Column("Volume", at("spec", "volumeName")),
        Column("Capacity", _pvc_capacity),
        _modes("status", "accessModes"),
        Column("StorageClass", at(*_STORAGE_CLASS)),
        _ATTRIBUTES,
        AGE,
        _MODE,
    ),
    "core/limitranges": (NAME, Column("Created At", at("metadata", "creationTimestamp"), format="date-time")),
    "core/resourcequotas": (NAME, _quota(False), _quota(True), AGE),
}
