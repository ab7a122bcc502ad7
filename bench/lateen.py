"""The command line with a home of its own, as the cluster benches drive it: from outside."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

SHOP = Path(__file__).resolve().parents[1] / "examples" / "shop"


class Lateen:
    """Runs commands; every one must succeed."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.env = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"} | {"LATEEN_HOME": str(home)}

    def run(self, *argv: str) -> str:
        command = [sys.executable, "-m", "lateen", *argv]
        done = subprocess.run(command, env=self.env, check=False, capture_output=True, text=True, timeout=200)
        if done.returncode:
            raise RuntimeError(f"lateen {' '.join(argv)} ended with {done.returncode}: {done.stderr}")
        return done.stdout

    def json(self, *argv: str) -> Any:
        return json.loads(self.run(*argv, "-o", "json"))

    def timed(self, *argv: str) -> float:
        """Wall-clock seconds of one command, from exec to its end."""
        start = time.perf_counter()
        self.run(*argv)
        return time.perf_counter() - start

    def up(self, *overlays: Path) -> Any:
        return self.json("up", *[a for f in (SHOP / "lateen.yaml", *overlays) for a in ("-f", str(f))])

    @property
    def daemon(self) -> int:
        return int(self.json("cluster", "status")["pid"])


@contextmanager
def lateen() -> Iterator[Lateen]:
    """A home that is stopped and removed at the end."""
    home = Path(tempfile.mkdtemp(prefix="lateen-bench-"))
    made = Lateen(home)
    try:
        yield made
    finally:
        made.run("cluster", "stop")
        shutil.rmtree(home, ignore_errors=True)
