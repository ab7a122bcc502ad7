"""When a node runs out of memory or disk: which thresholds are crossed, who goes first, what is said. Pure; used by ``eviction``.

As the kubelet's eviction manager, with hard thresholds only.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

from lateen.errors import InputError
from lateen.kube.meta import Object, meta
from lateen.kube.quantity import parse

DEFAULT = "memory.available<100Mi,nodefs.available<1%,nodefs.inodesFree<1%"
MEMORY, DISK, INODES = "memory.available", "nodefs.available", "nodefs.inodesFree"
CONDITIONS = {MEMORY: "MemoryPressure", DISK: "DiskPressure", INODES: "DiskPressure"}
_RESOURCES = {MEMORY: "memory", DISK: "ephemeral-storage", INODES: "inodes"}
_FORM = re.compile(r"([a-zA-Z.]+)<(\S+)")
_CRITICAL = 2_000_000_000
_MEMORY_TAINT = "node.kubernetes.io/memory-pressure"


@dataclass(frozen=True, slots=True)
class Signal:
    """So much is left, of so much."""

    available: int
    capacity: int


@dataclass(frozen=True, slots=True)
class Threshold:
    """``signal`` is met below ``quantity``, an amount or a percentage of the capacity."""

    signal: str
    quantity: str

    def least(self, capacity: int) -> Fraction:
        """The amount that must be left."""
        if self.quantity.endswith("%"):
            return Fraction(self.quantity[:-1]) * capacity / 100
        return parse(self.quantity)


@dataclass(frozen=True, slots=True, kw_only=True)
class Use:
    """What a pod uses, in bytes, by container."""

    pod: Object
    memory: Mapping[str, int] = field(default_factory=dict)
    disk: Mapping[str, int] = field(default_factory=dict)

    def of(self, signal: str) -> Mapping[str, int]:
        """Of what ``signal`` measures."""
        return self.memory if signal == MEMORY else self.disk


def thresholds(text: str) -> list[Threshold]:
    """``memory.available<100Mi,nodefs.available<5%``; none for ''. InputError."""
    found = []
    for part in filter(None, (p.strip() for p in text.split(","))):
        match = _FORM.fullmatch(part)
        if match is None or match[1] not in CONDITIONS:
            raise InputError(f"{part!r} is no eviction threshold", hint=f"write them like {DEFAULT}")
        threshold = Threshold(match[1], match[2])
        try:
            threshold.least(1)
        except ValueError as error:
            raise InputError(f"{part!r} is no eviction threshold: {match[2]!r} is neither a quantity nor a percentage") from error
        found.append(threshold)
    return found


def met(wanted: Iterable[Threshold], signals: Mapping[str, Signal]) -> list[Threshold]:
    """The thresholds that are crossed, memory first."""
    crossed = [t for t in wanted if (s := signals.get(t.signal)) and s.capacity and s.available < t.least(s.capacity)]
    return sorted(crossed, key=lambda t: t.signal != MEMORY)


def critical(pod: Object) -> bool:
    """Whether a pod is never put out: static ones, and those of a system priority."""
    mirror = (meta(pod).get("annotations") or {}).get("kubernetes.io/config.mirror")
    return bool(mirror) or int((pod.get("spec") or {}).get("priority") or 0) >= _CRITICAL


def ranked(signal: str, pods: Iterable[Use]) -> list[Use]:
    """Who goes first: users of more than they asked for, then by low priority, then by how much more they use."""

    def key(use: Use) -> tuple[bool, int, Fraction]:
        more = sum(use.of(signal).values()) - _requested(use.pod, _RESOURCES[signal])
        return more <= 0, int((use.pod.get("spec") or {}).get("priority") or 0), -more

    return sorted((u for u in pods if not critical(u.pod)), key=key)


def _requested(pod: Object, resource: str) -> Fraction:
    return sum((_request(c, resource) for c in (pod.get("spec") or {}).get("containers") or ()), Fraction(0))


def _request(container: Mapping[str, Any], resource: str) -> Fraction:
    return parse(((container.get("resources") or {}).get("requests") or {}).get(resource) or "0")


def pressure_message(threshold: Threshold, signal: Signal, use: Use) -> str:
    """Why this pod goes, as the kubelet words it."""
    resource = _RESOURCES[threshold.signal]
    least = int(threshold.least(signal.capacity))
    text = f"The node was low on resource: {resource}. Threshold quantity: {amount(least)}, available: {_kib(signal.available)}. "
    for container in (use.pod.get("spec") or {}).get("containers") or ():
        used, asked = use.of(threshold.signal).get(container["name"], 0), _request(container, resource)
        if used > asked:
            said = ((container.get("resources") or {}).get("requests") or {}).get(resource) or "0"
            text += (
                f"Container {container['name']} was using {_kib(used)}, request is {said}, has larger consumption of {resource}. "
            )
    return text


def amount(size: int) -> str:
    """The largest binary unit that says it exactly."""
    for unit, one in (("Gi", 2**30), ("Mi", 2**20), ("Ki", 2**10)):
        if size and size % one == 0:
            return f"{size // one}{unit}"
    return str(size)


def _kib(size: int) -> str:
    return f"{-(-size // 1024)}Ki"


def limited(pod: Object) -> bool:
    """Whether anything of the pod's local storage has a limit."""
    spec = pod.get("spec") or {}
    volumes = any((v.get("emptyDir") or {}).get("sizeLimit") for v in spec.get("volumes") or ())
    return volumes or any(_storage_limit(c) for c in spec.get("containers") or ())


def _storage_limit(container: Mapping[str, Any]) -> str:
    return str(((container.get("resources") or {}).get("limits") or {}).get("ephemeral-storage") or "")


def excess_message(pod: Object, volumes: Mapping[str, int], containers: Mapping[str, int]) -> str:
    """What of a pod's local storage is beyond its limit, '' when nothing is. Bytes by name."""
    spec = pod.get("spec") or {}
    for volume in spec.get("volumes") or ():
        limit = (volume.get("emptyDir") or {}).get("sizeLimit")
        if limit and parse(limit) and volumes.get(volume["name"], 0) > parse(limit):
            return f'Usage of EmptyDir volume "{volume["name"]}" exceeds the limit "{limit}". '
    limits = {c["name"]: limit for c in spec.get("containers") or () if (limit := _storage_limit(c))}
    total = sum((parse(limit) for limit in limits.values()), Fraction(0))
    on_disk = sum(containers.values()) + sum(
        size for v in spec.get("volumes") or () if _on_disk(v) and (size := volumes.get(v["name"]))
    )
    if limits and len(limits) == len(spec["containers"]) and on_disk > total:
        return f"Pod ephemeral local storage usage exceeds the total limit of containers {amount(int(total))}. "
    for name, limit in limits.items():
        if containers.get(name, 0) > parse(limit):
            return f'Container {name} exceeded its local ephemeral storage limit "{limit}". '
    return ""


def _on_disk(volume: Mapping[str, Any]) -> bool:
    return (volume.get("emptyDir") or {}).get("medium") != "Memory"


def refusal(pod: Object, conditions: Sequence[str]) -> str:
    """Why a new pod is not taken by a node under pressure, or ''."""
    if not conditions or critical(pod):
        return ""
    if set(conditions) == {"MemoryPressure"} and (_asks(pod) or _tolerates(pod)):
        return ""
    return f"The node had condition: [{', '.join(sorted(set(conditions)))}]. "


def _asks(pod: Object) -> bool:
    return str((pod.get("status") or {}).get("qosClass") or "BestEffort") != "BestEffort"


def _tolerates(pod: Object) -> bool:
    found = (pod.get("spec") or {}).get("tolerations") or ()
    return any(
        t.get("effect") in (None, "", "NoSchedule")
        and (t.get("key") == _MEMORY_TAINT or (not t.get("key") and t.get("operator") == "Exists"))
        for t in found
    )
