"""Start, stop and ask after a daemon from outside. Used by the CLI and the test plugin; no asyncio on the way.

A daemon holds a lock on ``daemon.lock`` for as long as it lives, so whether one runs is never a guess. It tells how its start
goes through a pipe, one JSON object per line: ``{"phase": ...}``, then ``{"ready": {...}}`` or ``{"error": ...}``.
"""

from __future__ import annotations

import fcntl
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from lateen.errors import DeadlineError, FailedError, InputError
from lateen.server.home import ClusterHome

Progress = Callable[[str], None]
_FRUGAL = {"MALLOC_ARENA_MAX": "2", "MALLOC_TRIM_THRESHOLD_": "65536"}  # the C library gives back what a burst took


@dataclass(frozen=True, slots=True, kw_only=True)
class StartOptions:
    """How to start. None keeps what the cluster had before (or the default)."""

    nodes: int | None = None
    fake_nodes: int | None = None
    api_port: int | None = None
    gateway_port: int | None = None
    node_grace: float | None = None
    network: str | None = None
    runtime: str | None = None
    eviction_hard: str | None = None
    image_gc: str | None = None
    allowed_unsafe_sysctls: str | None = None
    seconds: float = 60.0

    def asked(self) -> dict[str, Any]:
        """What is asked for, by the names of settings. InputError where it cannot be."""
        found = {f.name: getattr(self, f.name) for f in fields(self) if f.name != "seconds"}
        if self.api_port and self.api_port == self.gateway_port:
            raise InputError(f"--api-port and --gateway-port are both {self.api_port}", hint="give them different ports")
        return {k: v for k, v in found.items() if v is not None}


def running_pid(cluster: ClusterHome) -> int | None:
    """The PID of the living daemon, or None."""
    try:
        with cluster.lock.open("r+") as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
            return None
    except FileNotFoundError:
        return None
    except BlockingIOError:
        text = cluster.lock.read_text().strip()
        return int(text) if text.isdigit() else None


def start(cluster: ClusterHome, options: StartOptions, progress: Progress = lambda _: None) -> dict[str, Any]:
    """Start the daemon, or find it running; its settings once the API and a node are ready. InputError, FailedError."""
    if running_pid(cluster) is not None:
        return _as_asked(cluster, wait_ready(cluster, options.seconds), options)
    cluster.make()
    fresh = not cluster.sockets()
    read_end, write_end = os.pipe()
    try:
        daemon = _spawn(cluster, options, write_end)
    finally:
        os.close(write_end)
    try:
        return _follow(cluster, read_end, options.seconds, progress)
    except DeadlineError:
        raise  # it goes on starting
    except (InputError, FailedError):
        if fresh:
            _clean_up(cluster, daemon)
        raise
    finally:
        os.close(read_end)


def _as_asked(cluster: ClusterHome, settings: dict[str, Any], options: StartOptions) -> dict[str, Any]:
    """What runs, if it is what is asked for; a running cluster is never changed by asking."""
    for name, asked in options.asked().items():
        any_port = name.endswith("_port") and asked == 0
        if asked != settings.get(name) and not any_port:
            has = settings.get(name)
            raise InputError(
                f"cluster {cluster.name} runs already, with {_flag(name)} {'at its default' if has is None else has}",
                hint=f"run `lateen cluster stop --name {cluster.name}` first; its state stays",
            )
    return settings


def _flag(name: str) -> str:
    return "--" + name.replace("_", "-")


def _clean_up(cluster: ClusterHome, daemon: subprocess.Popen[bytes]) -> None:
    """After a failed start where nothing ran before: nothing is left, unless another command started the cluster meanwhile."""
    try:
        daemon.wait(5.0)
    except subprocess.TimeoutExpired:
        return
    if running_pid(cluster) is None:
        stop(cluster)


def _spawn(cluster: ClusterHome, options: StartOptions, report: int) -> subprocess.Popen[bytes]:
    argv = [sys.executable, "-m", "lateen.server", "--name", cluster.name, "--report-fd", str(report)]
    for name, value in options.asked().items():
        argv += [_flag(name), str(value)]
    with cluster.log.open("ab") as log:
        return subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            pass_fds=[report],
            start_new_session=True,
            cwd="/",
            env={**_FRUGAL, **os.environ, "GRPC_ENABLE_FORK_SUPPORT": "0", "LATEEN_HOME": str(cluster.root.parent.parent)},
        )


def _follow(cluster: ClusterHome, report: int, seconds: float, progress: Progress) -> dict[str, Any]:
    deadline, buffer = time.monotonic() + seconds, b""
    while True:
        ready, _, _ = select.select([report], [], [], max(0.0, deadline - time.monotonic()))
        if not ready:
            raise DeadlineError(f"the cluster {cluster.name} was not ready in {seconds:g} s; see {cluster.log}")
        data = os.read(report, 65536)
        if not data:
            raise FailedError(f"the daemon of {cluster.name} ended while starting:\n{log_tail(cluster)}")
        *lines, buffer = (buffer + data).split(b"\n")
        for message in map(json.loads, lines):
            if "error" in message:
                _raise(message)
            if "ready" in message:
                ready_settings: dict[str, Any] = message["ready"]
                return ready_settings
            progress(message["phase"])


def _raise(message: Mapping[str, Any]) -> None:
    if message.get("input"):
        raise InputError(message["error"], hint=message.get("hint", ""))
    raise FailedError(message["error"])


def wait_ready(cluster: ClusterHome, seconds: float) -> dict[str, Any]:
    """Settings of a running daemon, once it says that it is ready (another process may be starting it)."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        pid, settings = running_pid(cluster), cluster.settings()
        if pid is not None and settings.get("ready_pid") == pid:
            return settings
        if pid is None:
            raise FailedError(f"the daemon of {cluster.name} ended while starting:\n{log_tail(cluster)}")
        time.sleep(0.02)  # noqa: TID251 - a command-line process waits for another process; there is no loop to block
    raise DeadlineError(f"the cluster {cluster.name} was not ready in {seconds:g} s; see {cluster.log}")


def stop(cluster: ClusterHome, seconds: float = 60.0, progress: Progress = lambda _: None) -> bool:
    """Stop the daemon, its pods, Envoys and shims; nothing is left running. Whether anything ran."""
    pid = running_pid(cluster)
    if pid is not None:
        progress("stopping the daemon")
        os.kill(pid, signal.SIGTERM)
        _wait_gone(pid, seconds)
    stopped = _stop_shims(cluster, progress) or pid is not None
    cluster.remove_sockets()
    return stopped


def _wait_gone(pid: int, seconds: float) -> None:
    """Until the process itself has ended, not only let its lock go; after ``seconds`` it is killed."""
    deadline = time.monotonic() + seconds
    while _alive(pid):
        if time.monotonic() > deadline:
            os.kill(pid, signal.SIGKILL)
            return
        time.sleep(0.01)  # noqa: TID251 - see wait_ready


def _alive(pid: int) -> bool:
    """Whether the process runs; one that only waits for its parent to ask how it ended does not."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def _stop_shims(cluster: ClusterHome, progress: Progress) -> bool:
    """The shims that a killed daemon left behind, with everything they own."""
    from lateen.server.leftovers import stop_shims

    return stop_shims(cluster, progress)


def reset(cluster: ClusterHome, progress: Progress = lambda _: None) -> None:
    """Stop, then forget everything the cluster stored."""
    stop(cluster, progress=progress)
    shutil.rmtree(cluster.root, ignore_errors=True)


def log_tail(cluster: ClusterHome, lines: int = 15) -> str:
    """The last lines of the daemon's log."""
    try:
        return "\n".join(cluster.log.read_text(errors="replace").splitlines()[-lines:])
    except FileNotFoundError:
        return "(no log)"
