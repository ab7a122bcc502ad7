"""Container logs of one node: tail, since, follow across restarts, previous, timestamps. Implements ``seam.NodeLogs``.

Logs are raw files (see lateen.shim): the time of a line is when the shim saw the file grow past it, right to half a second.
Handed by boot to the API server, whose ``pods/log`` subresource is the only caller. Files are read in a thread.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

from lateen.aio.clock import Clock
from lateen.cluster.node.decide import restarts
from lateen.cluster.node.seam import LogOptions
from lateen.cluster.node.watch import FileWatch
from lateen.errors import BadRequestError
from lateen.kube.meta import Object, meta, uid_of
from lateen.shim import logtimes

_CHUNK = 1 << 16
_LOOK = 0.25  # seconds between looks at whether the container of a silent log still runs


class Logs:
    """Logs below ``folder``, the node's own. ``current`` finds the newest state of a pod (None when it is gone), for following."""

    def __init__(self, folder: Path, clock: Clock, current: Callable[[Object], Object | None]) -> None:
        self._folder, self._clock, self._current = folder, clock, current

    async def read(self, pod: Object, options: LogOptions) -> AsyncIterator[bytes]:
        """See ``seam.NodeLogs``."""
        name = container_name(pod, options.container)
        folder = self._folder / "pods" / uid_of(pod) / "logs" / name
        attempts = await asyncio.to_thread(_attempts, folder)
        if options.previous:
            attempts = attempts[:-1]
            if not attempts or _restarts(pod, name) == 0:
                raise BadRequestError(f'previous terminated container "{name}" in pod "{meta(pod)["name"]}" not found')
        if not attempts:
            raise BadRequestError(_not_started(pod, name))
        left = options.limit_bytes
        async with aclosing(self._chunks(pod, folder, attempts[-1], name, options)) as chunks:
            async for chunk in chunks:
                yield chunk if left is None else chunk[:left]
                if left is not None and (left := left - len(chunk)) <= 0:
                    return

    async def _chunks(self, pod: Object, folder: Path, attempt: int, name: str, options: LogOptions) -> AsyncGenerator[bytes, None]:
        path = folder / f"{attempt}.log"
        watch = FileWatch(path, self._clock) if options.follow else None
        reader = await asyncio.to_thread(_Reader, path, options)
        try:
            while True:
                while chunk := await asyncio.to_thread(reader.next):
                    yield chunk
                if watch is None or options.previous:
                    break
                ended, over = self._end(pod, name, attempt)
                if ended and (chunk := await asyncio.to_thread(reader.next)):
                    yield chunk  # written between the last look and the end
                    continue
                later = [n for n in await asyncio.to_thread(_attempts, folder) if n > attempt] if ended else []
                if later:
                    attempt, path = later[0], folder / f"{later[0]}.log"
                    reader.close()
                    watch.close()
                    watch = FileWatch(path, self._clock)
                    reader = await asyncio.to_thread(_Reader, path, LogOptions(timestamps=options.timestamps))
                elif over:
                    break
                else:
                    await watch.wait(_LOOK)
            if last := reader.rest():
                yield last
        finally:
            reader.close()
            if watch is not None:
                watch.close()

    def _end(self, pod: Object, name: str, attempt: int) -> tuple[bool, bool]:
        """(whether this attempt has ended, whether nothing will come any more)."""
        now = self._current(pod)
        if now is None or uid_of(now) != uid_of(pod):
            return True, True
        status = _status_of(now, name)
        over = (now.get("status") or {}).get("phase") in ("Succeeded", "Failed") or _ended_for_good(now, name)
        identity = str(status.get("containerID") or "")
        ended = "running" not in (status.get("state") or {}) or not identity.endswith(f"_{attempt}")
        return ended or over, over


class _Reader:
    """Whole lines of one file from where the options say. Blocking."""

    def __init__(self, path: Path, options: LogOptions) -> None:
        self._options = options
        self._file, self._times = path.open("rb"), logtimes.Times(str(path))
        self._rest, self._offset = b"", 0
        self._seek()

    def _seek(self) -> None:
        """Go to the first line that is wanted."""
        offset = self._times.start
        if offset:
            self._file.seek(offset)
            offset += len(self._file.readline())  # the rest of a line whose beginning was dropped
        if self._options.since is not None:
            offset = max(offset, self._since(self._times.times, self._times.sizes))
        if self._options.tail is not None:
            offset = max(offset, _tail_offset(self._file, self._options.tail))
        self._offset = offset
        self._file.seek(offset)

    def _since(self, times: list[int], sizes: list[int]) -> int:
        """Where the first growth noted at or after ``since`` began."""
        wanted = int((self._options.since or 0) * 1e9)
        before = [s for t, s in zip(times, sizes, strict=True) if t < wanted]
        return before[-1] if before else 0

    def next(self) -> bytes:
        """The next whole lines, b'' when there are none yet."""
        parts = [self._rest]
        while data := self._file.read(_CHUNK):
            head, newline, rest = data.rpartition(b"\n")
            if newline:
                self._rest = rest
                return self._stamped(b"".join((*parts, head, newline)))
            parts.append(data)
        self._rest = b"".join(parts)
        return b""

    def rest(self) -> bytes:
        """A last line that never got its newline."""
        last, self._rest = self._rest, b""
        return self._stamped(last) if last else b""

    def _stamped(self, text: bytes) -> bytes:
        if not self._options.timestamps:
            return text
        self._times.refresh()
        now = int(datetime.now(UTC).timestamp() * 1e9)
        lines = []
        for line in text.splitlines(keepends=True):
            moment = self._times.at(self._offset, otherwise=now)
            lines.append(_stamp(moment).encode() + b" " + line)
            self._offset += len(line)
        return b"".join(lines)

    def close(self) -> None:
        self._file.close()


def _stamp(moment: int) -> str:
    """RFC 3339 with nanoseconds, as the kubelet writes."""
    seconds, nanos = divmod(moment, 1_000_000_000)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{nanos:09d}Z"


def _tail_offset(file: BinaryIO, lines: int) -> int:
    """Where the last ``lines`` lines begin."""
    end = file.seek(0, os.SEEK_END)
    if lines <= 0:
        return end
    position, wanted = end, lines + (1 if _ends_with_newline(file, end) else 0)
    while position > 0:
        start = max(0, position - _CHUNK)
        file.seek(start)
        block = file.read(position - start)
        newlines = [at for at, byte in enumerate(block) if byte == 10]
        if len(newlines) >= wanted:
            return start + newlines[-wanted] + 1
        wanted -= len(newlines)
        position = start
    return 0


def _ends_with_newline(file: BinaryIO, end: int) -> bool:
    if end == 0:
        return False
    file.seek(end - 1)
    return file.read(1) == b"\n"


def _attempts(folder: Path) -> list[int]:
    try:
        return sorted(int(p.stem) for p in folder.iterdir() if p.suffix == ".log")
    except FileNotFoundError:
        return []


def container_name(pod: Object, asked: str) -> str:
    """The container that is meant. BadRequestError for an unknown or a missing name."""
    spec = pod.get("spec") or {}
    mains = [c["name"] for c in spec.get("containers") or ()]
    inits = [c["name"] for c in spec.get("initContainers") or ()]
    pod_name = meta(pod).get("name")
    if asked:
        ephemeral = [c["name"] for c in spec.get("ephemeralContainers") or ()]
        if asked not in mains + inits + ephemeral:
            raise BadRequestError(f"container {asked} is not valid for pod {pod_name}")
        return asked
    if len(mains) == 1 and not inits:
        return str(mains[0])
    default = (meta(pod).get("annotations") or {}).get("kubectl.kubernetes.io/default-container")
    if default in mains:
        return str(default)
    if len(mains) == 1:
        return str(mains[0])
    choice = f"choose one of: [{' '.join(mains)}]"
    if inits:
        choice += f" or one of the init containers: [{' '.join(inits)}]"
    raise BadRequestError(f"a container name must be specified for pod {pod_name}, {choice}")


def _status_of(pod: Object, name: str) -> Object:
    status = pod.get("status") or {}
    kinds = ("containerStatuses", "initContainerStatuses", "ephemeralContainerStatuses")
    every = [s for kind in kinds for s in status.get(kind) or ()]
    return next((s for s in every if s["name"] == name), {})


def _ended_for_good(pod: Object, name: str) -> bool:
    """Whether the container has ended and will not be started again, whatever becomes of its pod."""
    terminated = (_status_of(pod, name).get("state") or {}).get("terminated")
    if terminated is None:
        return False
    spec = pod.get("spec") or {}
    policy, code = spec.get("restartPolicy") or "Always", int(terminated.get("exitCode") or 0)
    if any(c["name"] == name for c in spec.get("ephemeralContainers") or ()):
        return True
    init = next((c for c in spec.get("initContainers") or () if c["name"] == name), None)
    if init is not None and init.get("restartPolicy") != "Always":
        return not code or not _restarts_after(init, policy, code)
    main = next((c for c in spec.get("containers") or () if c["name"] == name), None)
    return main is not None and not _restarts_after(main, policy, code)


def _restarts_after(container: Object, policy: str, code: int) -> bool:
    return restarts(policy, container.get("restartPolicy") or "", container.get("restartPolicyRules") or (), code)


def _restarts(pod: Object, name: str) -> int:
    return int(_status_of(pod, name).get("restartCount") or 0)


def _not_started(pod: Object, name: str) -> str:
    waiting = (_status_of(pod, name).get("state") or {}).get("waiting") or {}
    reason = waiting.get("reason") or "ContainerCreating"
    pod_name = meta(pod).get("name")
    if reason in ("ErrImagePull", "ImagePullBackOff"):
        return f'container "{name}" in pod "{pod_name}" is waiting to start: trying and failing to pull image'
    return f'container "{name}" in pod "{pod_name}" is waiting to start: {reason}'
