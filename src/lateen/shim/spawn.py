"""Start a process: fork, prepare, exec; an error on the way comes back as text. Called by ``children``."""

from __future__ import annotations

import fcntl
import os
import resource
import select
import signal
import termios
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

from lateen.shim import namespaces, stage, view
from lateen.shim.procfs import MARK
from lateen.shim.syscalls import setns

_PREPARE_SECONDS = 10  # a mount may hang on a dead disk: the shim must not


@dataclass(frozen=True, slots=True)
class Stdio:
    """File descriptors for a new process; without ``stdin`` it reads nothing. ``terminal``: they are one, and it controls it."""

    stdin: int | None
    stdout: int
    stderr: int
    terminal: bool = False


class SpawnError(Exception):
    """The process could not be started; the text says why."""


def spawn(spec: Mapping[str, Any], stdio: Stdio) -> int:
    """Start ``spec["argv"]`` on ``stdio``; the pid. SpawnError."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        _child(spec, stdio, writer)
    os.close(writer)
    poll = select.poll()
    poll.register(reader, select.POLLIN)
    ready = poll.poll(_PREPARE_SECONDS * 1000)
    problem = os.read(reader, 4096).decode(errors="replace") if ready else f"not started within {_PREPARE_SECONDS} s"
    os.close(reader)
    if problem:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        raise SpawnError(problem)
    return pid


def _child(spec: Mapping[str, Any], stdio: Stdio, problems: int) -> NoReturn:
    try:
        _prepare(spec, stdio)
        _execute(spec["argv"], spec["env"] | {MARK: spec["id"]})
    except BaseException as error:  # noqa: BLE001 - whatever it is, the parent must hear of it and this copy must end
        os.write(problems, _sentence(spec, error).encode(errors="replace")[:4000])
    finally:
        os._exit(127)


def _sentence(spec: Mapping[str, Any], error: BaseException) -> str:
    if isinstance(error, OSError) and error.filename is None and error.args and error.strerror:
        return str(error.strerror)
    if isinstance(error, OSError):
        return f"{error.filename}: {error.strerror}"
    return f"{type(error).__name__}: {error}"


def _prepare(spec: Mapping[str, Any], stdio: Stdio) -> None:
    signal.set_wakeup_fd(-1)
    for number in sorted(signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}):
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, [])
    os.setsid()
    _connect(stdio, spec.get("uid"))
    for folder in spec.get("cgroups") or ():
        _write(f"{folder}/cgroup.procs", "0")
    if spec.get("oom_score_adj") is not None:
        _write("/proc/self/oom_score_adj", str(spec["oom_score_adj"]))
    for name, limits in (spec.get("rlimits") or {}).items():
        resource.setrlimit(getattr(resource, f"RLIMIT_{name.upper()}"), tuple(limits))
    os.umask(spec.get("umask", 0o022))
    _enter(spec)
    _become(spec)
    os.chdir(spec.get("cwd") or "/")


def _enter(spec: Mapping[str, Any]) -> None:
    """The namespaces and mounts that the spec asks for."""
    if spec.get("within"):
        namespaces.enter(spec["within"])
    if spec.get("netns"):
        _join_network(spec["netns"])
    if spec.get("stage") is not None:
        stage.mounted(spec["stage"])
    if spec.get("sandbox"):
        stage.hold(spec["sandbox"], spec.get("pid_file"))
    if spec.get("join"):
        view.join(spec["join"])
    elif spec.get("view"):
        view.enter(spec["view"])


def _join_network(path: str) -> None:
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    setns(handle)
    os.close(handle)


def _connect(stdio: Stdio, uid: int | None) -> None:
    nothing = os.open("/dev/null", os.O_RDONLY)
    stdin = nothing if stdio.stdin is None else stdio.stdin
    for fd, place in ((stdin, 0), (stdio.stdout, 1), (stdio.stderr, 2)):
        os.dup2(fd, place)
    if stdio.terminal:
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)
        if uid is not None and os.geteuid() == 0:
            os.fchown(0, uid, -1)  # so that the user can open it by its name


def _become(spec: Mapping[str, Any]) -> None:
    if os.geteuid() != 0 or (spec.get("uid") is None and spec.get("gid") is None and not spec.get("groups")):
        return
    gid = os.getgid() if spec.get("gid") is None else spec["gid"]
    os.setgroups(spec.get("groups") or [gid])
    os.setgid(gid)
    if spec.get("uid") is not None:
        os.setuid(spec["uid"])


def _write(path: str, text: str) -> None:
    with open(path, "w") as file:
        file.write(text)


def _execute(argv: list[str], env: Mapping[str, str]) -> NoReturn:
    """exec along the PATH of the new environment; the error names the command."""
    try:
        os.execvpe(argv[0], argv, env)  # noqa: S606 - starting processes without a shell is what this is for
    except FileNotFoundError:
        where = "no such file or directory" if "/" in argv[0] else "executable file not found in $PATH"
        raise _RefusedError(f'exec: "{argv[0]}": {where}') from None
    except PermissionError:
        raise _RefusedError(f'exec: "{argv[0]}": permission denied') from None


class _RefusedError(OSError):
    """An OSError that is already a sentence."""

    def __init__(self, text: str) -> None:
        super().__init__(0, text)
