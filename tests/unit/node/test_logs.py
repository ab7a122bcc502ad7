"""Reading raw logs: tail, since, timestamps, previous, following across a restart."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from lateen.aio.clock import SystemClock
from lateen.aio.tasks import TaskOwner
from lateen.cluster.node import watch
from lateen.cluster.node.logs import Logs
from lateen.cluster.node.seam import LogOptions
from lateen.errors import BadRequestError
from lateen.kube.meta import Object
from lateen.shim import logtimes
from lateen.shim.logtimes import RECORD

SECOND = 10**9


def pod(state: Object | None = None, *, attempt: int = 0, phase: str = "Running", **more: Any) -> Object:
    status = {"name": "app", "restartCount": attempt, "containerID": f"lateen://u_app_{attempt}", "state": state or {"running": {}}}
    spec = {"containers": [{"name": "app"}], **more}
    return {"metadata": {"name": "p", "uid": "u"}, "spec": spec, "status": {"phase": phase, "containerStatuses": [status]}}


class Files:
    def __init__(self, folder: Path) -> None:
        self.folder = folder / "pods/u/logs/app"
        self.folder.mkdir(parents=True)
        self.now: Object | None = pod()
        self.logs = Logs(folder, SystemClock(), lambda _: self.now)

    def write(self, text: str, attempt: int = 0, at: int | None = None) -> None:
        path = self.folder / f"{attempt}.log"
        with path.open("a") as file:
            file.write(text)
        if at is not None:
            with (self.folder / f"{attempt}.log.times").open("ab") as times:
                times.write(RECORD.pack(at * SECOND, path.stat().st_size))

    async def read(self, **options: Any) -> str:
        return b"".join([chunk async for chunk in self.logs.read(self.now or pod(), LogOptions(**options))]).decode()


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path)


async def test_tail(files: Files) -> None:
    files.write("".join(f"{i}\n" for i in range(30000)) + "last")
    assert await files.read(tail=2) == "29999\nlast"
    assert await files.read(tail=0) == ""
    assert (await files.read(tail=20000)).startswith("10001\n")
    assert (await files.read(tail=10**6)).startswith("0\n1\n")
    files.write("\n")
    assert await files.read(tail=2) == "29999\nlast\n"


async def test_since_and_timestamps(files: Files) -> None:
    files.write("a\nb\n", at=1000)
    files.write("c\n", at=2000)
    assert await files.read(since=1500.0) == "c\n"
    assert await files.read(since=900.0) == "a\nb\nc\n"
    assert await files.read(timestamps=True, tail=2) == "1970-01-01T00:16:40.000000000Z b\n1970-01-01T00:33:20.000000000Z c\n"


async def test_limit_bytes(files: Files) -> None:
    files.write("hello\nworld\n")
    assert await files.read(limit_bytes=8) == "hello\nwo"


async def test_previous(files: Files) -> None:
    files.write("old\n", 0)
    files.write("new\n", 1)
    files.now = pod(attempt=1)
    assert await files.read() == "new\n"
    assert await files.read(previous=True) == "old\n"
    files.now = pod()
    with pytest.raises(BadRequestError, match='previous terminated container "app" in pod "p" not found'):
        await files.read(previous=True)


async def test_what_cannot_be_read_is_said_as_the_kubelet_does(files: Files) -> None:
    files.now = pod({"waiting": {"reason": "ImagePullBackOff"}})
    with pytest.raises(BadRequestError, match="is waiting to start: trying and failing to pull image"):
        await files.read()
    with pytest.raises(BadRequestError, match="container nope is not valid for pod p"):
        await files.read(container="nope")
    files.now = pod(containers=[{"name": "app"}, {"name": "b"}])
    with pytest.raises(BadRequestError, match=r"must be specified for pod p, choose one of: \[app b\]"):
        await files.read()


async def test_following_goes_on_across_a_restart_and_ends_with_the_pod(files: Files) -> None:
    files.write("one\n")
    async with TaskOwner("t") as owner:
        reading = owner.start(files.read(follow=True), "read")
        await asyncio.sleep(0.05)
        files.write("two\n")
        files.write("three\n", 1)
        files.now = pod(attempt=1)
        await asyncio.sleep(0.25)
        assert not reading.done()
        files.write("four", 1)
        files.now = pod({"terminated": {}}, attempt=1, phase="Failed")
        assert await asyncio.wait_for(reading, 2) == "one\ntwo\nthree\nfour"


async def test_a_log_that_grew_long_begins_later(files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logtimes, "KEEP", 8192)
    path = files.folder / "0.log"
    path.touch()
    growth = logtimes.Growth(str(path))
    for i in range(400):
        files.write(f"line {i:94}\n")
        growth.note()
    growth.close()
    text = await files.read(timestamps=True)
    numbers = [int(line.split()[2]) for line in text.splitlines()]
    assert numbers == list(range(numbers[0], 400))
    assert 0 < numbers[0] < 320
    assert path.stat().st_blocks * 512 < 40_000
    assert (files.folder / "0.log.times").stat().st_size < 200 * RECORD.size
    assert await files.read(tail=1) == f"line {399:94}\n"


async def test_a_line_may_be_longer_than_any_buffer(files: Files) -> None:
    files.write("x" * 300_000 + "\nend\n")
    assert await files.read() == "x" * 300_000 + "\nend\n"


@pytest.mark.parametrize(
    ("policy", "kind", "code", "ends"),
    [
        ("Always", "initContainers", 0, True),
        ("Always", "initContainers", 1, False),
        ("Never", "initContainers", 1, True),
        ("Always", "ephemeralContainers", 1, True),
        ("OnFailure", "containers", 0, True),
        ("OnFailure", "containers", 1, False),
        ("Always", "containers", 0, False),
    ],
)
async def test_following_ends_with_a_container_that_does_not_come_back(
    files: Files, policy: str, kind: str, code: int, ends: bool
) -> None:
    files.write("one\n")
    files.now = pod({"terminated": {"exitCode": code}})
    files.now["spec"] = {"containers": [{"name": "other"}], "restartPolicy": policy, kind: [{"name": "app"}]}
    async with TaskOwner("t") as owner:
        reading = owner.start(files.read(container="app", follow=True), "read")
        done, _ = await asyncio.wait([reading], timeout=1.0 if ends else 0.4)
        assert bool(done) is ends


async def test_a_log_is_followed_without_a_watch_of_the_kernel(files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(_: str) -> int:
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(watch, "watch_writes", refused)
    files.write("one\n")
    async with TaskOwner("t") as owner:
        reading = owner.start(files.read(follow=True), "read")
        await asyncio.sleep(0.05)
        files.write("two\n")
        files.now = pod({"terminated": {}}, phase="Failed")
        assert await asyncio.wait_for(reading, 2) == "one\ntwo\n"
