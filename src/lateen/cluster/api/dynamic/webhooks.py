"""The two phases of webhooks: mutating ones in turn, each seeing what those before it made; validating ones all at once. Used by
``gate``."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from lateen.aio.tasks import gather
from lateen.cluster.api import statuses
from lateen.cluster.api.call import Backend
from lateen.cluster.api.cel.environment import CelError
from lateen.cluster.api.dynamic.ask import HookError, Verdict, ask
from lateen.cluster.api.dynamic.attributes import Attributes
from lateen.cluster.api.dynamic.hooks import Hook, met
from lateen.cluster.api.registry import Served
from lateen.errors import ApiError, api_error
from lateen.kube.meta import Object
from lateen.kube.patches.json import json_patch

log = logging.getLogger(__name__)
Chosen = tuple[Hook, Served]


@dataclass(slots=True, kw_only=True)
class Round:
    """One write on its way through webhooks. ``settle`` brings a patched object into the form it has here; ``variables`` gives
    what CEL sees; ``warnings`` are the call's."""

    backend: Backend
    namespace_of: Callable[[str], Object | None]
    settle: Callable[[Object], Object]
    variables: Callable[[Attributes], Mapping[str, Any]]
    warnings: list[str] = field(default_factory=list)


async def mutate(this: Round, hooks: Sequence[Chosen], attributes: Attributes) -> Object | None:
    """The object as the webhooks leave it; the same one where they change nothing. ApiError when one refuses."""
    seen: list[Object | None] = []
    for hook in hooks:
        attributes = await _mutated(this, hook, attributes)
        seen.append(attributes.obj)
    for hook, left in zip(hooks, seen, strict=True):  # those that want to see what others did after them, once more
        if hook[0].again and left is not attributes.obj and left != attributes.obj:
            attributes = await _mutated(this, hook, attributes)
    return attributes.obj


async def _mutated(this: Round, chosen: Chosen, attributes: Attributes) -> Attributes:
    found = await _asked(this, chosen, attributes)
    if found is None:
        return attributes
    verdict, shown = found
    if verdict.patch is None or attributes.obj is None or not verdict.patch:
        return attributes
    try:
        patched = json_patch(shown.obj, verdict.patch)
        if not isinstance(patched, dict):
            raise ValueError("the patched value is not an object")
    except ValueError as error:
        raise statuses.internal(str(error)) from error
    return replace(attributes, obj=this.settle(shown.back(patched, attributes)))


async def validate(this: Round, hooks: Sequence[Chosen], attributes: Attributes) -> None:
    """ApiError when one refuses: the first's, in their order."""
    for refused in await gather([_refusal(this, hook, attributes) for hook in hooks]):
        if refused is not None:
            raise refused


async def _refusal(this: Round, chosen: Chosen, attributes: Attributes) -> ApiError | None:
    try:
        await _asked(this, chosen, attributes)
    except ApiError as error:
        return error
    return None


async def _asked(this: Round, chosen: Chosen, attributes: Attributes) -> tuple[Verdict, Attributes] | None:
    """The verdict, and the write as it was shown; None when the webhook is not about it, or may fail and did. ApiError."""
    hook, version = chosen
    if not hook.rules.selects(attributes, this.namespace_of):
        return None
    shown = attributes.as_version(version)
    try:
        if hook.conditions and not met(hook.conditions, this.variables(shown)):
            return None
        if attributes.dry_run and hook.side_effects:
            raise statuses.bad_request(f'admission webhook "{hook.name}" does not support dry run')
        verdict = await ask(this.backend, hook, shown)
    except CelError as error:
        _failed(hook, statuses.forbidden(attributes.resource, attributes.name, str(error)))
        return None
    except HookError as error:
        _failed(hook, statuses.internal(f'failed calling webhook "{hook.name}": {error}'))
        return None
    this.warnings += verdict.warnings
    if not verdict.allowed:
        raise denied(hook.name, verdict.status)
    return verdict, shown


def _failed(hook: Hook, error: ApiError) -> None:
    if not hook.ignores_failure:
        raise error
    log.warning("%s: %s; its failurePolicy is Ignore", hook.name, error)


def denied(name: str, status: Mapping[str, Any]) -> ApiError:
    """The error of a refusal, in the API server's words."""
    words = f'admission webhook "{name}" denied the request'
    why = status.get("message") or status.get("reason")
    found = {"kind": "Status", "apiVersion": "v1", "metadata": {}, **status, "status": "Failure"}
    found["message"] = f"{words}: {why}" if why else f"{words} without explanation"
    found["code"] = max(int(status.get("code") or 0), 400)
    return api_error(found)
