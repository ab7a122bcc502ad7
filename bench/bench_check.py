"""Checks: ``lateen check`` on 10,000 plain objects, and its cold start on the shop."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from bench.harness import Figure, folder

LATEEN = str(Path(sys.executable).with_name("lateen"))
SHOP = Path(__file__).parents[1] / "examples" / "shop" / "lateen.yaml"


def run() -> Iterator[Figure]:
    """Checks: 10,000 plain objects; cold start on the shop."""
    with folder() as name:
        place = Path(name)
        count = _write(place / "objects.yaml", 10_000)
        took, found = _check(place / "objects.yaml")
        yield Figure(name=f"{count:,} plain objects, all checks", value=took, unit="s", target=5, at_most=True, note=found)
    took, found = min(_check(SHOP) for _ in range(3))
    yield Figure(name="the shop, cold start", value=took, unit="s", target=0.8, at_most=True, note=found)


def _write(file: Path, least: int) -> int:
    command = [LATEEN, "render", "--no-build", "-f", str(SHOP)]
    one = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    objects = one.count("\n---\n") + 1
    copies = -(-least // objects)
    file.write_text("---\n".join(re.sub(r"(?m)(namespace: |name: )shop$", rf"\g<1>shop{i}", one) for i in range(copies)))
    return objects * copies


def _check(path: Path) -> tuple[float, str]:
    start = time.perf_counter()
    done = subprocess.run([LATEEN, "check", str(path), "--fail-on", "never"], capture_output=True, text=True, check=True)
    return time.perf_counter() - start, next(line for line in done.stdout.splitlines() if " checks on " in line)
