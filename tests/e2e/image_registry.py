"""Debian's docker-registry on a free port, with one user, for tests of pulling and pushing."""

from __future__ import annotations

import base64
import json
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from oci_images import need

USER, PASSWORD = "ann", "s3cret"
_CONFIG = """
version: 0.1
log: {{level: warn, accesslog: {{disabled: true}}}}
storage: {{filesystem: {{rootdirectory: {folder}/data}}, delete: {{enabled: true}}}}
http: {{addr: "{host}"}}
auth: {{htpasswd: {{realm: test, path: {folder}/htpasswd}}}}
"""


@contextmanager
def registry(folder: Path) -> Iterator[str]:
    """Run one; its host and port."""
    need("docker-registry", "apache2-utils")
    folder.mkdir(parents=True, exist_ok=True)
    subprocess.run(["htpasswd", "-Bbc", "-C", "4", str(folder / "htpasswd"), USER, PASSWORD], check=True, capture_output=True)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        host = f"127.0.0.1:{probe.getsockname()[1]}"
    config = folder / "config.yml"
    config.write_text(_CONFIG.format(folder=folder, host=host))
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(["docker-registry", "serve", str(config)], stdout=log, stderr=log)
    try:
        _wait(host)
        yield host
    finally:
        process.kill()
        process.wait()


def _wait(host: str) -> None:
    deadline = time.monotonic() + 10
    while True:
        try:
            socket.create_connection((host.partition(":")[0], int(host.partition(":")[2])), 1).close()
        except OSError:
            assert time.monotonic() < deadline, "the registry does not start"
            time.sleep(0.05)
        else:
            return


def login(host: str, password: str = PASSWORD) -> dict[str, Any]:
    """A docker config for the user."""
    return {"auths": {host: {"auth": base64.b64encode(f"{USER}:{password}".encode()).decode()}}}


def write_login(home: Path, host: str) -> None:
    """Log a home in."""
    (home / ".docker").mkdir(parents=True, exist_ok=True)
    (home / ".docker" / "config.json").write_text(json.dumps(login(host)))
