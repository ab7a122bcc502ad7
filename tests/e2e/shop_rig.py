"""The shop on an embedded cluster through the command line, and load on it from outside. Shared by the tests of its runtimes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import urllib.error
import urllib.request
import uuid
from pathlib import Path
from typing import Any

SHOP = Path(__file__).resolve().parents[2] / "examples" / "shop"


class Lateen:
    """The command line with a home of its own."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.env = {**os.environ, "LATEEN_HOME": str(home)}

    def run(self, *argv: str, code: int = 0) -> subprocess.CompletedProcess[str]:
        done = subprocess.run([sys.executable, "-m", "lateen", *argv], env=self.env, capture_output=True, text=True, timeout=120)
        assert done.returncode == code, f"{argv}: {done.returncode}\n{done.stdout}\n{done.stderr}\n{self.log()}"
        return done

    def json(self, *argv: str) -> Any:
        return json.loads(self.run(*argv, "-o", "json").stdout)

    def log(self) -> str:
        file = self.home / "clusters/default/daemon.log"
        return file.read_text()[-4000:] if file.exists() else ""

    def up(self, *overlays: str) -> Any:
        files = [a for f in ("lateen.yaml", *overlays) for a in ("-f", str(SHOP / f))]
        return self.json("up", "--timeout", "30", *files)


def get(url: str) -> tuple[int, Any]:
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:
            body = answer.read()
            return answer.status, json.loads(body) if "json" in answer.headers["content-type"] else body
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read() or b"null") if "json" in (error.headers["content-type"] or "") else None


def order(url: str, order_id: str) -> int:
    data = json.dumps({"order_id": order_id, "items": ["mug", {"sku": "kettle", "quantity": 2}]}).encode()
    request = urllib.request.Request(f"{url}/checkout", data=data, headers={"content-type": "application/json"})
    with urllib.request.urlopen(request, timeout=10) as answer:
        return int(answer.status)


class Load:
    """Reads and orders in threads; every answer but 200 is a loss."""

    def __init__(self, url: str) -> None:
        self.url, self.sent, self.lost, self.orders = url, 0, [], []  # type: ignore[var-annotated]
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._drive, args=(i,)) for i in range(4)]

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _drive(self, number: int) -> None:
        while not self._stop.wait(0.01):
            self.sent += 1
            try:
                if self.sent % 10 == 0:
                    order_id = uuid.uuid4().hex
                    assert order(self.url, order_id) == 200
                    self.orders.append(order_id)
                else:
                    assert get(f"{self.url}/api/home")[0] == 200
            except (AssertionError, OSError, urllib.error.URLError) as error:
                self.lost.append(repr(error))
