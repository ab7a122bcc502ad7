"""What every object has: identity, metadata, conditions. Used everywhere; objects are plain dictionaries.

An Object that came from storage, a cache or a watch is shared: read it, never change it. ``edit`` gives a deep copy.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, NamedTuple, NewType, TypeAlias

Object: TypeAlias = dict[str, Any]
Uid = NewType("Uid", str)


class Key(NamedTuple):
    """Identity of an object within its resource; ``namespace`` is empty for cluster-scoped ones."""

    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}" if self.namespace else self.name


def meta(obj: Mapping[str, Any]) -> dict[str, Any]:
    """The object's metadata (an empty one if it has none)."""
    return obj.get("metadata") or {}


def key_of(obj: Mapping[str, Any]) -> Key:
    """The object's identity."""
    m = meta(obj)
    return Key(m.get("namespace") or "", m.get("name") or "")


def uid_of(obj: Mapping[str, Any]) -> Uid:
    """The object's UID, empty before it is stored."""
    return Uid(meta(obj).get("uid") or "")


def labels_of(obj: Mapping[str, Any]) -> dict[str, str]:
    """The object's labels."""
    return meta(obj).get("labels") or {}


def annotations_of(obj: Mapping[str, Any]) -> dict[str, str]:
    """The object's annotations."""
    return meta(obj).get("annotations") or {}


def edit(obj: Any) -> Any:
    """A deep copy of JSON data: the only way to change a shared object. Faster than copy.deepcopy."""
    if isinstance(obj, dict):
        return {k: edit(v) for k, v in obj.items()}
    if isinstance(obj, list):
        return [edit(v) for v in obj]
    return obj


def owner_reference(owner: Mapping[str, Any], *, controller: bool = True) -> dict[str, Any]:
    """An ownerReference to ``owner``; a controlling one blocks foreground deletion."""
    ref = {"apiVersion": owner["apiVersion"], "kind": owner["kind"], "name": meta(owner)["name"], "uid": uid_of(owner)}
    return ref | ({"controller": True, "blockOwnerDeletion": True} if controller else {})


def controller_of(obj: Mapping[str, Any]) -> dict[str, Any] | None:
    """The controlling ownerReference, if any."""
    return next((r for r in meta(obj).get("ownerReferences") or () if r.get("controller")), None)


def timestamp(moment: datetime) -> str:
    """RFC 3339 with seconds, as Kubernetes writes ``metav1.Time``."""
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def micro_timestamp(moment: datetime) -> str:
    """RFC 3339 with microseconds, as Kubernetes writes ``metav1.MicroTime``."""
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def parse_time(text: str) -> datetime:
    """The moment written by either form above."""
    return datetime.fromisoformat(text.replace("Z", "+00:00"))


def condition(conditions: Iterable[Mapping[str, Any]] | None, kind: str) -> Mapping[str, Any] | None:
    """The condition of type ``kind``."""
    return next((c for c in conditions or () if c.get("type") == kind), None)


def condition_true(obj: Mapping[str, Any], kind: str) -> bool:
    """Whether ``status.conditions`` says True for ``kind``."""
    found = condition((obj.get("status") or {}).get("conditions"), kind)
    return found is not None and found.get("status") == "True"


def set_condition(conditions: Iterable[Mapping[str, Any]] | None, new: Mapping[str, Any], moment: datetime) -> list[dict[str, Any]]:
    """The conditions with ``new`` put in; ``lastTransitionTime`` moves only when ``status`` changes."""
    result = [dict(c) for c in conditions or ()]
    for i, old in enumerate(result):
        if old.get("type") == new["type"]:
            same = old.get("status") == new.get("status")
            when = old.get("lastTransitionTime") if same else None
            result[i] = {**new, "lastTransitionTime": when or timestamp(moment)}
            return result
    return [*result, {**new, "lastTransitionTime": timestamp(moment)}]
