"""API server over TLS with wrk, 16 connections: GET, durable create, LIST of 500. The load runs on the other core."""

from __future__ import annotations

import http.client
import json
import os
import re
import shutil
import ssl
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from bench.harness import Figure, folder

CONNECTIONS, SECONDS = 16, 4
CONFIGMAPS = "/api/v1/namespaces/default/configmaps"

# One wrk thread, so a counter makes the names.
CREATE = """
local n = 0
function request()
  n = n + 1
  local name = string.format("%s-%d", PREFIX, n)
  return wrk.format("POST", PATH, HEADERS, string.format(BODY, name))
end
"""
BODY = '{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"%s","namespace":"default"},"data":{"key":"' + "v" * 100 + '"}}'


def run() -> Iterator[Figure]:
    """API over TLS (wrk, 16 connections): GET, durable create, LIST of 500."""
    if shutil.which("wrk") is None:
        print("  skipped: wrk is not installed (apt-get install wrk)")
        return
    with folder() as place, server(Path(place)) as target:
        fill(target, 10)
        yield _figure("GET ConfigMap", wrk(target, f"{CONFIGMAPS}/item-0003"), 12_000)
        yield _figure("create ConfigMap, durable", create(target, Path(place), "made"), 2_500)
    with folder() as place, server(Path(place)) as target:
        fill(target, 500)
        yield _figure("LIST of 500 ConfigMaps", wrk(target, f"{CONFIGMAPS}?limit=500"), 3_000)


@dataclass(frozen=True)
class Target:
    """The server under load: its URL, an administrator's token, its process."""

    server: str
    token: str
    pid: int


@contextmanager
def server(place: Path, *, profile: str = "") -> Iterator[Target]:
    """The API server in a process of its own. ``profile`` names a file for cProfile's statistics."""
    argv = [sys.executable, "-m", "bench.apiserver", str(place), *([profile] if profile else [])]
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


@dataclass(frozen=True)
class Load:
    """What wrk saw. ``cpu_us`` is the server's CPU per request; ``cores`` how much of the machine it had."""

    per_second: float
    p50_ms: float
    p99_ms: float
    cpu_us: float
    cores: float


def wrk(target: Target, path: str, *, seconds: float = SECONDS, script: Path | None = None) -> Load:
    """Load ``path``. RuntimeError when any answer was not a success."""
    argv = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds:g}s", "--latency", "-H", f"Authorization: Bearer {target.token}"]
    before = _cpu(target.pid)
    text = subprocess.run(
        [*argv, *(["-s", str(script)] if script else []), target.server + path], check=True, capture_output=True, text=True
    ).stdout
    used = _cpu(target.pid) - before
    if problem := re.search(r"Non-2xx.*|Socket errors: (?!connect 0, read 0, write 0, timeout 0).*", text):
        raise RuntimeError(f"{path}: {problem[0]}")
    rate = float(re.search(r"Requests/sec:\s+([\d.]+)", text)[1])  # type: ignore[index]
    total = int(re.search(r"(\d+) requests in", text)[1])  # type: ignore[index]
    return Load(rate, _latency(text, "50"), _latency(text, "99"), used / total * 1e6, used * rate / total)


def _latency(text: str, part: str) -> float:
    value, unit = re.search(rf"{part}%\s+([\d.]+)(us|ms|s)", text).groups()  # type: ignore[union-attr]
    return float(value) * {"us": 1e-3, "ms": 1.0, "s": 1e3}[unit]


def _cpu(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def create(target: Target, place: Path, prefix: str, *, seconds: float = SECONDS) -> Load:
    """Create ConfigMaps with names of their own, as fast as they go."""
    script = place / "create.lua"
    headers = '{["Content-Type"] = "application/json", ["Authorization"] = "Bearer ' + target.token + '"}'
    values = {"PREFIX": f'"{prefix}"', "PATH": f'"{CONFIGMAPS}"', "HEADERS": headers, "BODY": f"[[{BODY}]]"}
    script.write_text("".join(f"{k} = {v}\n" for k, v in values.items()) + CREATE)
    return wrk(target, CONFIGMAPS, seconds=seconds, script=script)


def fill(target: Target, count: int) -> None:
    """``count`` ConfigMaps."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    connection = http.client.HTTPSConnection(target.server.removeprefix("https://"), context=context)
    for i in range(count):
        headers = {"Content-Type": "application/json", "Authorization": f"Bearer {target.token}"}
        connection.request("POST", CONFIGMAPS, body=BODY % f"item-{i:04}", headers=headers)
        answer = connection.getresponse()
        if answer.status != 201:
            raise RuntimeError(f"create answered {answer.status}: {answer.read()[:200]!r}")
        answer.read()
    connection.close()


def _figure(name: str, load: Load, target: float) -> Figure:
    note = f"p50 {load.p50_ms:.2f} ms, p99 {load.p99_ms:.2f} ms, server CPU {load.cpu_us:.0f} us each, {load.cores:.2f} cores"
    return Figure(name=name, value=load.per_second, unit="/s", target=target, note=note, detail=asdict(load))
