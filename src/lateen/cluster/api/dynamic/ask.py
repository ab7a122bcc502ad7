"""Asks one webhook about one write: an AdmissionReview there, an AdmissionReview back. Used by ``webhooks``."""

from __future__ import annotations

import base64
import binascii
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from lateen.cluster.api.call import Backend
from lateen.cluster.api.dynamic.attributes import Attributes
from lateen.cluster.api.dynamic.hooks import Hook
from lateen.cluster.api.outward.post import PostError, post

_REVIEW = {"kind": "AdmissionReview", "apiVersion": "admission.k8s.io/v1"}


class HookError(Exception):
    """A webhook that gave no answer, or none that means something."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What it said. ``status`` explains a refusal; ``patch`` is a JSON patch or None."""

    allowed: bool
    status: Mapping[str, Any]
    patch: list[Any] | None
    warnings: tuple[str, ...]


async def ask(backend: Backend, hook: Hook, attributes: Attributes) -> Verdict:
    """The webhook's verdict. HookError."""
    uid = str(uuid.uuid4())
    body = orjson.dumps({**_REVIEW, "request": attributes.request(uid)})
    try:
        raw = await post(backend, hook.place, body, agent="kube-apiserver-admission")
    except PostError as error:
        raise HookError(f"failed to call webhook: {error}") from error
    return verdict(raw, uid)


def verdict(raw: bytes, uid: str) -> Verdict:
    """What an answer says. HookError."""
    try:
        review = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise HookError(f"received invalid webhook response: {error}") from error
    answer = review.get("response") if isinstance(review, dict) else None
    if not isinstance(answer, dict):
        raise HookError("webhook response was absent")
    if review.get("kind") != _REVIEW["kind"] or review.get("apiVersion") != _REVIEW["apiVersion"]:
        gvk = f"{review.get('apiVersion') or ''}, Kind={review.get('kind') or ''}"
        raise HookError(
            f"received invalid webhook response: expected webhook response of admission.k8s.io/v1, Kind=AdmissionReview, got {gvk}"
        )
    if answer.get("uid") != uid:
        raise HookError(f'received invalid webhook response: expected response.uid="{uid}", got "{answer.get("uid") or ""}"')
    return Verdict(
        allowed=bool(answer.get("allowed")),
        status=answer.get("status") or {},
        patch=_patch(answer),
        warnings=tuple(map(str, answer.get("warnings") or ())),
    )


def _patch(answer: Mapping[str, Any]) -> list[Any] | None:
    text, kind = answer.get("patch"), answer.get("patchType")
    if not text:
        return None
    if kind != "JSONPatch":
        raise HookError(f"received invalid webhook response: webhook returned response.patch but patchType is {kind or 'not set'}")
    try:
        found = orjson.loads(base64.b64decode(text))
    except (binascii.Error, ValueError) as error:
        raise HookError(f"received undecodable patch in webhook response: {error}") from error
    return found if isinstance(found, list) else [found]
