"""``scale``: replicas of anything that has them, as autoscaling/v1 Scale. Built-in kinds keep them at fixed places, custom ones
say where."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from lateen.cluster.api import statuses
from lateen.cluster.api.bodies import decode
from lateen.cluster.api.call import Answer, Backend, Call
from lateen.cluster.api.converting import served_form
from lateen.cluster.api.tables.base import dig, selector_text
from lateen.cluster.api.verbs.patch import apply_patch
from lateen.cluster.api.writing import change_object
from lateen.kube.meta import Object

_BUILTIN = {"specReplicasPath": ".spec.replicas", "statusReplicasPath": ".status.replicas", "labelSelectorPath": ""}


def _path(text: str) -> tuple[str, ...]:
    return tuple(p for p in text.split(".") if p)


def scale_of(paths: Mapping[str, str], obj: Object) -> Object:
    """The Scale that ``obj`` shows. Pure."""
    meta = obj["metadata"]
    names = ("name", "namespace", "uid", "resourceVersion", "creationTimestamp")
    status: dict[str, Any] = {"replicas": dig(obj, *_path(paths["statusReplicasPath"])) or 0}
    if paths.get("labelSelectorPath"):
        selector = dig(obj, *_path(paths["labelSelectorPath"]))
    else:
        found = dig(obj, "spec", "selector")
        selector = selector_text(found) if found else None
    if selector:
        status["selector"] = selector
    spec = {"replicas": dig(obj, *_path(paths["specReplicasPath"])) or 0}
    kept = {n: meta[n] for n in names if n in meta}
    return {"kind": "Scale", "apiVersion": "autoscaling/v1", "metadata": kept, "spec": spec, "status": status}


def with_replicas(paths: Mapping[str, str], obj: Object, replicas: int) -> Object:
    """``obj`` with that many replicas wanted; nothing shared is changed. Pure."""
    return _with(obj, _path(paths["specReplicasPath"]), replicas)


def _with(obj: Object, path: tuple[str, ...], value: Any) -> Object:
    if len(path) == 1:
        return {**obj, path[0]: value}
    return {**obj, path[0]: _with(obj.get(path[0]) or {}, path[1:], value)}


def _paths(call: Call) -> Mapping[str, str]:
    return call.served.scale or _BUILTIN


def scale_shown(call: Call, obj: Object) -> Object:
    """The Scale of an object, for who is asked about its change."""
    return scale_of(_paths(call), obj)


async def get(backend: Backend, call: Call) -> Answer:
    """The object's Scale."""
    record = backend.storage.get(call.key)
    if record is None:
        raise statuses.not_found(call.served.resource, call.name)
    return Answer(obj=scale_of(_paths(call), await served_form(backend, call.served, record.obj)))


async def update(backend: Backend, call: Call) -> Answer:
    """Replace ``spec.replicas``; a resourceVersion makes it conditional."""
    body = decode(call.request)
    if not isinstance(body, dict):
        raise statuses.bad_request("the request body must be a Scale")
    return await _change(backend, call, lambda _: body)


async def patch(backend: Backend, call: Call) -> Answer:
    """Patch the Scale, then write its replicas back."""
    return await _change(backend, call, lambda scale: apply_patch(call, scale))


async def _change(backend: Backend, call: Call, decide: Callable[[Object], Object]) -> Answer:
    def change(old: Object) -> Object:
        scale = decide(scale_of(_paths(call), old))
        wanted = dig(scale, "spec", "replicas")
        wanted = 0 if wanted is None else wanted
        if not isinstance(wanted, int) or isinstance(wanted, bool) or wanted < 0:
            why = f"Invalid value: {wanted}: must be greater than or equal to 0"
            raise statuses.invalid_scale(call.name, [statuses.field_cause("spec.replicas", why)])
        new = with_replicas(_paths(call), old, wanted)
        version = dig(scale, "metadata", "resourceVersion")
        kept = {k: v for k, v in old["metadata"].items() if k != "resourceVersion"}
        return {**new, "metadata": kept | ({"resourceVersion": version} if version else {})}

    answer = await change_object(backend, call, change)
    return Answer(obj=scale_of(_paths(call), answer.object()), headers=answer.headers)
