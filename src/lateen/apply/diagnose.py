"""Why an object is not healthy: its health's reason, and the last log lines of the container that fails."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from lateen.aio.tasks import gather
from lateen.apply.events import Failure
from lateen.apply.health import Health, State
from lateen.apply.refs import Ref
from lateen.client import Client
from lateen.client.seam import Response
from lateen.errors import ApiError, TransportError
from lateen.kube.meta import Key
from lateen.kube.resources import PODS

LINES = 12
_NOT_APPLIED = Health(State.progressing, "waits for what it depends on")


async def diagnose(client: Client, health: Mapping[Ref, Health], refs: Sequence[Ref]) -> tuple[Failure, ...]:
    """A Failure for each of ``refs``."""
    return tuple(await gather(_failure(client, ref, health.get(ref, _NOT_APPLIED)) for ref in refs))


async def _failure(client: Client, ref: Ref, health: Health) -> Failure:
    lines: Sequence[str] = ()
    if health.pod is not None:
        lines = await last_lines(client, health.pod, health.container)
    return Failure(ref=ref, health=health, log=tuple(lines))


async def last_lines(client: Client, pod: Key, container: str, *, count: int = LINES) -> list[str]:
    """The last log lines of the container; of its previous run when the present one has said nothing. Empty if there are none."""
    for previous in ({}, {"previous": "true"}):
        query = {"container": container, "tailLines": str(count), **previous}
        try:
            answer = await client.raw("GET", PODS.path(pod.namespace, pod.name, "log"), query=query, accept="*/*")
        except (ApiError, TransportError):
            continue  # the log is a help, not the point: without it the reason still stands
        if lines := (await _text(answer)).splitlines():
            return lines[-count:]
    return []


async def _text(answer: Response) -> str:
    if answer.stream is not None:
        return b"".join([chunk async for chunk in answer.stream]).decode(errors="replace")
    return (answer.raw or b"").decode(errors="replace")
