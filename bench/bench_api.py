"""API server over TLS with wrk, 16 connections: GET, durable create, LIST of 500. The load runs on the other core."""

from __future__ import annotations

import http.client
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

TOKEN = "bench-token"
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
    with folder() as place, server(Path(place)) as (url, pid):
        fill(url, 10)
        yield _figure("GET ConfigMap", wrk(f"{url}{CONFIGMAPS}/item-0003", pid), 12_000)
        yield _figure("create ConfigMap, durable", create(Path(place), url, pid, "made"), 2_500)
    with folder() as place, server(Path(place)) as (url, pid):
        fill(url, 500)
        yield _figure("LIST of 500 ConfigMaps", wrk(f"{url}{CONFIGMAPS}?limit=500", pid), 3_000)


@contextmanager
def server(place: Path, *, profile: str = "") -> Iterator[tuple[str, int]]:
    """The API server in a process of its own: (URL, process id). ``profile`` names a file for cProfile's statistics."""
    argv = [sys.executable, "-m", "bench.apiserver", str(place), TOKEN, *([profile] if profile else [])]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            port = process.stdout.readline().strip()
            if not port:
                raise RuntimeError("the API server did not start")
            yield f"https://127.0.0.1:{port}", process.pid
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


def wrk(url: str, pid: int, *, seconds: float = SECONDS, script: Path | None = None) -> Load:
    """Load ``url``. RuntimeError when any answer was not a success."""
    argv = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds:g}s", "--latency", "-H", f"Authorization: Bearer {TOKEN}"]
    before = _cpu(pid)
    text = subprocess.run([*argv, *(["-s", str(script)] if script else []), url], check=True, capture_output=True, text=True).stdout
    used = _cpu(pid) - before
    if problem := re.search(r"Non-2xx.*|Socket errors: (?!connect 0, read 0, write 0, timeout 0).*", text):
        raise RuntimeError(f"{url}: {problem[0]}")
    rate = float(re.search(r"Requests/sec:\s+([\d.]+)", text)[1])  # type: ignore[index]
    total = int(re.search(r"(\d+) requests in", text)[1])  # type: ignore[index]
    return Load(rate, _latency(text, "50"), _latency(text, "99"), used / total * 1e6, used * rate / total)


def _latency(text: str, part: str) -> float:
    value, unit = re.search(rf"{part}%\s+([\d.]+)(us|ms|s)", text).groups()  # type: ignore[union-attr]
    return float(value) * {"us": 1e-3, "ms": 1.0, "s": 1e3}[unit]


def _cpu(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def create(place: Path, url: str, pid: int, prefix: str, *, seconds: float = SECONDS) -> Load:
    """Create ConfigMaps with names of their own, as fast as they go."""
    script = place / "create.lua"
    headers = '{["Content-Type"] = "application/json", ["Authorization"] = "Bearer ' + TOKEN + '"}'
    values = {"PREFIX": f'"{prefix}"', "PATH": f'"{CONFIGMAPS}"', "HEADERS": headers, "BODY": f"[[{BODY}]]"}
    script.write_text("".join(f"{k} = {v}\n" for k, v in values.items()) + CREATE)
    return wrk(url, pid, seconds=seconds, script=script)


def fill(url: str, count: int) -> None:
    """``count`` ConfigMaps."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    connection = http.client.HTTPSConnection(url.removeprefix("https://"), context=context)
    for i in range(count):
        headers = {"Content-Type": "application/json", "Authorization": f"Bearer {TOKEN}"}
        connection.request("POST", CONFIGMAPS, body=BODY % f"item-{i:04}", headers=headers)
        answer = connection.getresponse()
        if answer.status != 201:
            raise RuntimeError(f"create answered {answer.status}: {answer.read()[:200]!r}")
        answer.read()
    connection.close()


def _figure(name: str, load: Load, target: float) -> Figure:
    note = f"p50 {load.p50_ms:.2f} ms, p99 {load.p99_ms:.2f} ms, server CPU {load.cpu_us:.0f} us each, {load.cores:.2f} cores"
    return Figure(name=name, value=load.per_second, unit="/s", target=target, note=note, detail=asdict(load))
