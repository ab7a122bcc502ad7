"""API server over TLS with wrk, 16 connections: GET, durable create, LIST of 500. The load runs on the other core."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from bench.harness import Figure, folder
from bench.served import Target, connect, cpu_seconds, server

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
    before = cpu_seconds(target.pid)
    text = subprocess.run(
        [*argv, *(["-s", str(script)] if script else []), target.server + path], check=True, capture_output=True, text=True
    ).stdout
    used = cpu_seconds(target.pid) - before
    if problem := re.search(r"Non-2xx.*|Socket errors: (?!connect 0, read 0, write 0, timeout 0).*", text):
        raise RuntimeError(f"{path}: {problem[0]}")
    rate = float(re.search(r"Requests/sec:\s+([\d.]+)", text)[1])  # type: ignore[index]
    total = int(re.search(r"(\d+) requests in", text)[1])  # type: ignore[index]
    return Load(rate, _latency(text, "50"), _latency(text, "99"), used / total * 1e6, used * rate / total)


def _latency(text: str, part: str) -> float:
    value, unit = re.search(rf"{part}%\s+([\d.]+)(us|ms|s)", text).groups()  # type: ignore[union-attr]
    return float(value) * {"us": 1e-3, "ms": 1.0, "s": 1e3}[unit]


def create(target: Target, place: Path, prefix: str, *, seconds: float = SECONDS) -> Load:
    """Create ConfigMaps with names of their own, as fast as they go."""
    script = place / "create.lua"
    headers = '{["Content-Type"] = "application/json", ["Authorization"] = "Bearer ' + target.token + '"}'
    values = {"PREFIX": f'"{prefix}"', "PATH": f'"{CONFIGMAPS}"', "HEADERS": headers, "BODY": f"[[{BODY}]]"}
    script.write_text("".join(f"{k} = {v}\n" for k, v in values.items()) + CREATE)
    return wrk(target, CONFIGMAPS, seconds=seconds, script=script)


def fill(target: Target, count: int) -> None:
    """``count`` ConfigMaps."""
    with connect(target) as ask:
        for i in range(count):
            ask("POST", CONFIGMAPS, BODY % f"item-{i:04}")


def _figure(name: str, load: Load, target: float) -> Figure:
    note = f"p50 {load.p50_ms:.2f} ms, p99 {load.p99_ms:.2f} ms, server CPU {load.cpu_us:.0f} us each, {load.cores:.2f} cores"
    return Figure(name=name, value=load.per_second, unit="/s", target=target, note=note, detail=asdict(load))
