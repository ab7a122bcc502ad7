"""A served cluster to measure from outside, and ways to ask it."""

from __future__ import annotations

import http.client
import json
import os
import ssl
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Ask = Callable[[str, str, str | None], Any]


@dataclass(frozen=True)
class Target:
    """The server under load: its URL, an administrator's token, its process."""

    server: str
    token: str
    pid: int


@contextmanager
def server(place: Path, *, hollow: int = 0, profile: str = "") -> Iterator[Target]:
    """The API server in a process of its own. ``profile`` names a file for cProfile's statistics."""
    argv = [sys.executable, "-m", "bench.apiserver", str(place), str(hollow), *([profile] if profile else [])]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            ready = process.stdout.readline()
            if not ready:
                raise RuntimeError("the API server did not start")
            yield Target(pid=process.pid, **json.loads(ready))
            process.stdin.close()
            process.wait(20)
        finally:
            process.kill()


@contextmanager
def connect(target: Target) -> Iterator[Ask]:
    """One kept connection: ``ask(method, path, body)`` answers the decoded JSON. RuntimeError when it is not a success."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    connection = http.client.HTTPSConnection(target.server.removeprefix("https://"), context=context, timeout=30)
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {target.token}"}

    def ask(method: str, path: str, body: str | None = None) -> Any:
        connection.request(method, path, body=body, headers=headers)
        answer = connection.getresponse()
        text = answer.read()
        if answer.status >= 300:
            raise RuntimeError(f"{method} {path} answered {answer.status}: {text[:300]!r}")
        return json.loads(text)

    try:
        yield ask
    finally:
        connection.close()


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def resident_mb(pid: int) -> float:
    """Resident memory of a process."""
    fields = Path(f"/proc/{pid}/status").read_text().partition("VmRSS:")[2].split()
    return int(fields[0]) / 1024
