"""The processes of one shim: start, reap, signal, remember. Used by ``server``; speaks to no socket.

A record is on disk before anybody is told: ``<dir>/processes/<id>.json`` holds the process and how it was started. It goes only
when its owner forgets it. The environment lies in a file of its own (``<id>.env``) and not in memory: it is as long as the cluster
has services, and only an exec asks for it. Both are 0600, since they may hold secrets.
"""

from __future__ import annotations

import json
import os
import re
import select
import signal
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from lateen.shim import procfs
from lateen.shim.inputs import Inputs, close_ends
from lateen.shim.logtimes import Growth
from lateen.shim.spawn import SpawnError, spawn

Record = dict[str, Any]
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,220}")
LOST = 137  # the exit code of an end that nobody saw, as the kubelet reports it (ContainerStatusUnknown)


def now() -> str:
    """RFC 3339 with microseconds."""
    moment = time.time()
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(moment)) + f".{int(moment % 1 * 1e6):06d}Z"


class Owner:
    """Every process by id. ``ended`` is called with each record after its end is on disk."""

    def __init__(self, folder: str, poll: select.poll, ended: Callable[[Record], None]) -> None:
        self.folder, self._poll, self._ended = os.path.join(folder, "processes"), poll, ended
        self.records: dict[str, Record] = {}
        self._alive: dict[int, Record] = {}
        self._adopted: dict[int, Record] = {}  # by pidfd: processes of a shim that was killed
        self._growth: dict[str, Growth] = {}
        self._launching: dict[int, tuple[Record, list[Callable[[Record], None]]]] = {}  # by the launcher's pid
        self._early: dict[int, int] = {}  # ended children that may turn out to be what is being launched: exit code by pid
        self.unsaved: dict[str, Record] = {}  # what a full disk did not take
        self.inputs = Inputs(poll)
        self._boot = procfs.boot_id()
        self.stopping = False  # ends from now on are the shim's doing
        os.makedirs(self.folder, mode=0o700, exist_ok=True)
        self._load()

    def _load(self) -> None:
        for name in os.listdir(self.folder):
            path = os.path.join(self.folder, name)
            if not name.endswith(".json"):
                if not os.path.exists(path.removesuffix(".env") + ".json"):
                    os.unlink(path)  # an unfinished write
                continue
            with open(path) as file:
                record = json.load(file)
            self.records[record["id"]] = record
            if record["exit_code"] is None:
                self._adopt(record)

    def _adopt(self, record: Record) -> None:
        """Own a process of the shim before us, if it is still that process."""
        record["pid"] = record["pid"] or _launched(record["spec"])
        record["ticks"] = record["ticks"] or procfs.start_time(record["pid"])
        if record["boot"] == self._boot and record["ticks"] and procfs.start_time(record["pid"]) == record["ticks"]:
            handle = os.pidfd_open(record["pid"])
            self._adopted[handle] = record
            self._watch_log(record)
            self._poll.register(handle, select.POLLIN)
            return
        self._finish(record, LOST, "ContainerStatusUnknown", "it ended while no shim was there to see it")

    def _save(self, record: Record) -> None:
        """Write what has happened. A disk that takes nothing does not keep us from owning processes: it is tried again."""
        try:
            _replace(os.path.join(self.folder, record["id"] + ".json"), record)
        except OSError as error:
            sys.stderr.write(f"{record['id']} is not on disk: {error}\n")
            self.unsaved[record["id"]] = record
        else:
            self.unsaved.pop(record["id"], None)

    def environment(self, name: str) -> dict[str, str]:
        """What the process was started with."""
        with open(os.path.join(self.folder, name + ".env")) as file:
            found: dict[str, str] = json.load(file)
        return found

    def start(self, spec: Record, tell: Callable[[Record], None]) -> None:
        """Start the process with this id, or find it; ``tell`` is called with it. One that cannot be started has ended at once
        (StartError). With a ``pid_file`` the command is a launcher: the process is the one whose pid it leaves there, and is told
        when the launcher has ended."""
        known = self.records.get(spec["id"])
        if known is not None:
            self._when_launched(known, tell)
            return
        if not _ID.fullmatch(spec["id"]):
            raise ValueError(f"{spec['id']!r} is not a process id")
        record: Record = {"id": spec["id"], "pid": 0, "ticks": 0, "boot": self._boot, "started_at": now()}
        record |= {"finished_at": "", "exit_code": None, "reason": "", "message": "", "labels": spec.get("labels") or {}}
        record["spec"] = {k: v for k, v in spec.items() if k != "env"}
        self._remember(record, spec["env"])  # with pid 0 it is known to have been tried, should we die right here
        try:
            log = os.open(spec["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o640)
            try:
                record["pid"] = self._spawn(spec, log)
            finally:
                os.close(log)
        except (SpawnError, OSError) as error:
            self._finish(record, 128, "StartError", str(error))
            tell(record)
            return
        if spec.get("pid_file"):
            launcher, record["pid"] = record["pid"], 0
            self._launching[launcher] = (record, [tell])
            return
        self._started(record)
        tell(record)

    def _remember(self, record: Record, env: Mapping[str, str]) -> None:
        """Put a new record on disk, or raise OSError and leave nothing of it."""
        path = os.path.join(self.folder, record["id"])
        try:
            _write(path + ".env", env)
            _replace(path + ".json", record)
        except OSError as error:
            for left in (".env", ".json.new"):
                with suppress(FileNotFoundError):
                    os.unlink(path + left)
            raise OSError(error.errno, error.strerror, path) from error
        self.records[record["id"]] = record

    def _when_launched(self, record: Record, tell: Callable[[Record], None]) -> None:
        waiting = next((tells for launching, tells in self._launching.values() if launching is record), None)
        if waiting is None:
            tell(record)
        else:
            waiting.append(tell)

    def _started(self, record: Record) -> None:
        record["ticks"] = procfs.start_time(record["pid"])
        self._alive[record["pid"]] = record
        self._save(record)
        self._watch_log(record)

    def _launcher_ended(self, pid: int, code: int) -> bool:
        """Whether ``pid`` was a launcher; its process is ours from now on."""
        launching = self._launching.pop(pid, None)
        if launching is None:
            return False
        record, tells = launching
        record["pid"] = _launched(record["spec"]) if code == 0 else 0
        if record["pid"]:
            self._started(record)
        else:
            self._finish(record, 128, "StartError", _problem(record["spec"], code))
        for tell in tells:
            tell(record)
        return True

    def _spawn(self, spec: Record, log: int) -> int:
        stdio = self.inputs.open(spec["id"], log, stdin=bool(spec.get("stdin")), terminal=bool(spec.get("terminal")))
        try:
            return spawn(spec, stdio)
        finally:
            close_ends(stdio)

    def _watch_log(self, record: Record) -> None:
        try:
            self._growth[record["id"]] = Growth(record["spec"]["log"])
        except OSError:
            return  # somebody removed the log: it has no times then

    def reap(self) -> list[tuple[int, int]]:
        """Collect every ended child: ends of processes are recorded, the others (orphans, execs) are returned (pid, code)."""
        # Launchers first: a process may have ended before its launcher did, and nobody knows its pid until then.
        left = [(pid, code) for pid, code in _ended_children() if not self._launcher_ended(pid, code)]
        left += [(pid, self._early.pop(pid)) for pid in [p for p in self._early if p in self._alive]]
        others: list[tuple[int, int]] = []
        for pid, code in left:
            record = self._alive.pop(pid, None)
            if record is not None:
                self._finish(record, code, self._reason(code), "")
                continue
            others.append((pid, code))
            if self._launching:
                self._early[pid] = code
        if not self._launching:
            self._early.clear()
        return others

    def _reason(self, code: int) -> str:
        if self.stopping:
            return "NodeStopped"
        return "Completed" if code == 0 else "Error"

    def adopted_ended(self, handle: int) -> bool:
        """Whether ``handle`` stood for an adopted process; it is recorded as ended."""
        record = self._adopted.pop(handle, None)
        if record is None:
            return False
        self._poll.unregister(handle)
        os.close(handle)
        self._finish(record, LOST, "ContainerStatusUnknown", "its exit code was lost with the shim that started it")
        return True

    def _finish(self, record: Record, code: int, reason: str, message: str) -> None:
        record.update(exit_code=code, finished_at=now(), reason=reason, message=message)
        if record["pid"]:
            _kill(procfs.strays(record["pid"], record["id"], os.getpid()), signal.SIGKILL)
        self.inputs.close(record["id"])
        growth = self._growth.pop(record["id"], None)
        if growth is not None:
            growth.close()
        self._save(record)
        self._ended(record)

    def signal(self, name: str, number: int, *, everything: bool) -> bool:
        """Signal the process group, or all that came of it; False if it has ended."""
        record = self.records.get(name)
        if record is None or record["exit_code"] is not None or not self._is_ours(record):
            return False
        if everything:
            _kill(procfs.family(record["pid"], record["id"], os.getpid()), number)
        try:
            if record["spec"].get("pid_file"):  # a container: its first process is the one that is told
                os.kill(record["pid"], number)
            else:
                os.killpg(record["pid"], number)
        except ProcessLookupError:
            return False
        return True

    def _is_ours(self, record: Record) -> bool:
        """An unreaped child keeps its pid; an adopted process's may be somebody else's by now."""
        return record["pid"] in self._alive or bool(record["pid"] and procfs.start_time(record["pid"]) == record["ticks"])

    def forget(self, name: str) -> bool:
        """Drop the record of an ended process. ValueError while it lives."""
        record = self.records.get(name)
        if record is None:
            return False
        if record["exit_code"] is None:
            raise ValueError(f"process {name} is alive")
        del self.records[name]
        self.unsaved.pop(name, None)
        os.unlink(os.path.join(self.folder, name + ".json"))
        with suppress(FileNotFoundError):
            os.unlink(os.path.join(self.folder, name + ".env"))
        return True

    def alive(self) -> list[Record]:
        """Every process that has not ended."""
        return [*self._alive.values(), *self._adopted.values(), *(record for record, _ in self._launching.values())]

    def tick(self) -> None:
        """Note how far each log has grown; save what could not be saved."""
        for record in list(self.unsaved.values()):
            self._save(record)
        for growth in self._growth.values():
            growth.note()


def _replace(path: str, value: Any) -> None:
    _write(path + ".new", value)
    os.replace(path + ".new", path)


def _write(path: str, value: Any) -> None:
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with open(handle, "w") as file:
        json.dump(value, file)


def _ended_children() -> list[tuple[int, int]]:
    """Every child that has ended, reaped: (pid, exit code or 128 + signal)."""
    ended: list[tuple[int, int]] = []
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return ended
        if pid == 0:
            return ended
        code = os.waitstatus_to_exitcode(status)
        ended.append((pid, 128 - code if code < 0 else code))


def _launched(spec: Mapping[str, Any]) -> int:
    """The pid that a launcher has left; 0 if there is none."""
    try:
        with open(spec.get("pid_file") or "") as file:
            return int(file.read() or 0)
    except (OSError, ValueError):
        return 0


def _problem(spec: Mapping[str, Any], code: int) -> str:
    """What a launcher said before it failed."""
    try:
        with open(spec.get("problems") or "", errors="replace") as file:
            said = [line.strip() for line in file if line.strip()]
    except OSError:
        said = []
    return said[-1][:1000] if said else f"{spec['argv'][0]} ended with exit code {code}"


def _kill(pids: list[int], number: int) -> None:
    for pid in pids:
        try:
            os.kill(pid, number)
        except (ProcessLookupError, PermissionError):
            continue


def public(record: Mapping[str, Any]) -> dict[str, Any]:
    """What clients see of a record."""
    keys = ("id", "pid", "started_at", "finished_at", "exit_code", "reason", "message", "labels")
    return {k: record[k] for k in keys}
