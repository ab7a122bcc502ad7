"""What Kustomize's transformers do, as pure functions: ``kustomize`` lays them over the base before it asks what still differs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from lateen.kube.meta import Object

_COUNTED = ("Deployment", "StatefulSet")
K = TypeVar("K")


@dataclass(frozen=True, slots=True)
class Image:
    """An entry of ``images``: every container that runs ``name`` runs ``new`` instead."""

    name: str
    new: str

    def entry(self) -> dict[str, str]:
        """As a kustomization writes it."""
        name, tag, digest = split(self.new)
        parts = {"newName": name if name != self.name else "", "newTag": tag, "digest": digest}
        return {"name": self.name, **{k: v for k, v in parts.items() if v}}


def split(image: str) -> tuple[str, str, str]:
    """Name, tag and digest of a reference, as written."""
    rest, _, digest = image.partition("@")
    head, colon, tag = rest.rpartition(":")
    return (head, tag, digest) if colon and "/" not in tag else (rest, "", digest)


def containers(found: Object) -> list[dict[str, Any]]:
    """The containers of the pods that an object makes."""
    spec = found.get("spec") or {}
    spec = (spec.get("jobTemplate") or {}).get("spec") or spec
    pod = (spec.get("template") or {}).get("spec") or {}
    return [*(pod.get("initContainers") or ()), *(pod.get("containers") or ())]


def moved(objects: Mapping[K, Object], namespace: str) -> dict[K, Object]:
    """All objects in another namespace."""
    return {k: _moved(o, namespace) for k, o in objects.items()}


def _moved(found: Object, namespace: str) -> Object:
    if found["kind"] == "Namespace":
        return {**found, "metadata": {**found["metadata"], "name": namespace}}
    if "namespace" not in found["metadata"]:
        return found
    return {**found, "metadata": {**found["metadata"], "namespace": namespace}}


def images(old: Mapping[K, Object], new: Mapping[K, Object]) -> list[Image]:
    """The images that change, where all who run one run the same one afterwards, and Kustomize can write it."""
    wanted: dict[str, set[tuple[str, str]]] = {}
    for before, after in _pairs(old, new):
        wanted.setdefault(split(before)[0], set()).add((before, after))
    found = [Image(name, next(iter(pairs))[1]) for name, pairs in sorted(wanted.items()) if len(pairs) == 1]
    wanted_images = [c.get("image", "") for o in new.values() for c in containers(o)]
    clear = {
        i.name for i in found if all(a == i.new for a in wanted_images if split(a)[0] == i.name)
    }  # patched ones are transformed too
    changed = {name for name, pairs in wanted.items() if any(a != b for a, b in pairs)}
    return [i for i in found if i.name in changed & clear and (split(i.new)[1] or split(i.new)[2])]


def _pairs(old: Mapping[K, Object], new: Mapping[K, Object]) -> Iterator[tuple[str, str]]:
    for key, found in old.items():
        if key not in new:
            continue
        after = {c["name"]: c.get("image", "") for c in containers(new[key])}
        for container in containers(found):
            yield container.get("image", ""), after.get(container["name"], container.get("image", ""))


def with_images(objects: Mapping[K, Object], changes: Sequence[Image]) -> dict[K, Object]:
    """The objects after the changes."""
    names = {i.name: i.new for i in changes}
    return {k: _with_images(o, names) if names and containers(o) else o for k, o in objects.items()}


def _with_images(value: Any, names: Mapping[str, str]) -> Any:
    if isinstance(value, list):
        return [_with_images(v, names) for v in value]
    if not isinstance(value, dict):
        return value
    return {k: _list_of(v, names) if k in ("containers", "initContainers") else _with_images(v, names) for k, v in value.items()}


def _list_of(found: Any, names: Mapping[str, str]) -> Any:
    if not isinstance(found, list):
        return found
    return [{**c, "image": names.get(split(c["image"])[0], c["image"])} if "image" in c else c for c in found]


def replicas(old: Mapping[K, Object], new: Mapping[K, Object]) -> dict[str, int]:
    """How many pods, by the name of what runs them, where that changes."""
    found: dict[str, int] = {}
    for key, before in old.items():
        if before["kind"] in _COUNTED and key in new and {"replicas"} <= before["spec"].keys() & new[key]["spec"].keys():
            count = new[key]["spec"]["replicas"]
            if count != before["spec"]["replicas"]:
                found[before["metadata"]["name"]] = count
    return found


def with_replicas(objects: Mapping[K, Object], counts: Mapping[str, int]) -> dict[K, Object]:
    """The objects after the changes."""

    def changed(found: Object) -> Object:
        count = counts.get(found["metadata"]["name"]) if found["kind"] in _COUNTED else None
        return found if count is None else {**found, "spec": {**found["spec"], "replicas": count}}

    return {k: changed(o) for k, o in objects.items()}
