"""``pods/exec``, a command in a container, and ``pods/attach``, the container's own streams: over a WebSocket. The node has the
processes; ``streaming.channels`` speaks to the client.

A WebSocket begins with GET, which RBAC knows as ``get``; since Kubernetes 1.35 the caller must also be allowed to ``create``.
"""

from __future__ import annotations

from dataclasses import replace

from lateen.cluster.api import statuses
from lateen.cluster.api.access import check
from lateen.cluster.api.call import Answer, Backend, Call
from lateen.cluster.api.streaming.channels import PROTOCOLS, serve_session
from lateen.cluster.api.streaming.seam import StreamOptions, Upgrade
from lateen.cluster.api.subresources.log import container_of
from lateen.kube.meta import Object


async def run(backend: Backend, call: Call) -> Answer:
    """Start ``command`` and pump. BadRequestError without a command, a host, a stream or a WebSocket."""
    pod, options = streamed_pod(backend, call), stream_options(call)
    options = replace(options, container=container_of(pod, options.container))
    argv = _words(call, "command")
    if not argv:
        raise statuses.bad_request("you must specify at least one command for the container")
    opener = backend.nodes.exec(pod, argv, options)
    need_websocket(backend, call)
    return Answer(upgrade=Upgrade(protocols=PROTOCOLS, serve=lambda socket: serve_session(socket, opener)))


async def attach(backend: Backend, call: Call) -> Answer:
    """Join the container. Errors as ``run``."""
    pod, options = streamed_pod(backend, call), stream_options(call)
    options = replace(options, container=container_of(pod, options.container))
    opener = backend.nodes.attach(pod, options)
    need_websocket(backend, call)
    return Answer(upgrade=Upgrade(protocols=PROTOCOLS, serve=lambda socket: serve_session(socket, opener)))


def streamed_pod(backend: Backend, call: Call) -> Object:
    """The pod, on a node."""
    record = backend.storage.get(call.key)
    if record is None:
        raise statuses.not_found(call.served.resource, call.name)
    if not (record.obj.get("spec") or {}).get("nodeName"):
        raise statuses.bad_request(f"pod {call.name} does not have a host assigned")
    return record.obj


def stream_options(call: Call) -> StreamOptions:
    """Which streams are asked for; with a terminal stderr is part of stdout."""
    tty = call.flag("tty")
    options = StreamOptions(
        container=call.option("container"),
        stdin=call.flag("stdin"),
        stdout=call.flag("stdout"),
        stderr=call.flag("stderr") and not tty,
        tty=tty,
    )
    if not (options.stdin or options.stdout or options.stderr):
        raise statuses.bad_request("you must specify at least 1 of stdin, stdout, stderr")
    return options


def need_websocket(backend: Backend, call: Call) -> None:
    """BadRequestError unless the client asks for a WebSocket; ForbiddenError unless it may create such a connection."""
    if call.request.headers.get("Upgrade", "").lower() != "websocket":
        raise statuses.bad_request("Upgrade request required: a WebSocket (SPDY over plain HTTP is not served)")
    if call.verb == "get":
        check(backend.access.rbac, replace(call, verb="create"))


def _words(call: Call, name: str) -> tuple[str, ...]:
    found = call.request.query.get(name, ())
    return (found,) if isinstance(found, str) else tuple(found)
