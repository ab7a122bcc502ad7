"""Asks one webhook about one write: an AdmissionReview there, an AdmissionReview back. Used by ``webhooks``."""

from __future__ import annotations

import asyncio
import base64
import binascii
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import orjson

from lateen.aio.tasks import within
from lateen.cluster.api.call import Backend
from lateen.cluster.api.dynamic.attributes import Attributes
from lateen.cluster.api.dynamic.hooks import Hook
from lateen.cluster.api.outward.targets import dial
from lateen.cluster.api.outward.tls import Trust, secured
from lateen.cluster.api.streaming.http import Ask, exchange
from lateen.cluster.api.streaming.seam import Connection
from lateen.errors import LateenError

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
        status, raw = await within(hook.timeout, _post(backend, hook, body))
    except TimeoutError as error:
        raise HookError(f'failed to call webhook: Post "{hook.place}": context deadline exceeded') from error
    except (OSError, ValueError, EOFError, asyncio.LimitOverrunError, LateenError) as error:
        raise HookError(f'failed to call webhook: Post "{hook.place}": {error}') from error
    if not 200 <= status < 300:
        text = raw[:200].decode(errors="replace").strip()
        raise HookError(f"failed to call webhook: the server rejected our request: {status} {text}".rstrip())
    return verdict(raw, uid)


async def _post(backend: Backend, hook: Hook, body: bytes) -> tuple[int, bytes]:
    (reader, writer), host, target = await _connected(backend, hook)
    try:
        headers = {"Content-Type": "application/json", "Accept": "application/json, */*", "User-Agent": "kube-apiserver-admission"}
        found = await exchange(reader, writer, Ask(method="POST", target=target, host=host, headers=headers, body=body))
        return found.status, b"".join([part async for part in found.body])
    finally:
        writer.close()


async def _connected(backend: Backend, hook: Hook) -> tuple[Connection, str, str]:
    """(connection, host, path and query)."""
    trust = Trust(bundle=hook.bundle)
    if hook.target is not None:
        plain = await dial(backend, hook.target)
        return await secured(plain, trust, hook.target.host), hook.target.host, f"{hook.path}?timeout={hook.timeout:g}s"
    url = urlsplit(hook.url)
    host = url.hostname or ""
    plain = await asyncio.open_connection(host, url.port or 443)
    return await secured(plain, trust, host), url.netloc, f"{url.path or '/'}?timeout={hook.timeout:g}s"


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
