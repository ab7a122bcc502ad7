"""The shim with real processes."""

import os
import signal
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from lateen.aio.clock import SystemClock
from lateen.aio.tasks import TaskOwner
from lateen.errors import FailedError
from lateen.shim import logtimes
from lateen.shim.client import Done, ShimClient, Spawn

ENV = {"PATH": os.environ["PATH"]}


def shim_for(folder: Path) -> ShimClient:
    socket = Path("/tmp") / f"lateen-test-{os.getpid()}-{folder.name}"
    return ShimClient(folder=folder / "shim", socket=socket, name="t", clock=SystemClock())


@pytest.fixture
async def shim(tmp_path: Path) -> AsyncIterator[ShimClient]:
    client = shim_for(tmp_path)
    await client.connect()
    yield client
    again = shim_for(tmp_path)
    await again.stop(seconds=0)
    await again.close()
    await client.close()


@pytest.fixture
def viewing(shim: ShimClient) -> ShimClient:
    if not shim.can_view:
        pytest.skip("this kernel allows this user no mount namespaces")
    return shim


def spawn(name: str, script: str, folder: Path) -> Spawn:
    return Spawn(id=name, argv=["sh", "-c", script], env=ENV, log=folder / f"{name}.log")


async def gone(pid: int) -> bool:
    for _ in range(100):
        if not Path(f"/proc/{pid}").exists():
            return True
        await SystemClock().sleep(0.01)
    return False


async def written(path: Path) -> str:
    while not path.exists() or not path.read_text():
        await SystemClock().sleep(0.01)
    return path.read_text()


async def test_exit_codes_and_output(shim: ShimClient, tmp_path: Path) -> None:
    await shim.spawn(spawn("a", "echo out; echo err >&2; exit 7", tmp_path))
    ended = await shim.wait("a")
    assert (ended.exit_code, ended.reason) == (7, "Error")
    assert (tmp_path / "a.log").read_text() == "out\nerr\n"


async def test_killed_by_signal_is_128_plus(shim: ShimClient, tmp_path: Path) -> None:
    await shim.spawn(spawn("a", "sleep 60", tmp_path))
    assert await shim.signal("a", signal.SIGKILL)
    assert (await shim.wait("a")).exit_code == 137
    assert not await shim.signal("a", signal.SIGKILL)


async def test_spawn_is_idempotent_by_id(shim: ShimClient, tmp_path: Path) -> None:
    first = await shim.spawn(spawn("a", "sleep 60", tmp_path))
    assert (await shim.spawn(spawn("a", "sleep 60", tmp_path))).pid == first.pid


async def test_a_missing_program_is_a_start_error(shim: ShimClient, tmp_path: Path) -> None:
    ended = await shim.spawn(Spawn(id="a", argv=["no-such-program"], env=ENV, log=tmp_path / "log"))
    assert (ended.reason, ended.alive) == ("StartError", False)
    assert ended.message == 'exec: "no-such-program": executable file not found in $PATH'


async def test_forgotten_means_gone_and_the_living_cannot_be_forgotten(shim: ShimClient, tmp_path: Path) -> None:
    await shim.spawn(spawn("a", "exit 0", tmp_path))
    await shim.wait("a")
    await shim.forget("a")
    assert not list((tmp_path / "shim/processes").iterdir())
    await shim.spawn(spawn("b", "sleep 60", tmp_path))
    with pytest.raises(Exception, match="process b is alive"):
        await shim.forget("b")


async def test_a_disk_that_takes_nothing_is_an_answer_and_loses_no_exit_code(shim: ShimClient, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    await shim.spawn(spawn("a", f"read x < {tmp_path}/fifo; exit 5", tmp_path))
    records = tmp_path / "shim/processes"
    records.rename(tmp_path / "away")
    with pytest.raises(FailedError, match=r"No such file or directory: .*/processes/b"):
        await shim.spawn(spawn("b", "exit 0", tmp_path))
    (tmp_path / "fifo").write_text("go\n")
    assert (await shim.wait("a")).exit_code == 5
    (tmp_path / "away").rename(records)
    while '"exit_code": 5' not in (records / "a.json").read_text():
        await SystemClock().sleep(0.02)
    await shim.spawn(spawn("b", "exit 6", tmp_path))
    assert (await shim.wait("b")).exit_code == 6


async def test_processes_outlive_the_client_and_no_exit_code_is_lost(shim: ShimClient, tmp_path: Path) -> None:
    await shim.spawn(spawn("short", "sleep 0.1; exit 3", tmp_path))
    await shim.spawn(spawn("long", "sleep 60", tmp_path))
    await shim.close()
    await SystemClock().sleep(0.3)
    again = shim_for(tmp_path)
    await again.connect()
    assert again.processes()["short"].exit_code == 3
    assert again.processes()["long"].alive
    await again.close()


async def test_a_killed_shim_is_followed_by_one_that_finds_the_living(shim: ShimClient, tmp_path: Path) -> None:
    pid = (await shim.spawn(spawn("a", "sleep 60", tmp_path))).pid
    await shim.spawn(spawn("b", "sleep 60", tmp_path))
    async with TaskOwner("t") as owner:
        waiting = owner.start(shim.wait("b"), "wait")
        os.kill(int((tmp_path / "shim/shim.lock").read_text()), signal.SIGKILL)
        while shim.connected:
            await SystemClock().sleep(0.01)
        await shim.connect()
        assert shim.processes()["a"].alive
        os.kill(pid, signal.SIGKILL)
        assert (await shim.wait("a")).reason == "ContainerStatusUnknown"
        await shim.signal("b", signal.SIGTERM)
        assert (await waiting).exit_code == 137


async def test_orphans_of_a_process_end_with_it(shim: ShimClient, tmp_path: Path) -> None:
    await shim.spawn(spawn("a", f"sleep 60 & echo $! > {tmp_path}/child; exit 0", tmp_path))
    await shim.wait("a")
    assert await gone(int((tmp_path / "child").read_text()))


async def test_a_daemon_that_left_the_session_is_killed_too(shim: ShimClient, tmp_path: Path) -> None:
    await shim.spawn(spawn("a", f"setsid sh -c 'echo $$ > {tmp_path}/child; exec sleep 60' & sleep 60", tmp_path))
    child = int(await written(tmp_path / "child"))
    await shim.signal("a", signal.SIGKILL)
    await shim.wait("a")
    assert await gone(child)


async def test_exec_gives_code_and_output_and_ends_in_time(shim: ShimClient) -> None:
    assert await shim.exec(["sh", "-c", "echo hi; exit 4"], env=ENV, seconds=5) == Done(4, "hi\n", False)
    late = await shim.exec(["sh", "-c", "sleep 60"], env=ENV, seconds=0.1)
    assert (late.exit_code, late.timed_out) == (124, True)
    assert (await shim.exec(["no-such-program"], env=ENV, seconds=1)).exit_code == 126


async def test_leases_exclude_other_shims(shim: ShimClient, tmp_path: Path) -> None:
    other_home = tmp_path / "other"
    other_home.mkdir()
    other = shim_for(other_home)
    names = [f"lateen-test-{os.getpid()}-{i}" for i in range(2)]
    assert await shim.lease("slice", names) == names[0]
    assert await shim.lease("slice", names) == names[0]
    assert await other.lease("slice", names) == names[1]
    await other.stop(seconds=0)
    await other.close()


async def test_a_view_shows_mounts_at_absolute_paths_and_leaves_the_host_alone(viewing: ShimClient, tmp_path: Path) -> None:
    data, app, token = tmp_path / "volume", tmp_path / "app", tmp_path / "token"
    for folder in (data, app, token):
        folder.mkdir()
    (app / "main.py").write_text("open('/data/x', 'w').write('kept'); print(open('/var/run/secrets/t/token').read())")
    (token / "token").write_text("secret")
    mounts = [(str(data), "/data", False), (str(app), "/app", True), (str(token), "/var/run/secrets/t", True)]
    argv = [sys.executable, "/app/main.py"]
    await viewing.spawn(Spawn(id="v", argv=argv, env=ENV, log=tmp_path / "v.log", cwd="/app", mounts=mounts))
    ended = await viewing.wait("v")
    assert (ended.exit_code, (tmp_path / "v.log").read_text(), ended.message) == (0, "secret\n", "")
    assert (data / "x").read_text() == "kept"
    assert not Path("/data/x").exists()
    assert not Path("/run/secrets/t").exists()


async def test_read_only_mounts_refuse_and_files_can_be_mounted(viewing: ShimClient, tmp_path: Path) -> None:
    (tmp_path / "f").write_text("one file\n")
    script = "cat /etc/lateen/f; echo x > /etc/lateen/f"
    mounts = [(str(tmp_path / "f"), "/etc/lateen/f", True)]
    await viewing.spawn(Spawn(id="v", argv=["sh", "-c", script], env=ENV, log=tmp_path / "log", mounts=mounts))
    assert (await viewing.wait("v")).exit_code != 0
    assert (tmp_path / "log").read_text().startswith("one file\n")
    assert "Read-only file system" in (tmp_path / "log").read_text()


async def test_exec_beside_a_process_sees_its_view_and_environment(viewing: ShimClient, tmp_path: Path) -> None:
    (tmp_path / "app").mkdir()
    (tmp_path / "app/x").write_text("original\n")
    spec = Spawn(
        id="a",
        argv=["sh", "-c", "echo changed > /app/x; sleep 60"],
        env=ENV | {"WHO": "me"},
        log=tmp_path / "log",
        cwd="/app",
        mounts=[],
        layers=[(str(tmp_path / "app"), "/app", str(tmp_path / "changes"))],
    )
    await viewing.spawn(spec)
    await written(tmp_path / "changes/new/x")
    done = await viewing.exec(["sh", "-c", "cat x; echo $WHO; pwd"], beside="a", seconds=5)
    assert done == Done(0, "changed\nme\n/app\n", False)
    assert (tmp_path / "app/x").read_text() == "original\n"


async def test_it_is_small_and_knows_when_each_line_was_written(shim: ShimClient, tmp_path: Path) -> None:
    before = time.time_ns()
    await shim.spawn(spawn("a", "echo one; sleep 1.2; echo two", tmp_path))
    await shim.wait("a")
    status = Path(f"/proc/{shim.pid}/status").read_text()
    assert int(status.partition("VmRSS:")[2].split()[0]) < 15_000
    times, sizes, start = logtimes.read(str(tmp_path / "a.log"))
    assert (sizes[-1], start) == (8, 0)
    first, second = (logtimes.time_at(times, sizes, at, otherwise=0) for at in (0, 4))
    assert before < first < before + 1.1e9
    assert second - first > 0.5e9


async def test_a_flood_of_output_holds_nobody_up(shim: ShimClient, tmp_path: Path) -> None:
    flood = Spawn(id="flood", argv=["sh", "-c", "yes"], env=ENV, log=tmp_path / "flood.log", terminal=True)
    await shim.spawn(flood)
    async with TaskOwner("test") as owner:
        probe = owner.start(shim.exec(["yes"], seconds=0.5, env=ENV), "probe")
        for i in range(5):
            started = time.monotonic()
            await shim.spawn(spawn(f"p{i}", "true", tmp_path))
            await shim.wait(f"p{i}")
            assert time.monotonic() - started < 2
        assert (await probe).timed_out
    assert await shim.signal("flood", signal.SIGKILL, session=True)
    await shim.wait("flood")
    assert (tmp_path / "flood.log").read_bytes().startswith(b"y\r\ny\r\n")


async def test_a_terminal_and_a_pipe_can_be_typed_to_and_a_pipe_ends(shim: ShimClient, tmp_path: Path) -> None:
    await shim.spawn(Spawn(id="pipe", argv=["cat"], env=ENV, log=tmp_path / "pipe.log", stdin=True))
    await shim.spawn(Spawn(id="tty", argv=["sh", "-c", "read x; echo got $x"], env=ENV, log=tmp_path / "tty.log", terminal=True))
    await shim.spawn(spawn("none", "cat", tmp_path))
    assert (await shim.wait("none")).exit_code == 0
    for name in ("pipe", "tty"):
        handle = await shim.input(name)
        os.write(handle, b"hello\n")
        os.close(handle)
    await shim.end_input("pipe")
    assert (await shim.wait("pipe")).exit_code == 0
    assert (await shim.wait("tty")).exit_code == 0
    assert (tmp_path / "pipe.log").read_text() == "hello\n"
    assert (tmp_path / "tty.log").read_bytes() == b"hello\r\ngot hello\r\n"
    for name in ("pipe", "none", "nobody"):
        with pytest.raises(FailedError, match="no open stdin"):
            await shim.input(name)
