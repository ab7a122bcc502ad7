"""Objects between the version they are stored in and the one they are served in: by a function, or by a custom resource's webhook.

Every verb that reads or writes a resource with several versions comes through here. What a webhook made is kept for a while, since
lists and watches ask for the same objects again.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import Any

import orjson

from lateen.aio.turns import set_down
from lateen.cluster.api import statuses
from lateen.cluster.api.call import Backend
from lateen.cluster.api.outward.post import PostError, post
from lateen.cluster.api.registry import Served
from lateen.errors import ServerError
from lateen.kube.meta import Object

_REVIEW = {"kind": "ConversionReview", "apiVersion": "apiextensions.k8s.io/v1"}
_KEPT = 4096


async def served_forms(backend: Backend, served: Served, objs: Sequence[Object]) -> list[Object]:
    """Stored objects as ``served`` shows them; the stored ones are shared and stay as they are. ServerError."""
    if served.webhook is None:
        return [served.from_storage(o) for o in objs]
    return await _converted(backend, served, objs, served.resource.api_version)


async def served_form(backend: Backend, served: Served, obj: Object) -> Object:
    """One of them."""
    return served.from_storage(obj) if served.webhook is None else (await served_forms(backend, served, [obj]))[0]


async def stored_form(backend: Backend, served: Served, obj: Object) -> Object:
    """A served object as it is stored. ServerError."""
    if served.webhook is None:
        return served.to_storage(obj)
    return (await _converted(backend, served, [obj], served.stored.api_version))[0]


async def _converted(backend: Backend, served: Served, objs: Sequence[Object], wanted: str) -> list[Object]:
    found = [obj if obj.get("apiVersion") == wanted else backend.converted.get(_key(obj, wanted)) for obj in objs]
    missing = [i for i, obj in enumerate(found) if obj is None]
    if missing:
        made = await _ask(backend, served, [objs[i] for i in missing], wanted)
        if len(backend.converted) + len(made) > _KEPT:
            backend.converted.clear()
        for i, obj in zip(missing, made, strict=True):
            found[i] = obj
            if objs[i]["metadata"].get("resourceVersion"):
                backend.converted[_key(objs[i], wanted)] = obj
    return [obj for obj in found if obj is not None]


def _key(obj: Object, wanted: str) -> tuple[str, str, str]:
    meta = obj["metadata"]
    return (str(meta.get("uid")), str(meta.get("resourceVersion")), wanted)


async def _ask(backend: Backend, served: Served, objs: Sequence[Object], wanted: str) -> list[Object]:
    assert served.webhook is not None
    uid = str(uuid.uuid4())
    body = orjson.dumps({**_REVIEW, "request": {"uid": uid, "desiredAPIVersion": wanted, "objects": list(objs)}})
    try:
        async with set_down():
            raw = await post(backend, served.webhook, body, agent="kube-apiserver")
        return [_like(new, old, wanted) for new, old in zip(_objects(raw, uid), objs, strict=True)]
    except (PostError, ValueError) as error:
        raise _failed(objs[0], str(error)) from error


def _failed(obj: Object, why: str) -> ServerError:
    what = f"{obj.get('apiVersion')}, Kind={obj.get('kind')}"
    return statuses.internal(f"conversion webhook for {what} failed: {why}")


def _objects(raw: bytes, uid: str) -> list[Any]:
    """The objects of an answer. ValueError."""
    review = orjson.loads(raw)
    answer = review.get("response") if isinstance(review, dict) else None
    if not isinstance(answer, dict):
        raise ValueError("expected a ConversionReview with a response")
    if answer.get("uid") != uid:
        raise ValueError(f'expected response.uid="{uid}", got "{answer.get("uid") or ""}"')
    result = answer.get("result") or {}
    if result.get("status") != "Success":
        raise ValueError(str(result.get("message") or "unknown reason"))
    return list(answer.get("convertedObjects") or ())


def _like(new: Any, old: Object, wanted: str) -> Object:
    """The converted object, with the metadata that a webhook may not change. ValueError."""
    if not isinstance(new, dict) or new.get("apiVersion") != wanted or new.get("kind") != old.get("kind"):
        raise ValueError(f"invalid converted object: expected {wanted}, Kind={old.get('kind')}")
    given = new.get("metadata") or {}
    for name in ("name", "namespace", "uid"):
        if given.get(name) != old["metadata"].get(name):
            raise ValueError(f"invalid metadata in converted object: metadata.{name} must not be changed")
    meta = dict(old["metadata"])
    for name in ("labels", "annotations"):
        if given.get(name):
            meta[name] = given[name]
        else:
            meta.pop(name, None)
    return {**new, "metadata": meta}
