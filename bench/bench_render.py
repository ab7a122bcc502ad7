"""Rendering: 1,000 services, 10,000 objects, from file to YAML; beside it the real Helm, on the chart of the same objects."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from bench.harness import Figure, folder

LATEEN = str(Path(sys.executable).with_name("lateen"))
SERVICES = 1000
_HELM = """
import sys, time, helm_python
start = time.perf_counter()
with helm_python.Chart.load(sys.argv[1]) as chart:
    texts = chart.render({"namespace": {"create": True}}, name="many", namespace="many")
print(time.perf_counter() - start, sum(t.count("\\nkind: ") + t.startswith("kind: ") for t in texts.values()))
"""


def run() -> Iterator[Figure]:
    """Rendering 10,000 objects, and Helm's time for them."""
    with folder() as name:
        file, chart = Path(name) / "many.json", Path(name) / "chart"
        file.write_text(json.dumps(_application()))
        took, text = min(_timed([LATEEN, "render", "--no-build", "-f", str(file)]) for _ in range(3))
        objects = text.count("\nkind: ")
        title = f"{SERVICES:,} services, {objects:,} objects, file to YAML"
        yield Figure(name=title, value=took, unit="s", target=2, at_most=True, note="the whole command")
        wrote, _ = _timed([LATEEN, "render", "--no-build", "-f", str(file), "--target", "helm", "-o", str(chart)])
        yield Figure(name="... as a Helm chart", value=wrote, unit="s", at_most=True)
        helm, count = min(_timed([sys.executable, "-c", _HELM, str(chart)])[1].split() for _ in range(2))
        note = f"Helm: {float(helm):.2f} s for {int(count):,} objects"
        yield Figure(name="... beside Helm's own time", value=took / float(helm), unit="times", target=2, at_most=True, note=note)


def _application() -> dict[str, Any]:
    services: dict[str, Any] = {}
    for n in range(SERVICES):  # a tree: each calls two others
        services[f"s{n:04}"] = {
            "image": f"registry.example.com/many/s{n:04}:1",
            "ports": {"http": 8080},
            "health": {"ready": "GET /healthz"},
            "resources": {"cpu": "50m..1", "memory": "64Mi..128Mi"},
            "scale": {"min": 2, "max": 10, "cpu": "70%"},
            "env": {"MODE": "fast", "NUMBER": str(n)},
            "config": {"/etc/app.conf": {"content": f"number = {n}"}, "/etc/live.conf": {"content": "a = 1", "onChange": "none"}},
            "routes": [{"path": f"/s{n}"}],
            "identity": {"rbac": [{"resources": ["configmaps"], "verbs": ["get"]}]},
            "needs": {f"s{m:04}": None for m in (2 * n + 1, 2 * n + 2) if m < SERVICES},
        }
    return {"apiVersion": "lateen.dev/v1", "name": "many", "services": services}


def _timed(command: Sequence[str]) -> tuple[float, str]:
    start = time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return time.perf_counter() - start, done.stdout
