"""The last words of a container that failed, from a server that only knows logs."""

from __future__ import annotations

from collections.abc import AsyncIterator

from lateen.apply.diagnose import diagnose, last_lines
from lateen.apply.events import Report
from lateen.apply.health import Health, State
from lateen.apply.refs import Ref
from lateen.client import Client, Request, Response
from lateen.kube.meta import Key

POD = Key("n", "web-x")


class Logs:
    """``now`` and ``before`` are what the present and the previous container wrote; None: there is no such container."""

    def __init__(self, *, now: str | None, before: str | None = None, stream: bool = False) -> None:
        self._now, self._before, self._stream = now, before, stream
        self.asked: list[Request] = []

    async def send(self, request: Request) -> Response:
        self.asked.append(request)
        text = self._before if "previous" in request.query else self._now
        if text is None:
            return Response(status=400, object={"kind": "Status", "code": 400, "message": "no such container"})
        if self._stream:
            return Response(status=200, stream=_chunks(text.encode()))
        return Response(status=200, raw=text.encode(), content_type="text/plain")

    async def close(self) -> None:
        """Nothing."""


async def _chunks(data: bytes) -> AsyncIterator[bytes]:
    for i in range(0, len(data), 3):
        yield data[i : i + 3]


async def test_the_last_lines() -> None:
    logs = Logs(now="one\ntwo\nthree\n")
    assert await last_lines(Client(logs), POD, "main", count=2) == ["two", "three"]
    assert logs.asked[0].path == "/api/v1/namespaces/n/pods/web-x/log"
    assert logs.asked[0].query == {"container": "main", "tailLines": "2"}


async def test_a_stream_is_read_to_its_end() -> None:
    assert await last_lines(Client(Logs(now="hällo\nworld\n", stream=True)), POD, "main") == ["hällo", "world"]


async def test_a_container_that_has_said_nothing_yet_is_asked_for_its_previous_run() -> None:
    assert await last_lines(Client(Logs(now="", before="boom\n")), POD, "main") == ["boom"]
    assert await last_lines(Client(Logs(now=None, before="boom\n")), POD, "main") == ["boom"]


async def test_no_log_is_no_failure() -> None:
    assert await last_lines(Client(Logs(now=None)), POD, "main") == []


async def test_a_failure_tells_everything() -> None:
    ref = Ref("apps", "Deployment", "n", "web")
    health = {ref: Health(State.degraded, "pod web-x: container main exits with code 3", True, POD, "main")}
    failures = await diagnose(Client(Logs(now="Traceback\nValueError: no\n")), health, [ref])
    assert str(failures[0]).splitlines() == [
        "Deployment n/web: pod web-x: container main exits with code 3",
        "  last lines of main in pod n/web-x:",
        "    Traceback",
        "    ValueError: no",
    ]
    assert Report(actions=(), health=health, failures=failures).writes == 0
