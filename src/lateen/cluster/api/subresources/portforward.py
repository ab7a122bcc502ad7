"""``pods/portforward``: connections to a pod's ports through the API server, over a WebSocket. The node dials, ``streaming``
carries."""

from __future__ import annotations

from lateen.cluster.api import statuses
from lateen.cluster.api.call import Answer, Backend, Call
from lateen.cluster.api.streaming.ports import PROTOCOLS, serve_ports
from lateen.cluster.api.streaming.seam import Connection, Socket, Upgrade
from lateen.cluster.api.streaming.tunnel import PROTOCOL, Tunnel
from lateen.cluster.api.subresources.command import need_websocket, streamed_pod
from lateen.kube.meta import uid_of


async def forward(backend: Backend, call: Call) -> Answer:
    """Which protocol is spoken is agreed on in the handshake; the numbered channels need ``ports``."""
    pod, ports = streamed_pod(backend, call), _ports(call)
    need_websocket(backend, call)

    async def dial(port: int) -> Connection:
        return await backend.nodes.dial(pod, port)

    async def serve(socket: Socket) -> None:
        if socket.protocol == PROTOCOL:
            await Tunnel(socket, dial, f"{uid_of(pod)}, uid ").serve()
        elif ports:
            await serve_ports(socket, dial, ports)

    return Answer(upgrade=Upgrade(protocols=(PROTOCOL, *PROTOCOLS), serve=serve))


def _ports(call: Call) -> list[int]:
    found = call.request.query.get("ports", ())
    texts = [p for text in ((found,) if isinstance(found, str) else found) for p in text.split(",")]
    for text in texts:
        if not text.isdigit() or not 0 < int(text) < 65536:
            raise statuses.bad_request(f"unable to parse port {text!r}: it must be between 1 and 65535")
    return [int(text) for text in texts]
