"""``pods/log``: a container's output, read from the node that runs the pod through ``LogSource``, which boot fills in."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

from lateen.cluster.api import statuses
from lateen.cluster.api.call import Answer, Backend, Call
from lateen.kube.meta import Object, parse_time


@dataclass(frozen=True, slots=True, kw_only=True)
class PodLogOptions:
    """What of a log. ``since`` is a moment in seconds since 1970."""

    container: str = ""
    previous: bool = False
    follow: bool = False
    timestamps: bool = False
    tail: int | None = None
    since: float | None = None
    limit_bytes: int | None = None


# (the pod, what of its log) -> chunks. Errors of the API tree before the first chunk become the answer.
LogSource = Callable[[Object, PodLogOptions], AsyncIterator[bytes]]


def no_logs(pod: Object, options: PodLogOptions) -> AsyncIterator[bytes]:
    """The source of a server without nodes."""
    node = (pod.get("spec") or {}).get("nodeName") or ""
    raise statuses.internal(f"no node agent serves the logs of node {node!r}")


async def read(backend: Backend, call: Call) -> Answer:
    """The log as text, streamed when it is followed. BadRequestError for a pod without node or an unknown container."""
    record = backend.storage.get(call.key)
    if record is None:
        raise statuses.not_found(call.served.resource, call.name)
    pod = record.obj
    options = _options(backend, call)
    container = container_of(pod, options.container)
    if not (pod.get("spec") or {}).get("nodeName"):
        raise statuses.bad_request(f"pod {call.name} does not have a host assigned")
    options = PodLogOptions(**{n: getattr(options, n) for n in PodLogOptions.__slots__} | {"container": container})
    chunks = backend.logs(pod, options)
    try:
        first = await anext(chunks)
    except StopAsyncIteration:
        first = b""
    return Answer(stream=_rest(first, chunks), content_type="text/plain; charset=utf-8")


async def _rest(first: bytes, chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    try:
        if first:
            yield first
        async for chunk in chunks:
            yield chunk
    finally:
        close = getattr(chunks, "aclose", None)
        if close is not None:
            await close()


def _options(backend: Backend, call: Call) -> PodLogOptions:
    def number(name: str) -> int | None:
        text = call.option(name)
        if text and not text.isdigit():
            raise statuses.bad_request(f"{name}: Invalid value: {text!r}: must be a non-negative integer")
        return int(text) if text else None

    seconds, moment = number("sinceSeconds"), call.option("sinceTime")
    since = backend.clock.now().timestamp() - seconds if seconds is not None else parse_time(moment).timestamp() if moment else None
    return PodLogOptions(
        container=call.option("container"),
        previous=call.flag("previous"),
        follow=call.flag("follow"),
        timestamps=call.flag("timestamps"),
        tail=number("tailLines"),
        since=since,
        limit_bytes=number("limitBytes"),
    )


def container_of(pod: Object, wanted: str) -> str:
    """The container that is meant, by name or by default. BadRequestError."""
    spec = pod.get("spec") or {}
    every = [c["name"] for kind in ("initContainers", "containers", "ephemeralContainers") for c in spec.get(kind) or ()]
    name = pod["metadata"]["name"]
    if wanted and wanted not in every:
        raise statuses.bad_request(f"container {wanted} is not valid for pod {name}")
    if wanted:
        return wanted
    mains = [c["name"] for c in spec.get("containers") or ()]
    chosen = (pod["metadata"].get("annotations") or {}).get("kubectl.kubernetes.io/default-container")
    if len(every) == 1 or chosen in mains:
        return str(chosen) if chosen in mains else str(every[0])
    raise statuses.bad_request(f"a container name must be specified for pod {name}, choose one of: [{' '.join(mains)}]")
