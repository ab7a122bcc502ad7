"""The channels of exec and attach, with a client and a process that follow a script."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass, field

import pytest

from lateen.cluster.api.streaming.channels import serve_session
from lateen.errors import FailedError, LateenError


@dataclass
class Client:
    """Says what it has to say, then waits to be hung up on, or goes."""

    protocol: str
    says: list[bytes]
    goes: bool = False
    heard: list[bytes] = field(default_factory=list)

    async def receive(self) -> bytes | None:
        if self.says:
            return self.says.pop(0)
        if not self.goes:
            await asyncio.Event().wait()
        return None

    async def send(self, data: bytes) -> None:
        self.heard.append(data)


@dataclass(frozen=True)
class End:
    exit_code: int
    problem: str = ""


class Process:
    """Repeats its input to stdout, and ends with it."""

    def __init__(self, end: End | LateenError) -> None:
        self.end, self.over, self.closed = end, asyncio.Event(), False
        self.input, self.size = b"", (0, 0)

    def outputs(self) -> Mapping[str, AsyncGenerator[bytes, None]]:
        async def out() -> AsyncGenerator[bytes, None]:
            await self.over.wait()
            yield self.input

        async def err() -> AsyncGenerator[bytes, None]:
            yield b"e"

        return {"stdout": out(), "stderr": err()}

    async def write(self, data: bytes) -> None:
        self.input += data

    async def end_input(self) -> None:
        self.over.set()

    async def resize(self, width: int, height: int) -> None:
        self.size = (width, height)

    async def wait(self) -> End:
        await self.over.wait()
        if isinstance(self.end, LateenError):
            raise self.end
        return self.end

    async def close(self) -> None:
        self.closed = True


async def talk(client: Client, process: Process) -> None:
    await serve_session(client, lambda: process)
    assert process.closed


async def test_v5_carries_everything_and_ends_with_the_status() -> None:
    size = b"\x04" + json.dumps({"Width": 80, "Height": 25}).encode()
    client = Client("v5.channel.k8s.io", [size, b"\x04nonsense", b"\0in", b"\0put", b"\xff\0"])
    process = Process(End(3))
    await talk(client, process)
    assert process.size == (80, 25)
    assert client.heard[0] == b"\x01"
    assert sorted(client.heard[1:3]) == [b"\x01input", b"\x02e"]
    status = json.loads(client.heard[3][1:])
    assert (client.heard[3][0], status["reason"]) == (3, "NonZeroExitCode")
    assert status["details"]["causes"] == [{"reason": "ExitCode", "message": "3"}]


async def test_base64_and_the_first_protocol_say_errors_in_words() -> None:
    client = Client("base64.channel.k8s.io", [b"0" + base64.b64encode(b"in"), b"\xff"], goes=True)
    process = Process(End(0))
    await talk(client, process)
    assert process.input == b"in"
    process, client = Process(End(1)), Client("", [b"\0x"])
    process.over.set()
    await talk(client, process)
    assert client.heard[-1] == b"\x03command terminated with non-zero exit code: exit status 1"


@pytest.mark.parametrize(
    ("end", "said"),
    [
        (End(126, "no such file"), "failed to exec in container: no such file"),
        (FailedError("the shim is gone"), "the shim is gone"),
    ],
)
async def test_what_could_not_be_run_is_an_internal_error(end: End | LateenError, said: str) -> None:
    client, process = Client("v4.channel.k8s.io", []), Process(end)
    process.over.set()
    await talk(client, process)
    status = json.loads(client.heard[-1][1:])
    assert status["code"] == 500
    assert said in status["message"]


async def test_a_client_that_goes_ends_the_session() -> None:
    process = Process(End(0))
    await talk(Client("v4.channel.k8s.io", [b"\0x"], goes=True), process)
    assert process.input == b"x"
