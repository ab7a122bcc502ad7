"""What a user is told when an application or the machine does not play along; through the command line, on a real cluster."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

CRASHES = "import sys\nprint('reading configuration')\nsys.exit('cannot open the database')\n"
EVERYWHERE = "import os, socket\ns = socket.create_server(('0.0.0.0', int(os.environ['PORT'])))\nwhile True: s.accept()\n"


class Lateen:
    """The command line with a home of its own."""

    def __init__(self, home: Path) -> None:
        self.home, self.env = home, {**os.environ, "LATEEN_HOME": str(home / "home")}

    def run(self, *argv: str, code: int) -> str:
        """What it says on standard error; its exit code must be ``code``."""
        done = subprocess.run([sys.executable, "-m", "lateen", *argv], env=self.env, capture_output=True, text=True, timeout=60)
        assert done.returncode == code, f"{argv}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stderr

    def application(self, name: str, source: str, port: int = 8080) -> str:
        folder = self.home / name
        folder.mkdir()
        (folder / "main.py").write_text(source)
        file = folder / "lateen.yaml"
        file.write_text(
            f"apiVersion: lateen.dev/v1\nname: {name}\nservices:\n"
            f"  app:\n    build: .\n    command: [python3, main.py]\n    ports: {{tcp-main: {port}}}\n"
        )
        return str(file)


@pytest.fixture(scope="module")
def lateen(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lateen]:
    made = Lateen(tmp_path_factory.mktemp("failures"))
    made.run("cluster", "start", "--network", "loopback", code=0)  # there applications share the ports
    yield made
    made.run("cluster", "stop", code=0)


@pytest.fixture
def taken() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


def test_a_crash_loop_is_not_up(lateen: Lateen) -> None:
    said = lateen.run("up", "-f", lateen.application("crash", CRASHES), "--timeout", "4", code=1)
    assert "container app exits with code 1" in said
    assert "    reading configuration\n    cannot open the database" in said


def test_an_application_on_all_addresses_learns_who_holds_its_port(lateen: Lateen) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    said = lateen.run("up", "-f", lateen.application("everywhere", EVERYWHERE, port), "--timeout", "4", code=1)
    assert f"port {port} cannot be bound on all addresses" in said
    assert "(envoy) listens on 127." in said
    assert "$HOST" in said


@pytest.mark.parametrize("option", ["--api-port", "--gateway-port"])
def test_a_port_that_is_taken(lateen: Lateen, taken: int, option: str) -> None:
    said = lateen.run("cluster", "start", "--name", "other", option, str(taken), code=2)
    assert f"port {taken} of 127.0.0.1" in said
    assert option in said
    lateen.run("cluster", "status", "--name", "other", code=1)
    assert left_of(lateen.home / "home/clusters/other") == []


def test_a_running_cluster_is_not_changed_by_asking(lateen: Lateen, taken: int) -> None:
    settings = json.loads((lateen.home / "home/clusters/default/cluster.json").read_text())
    said = lateen.run("cluster", "start", "--api-port", str(taken), code=2)
    assert f"with --api-port {settings['api_port']}" in said
    lateen.run("cluster", "start", "--api-port", str(settings["api_port"]), "--nodes", "1", code=0)


def left_of(folder: Path) -> list[str]:
    """Command lines of the processes that have to do with a cluster."""
    lines = []
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            lines.append(file.read_bytes().replace(b"\0", b" ").decode(errors="replace"))
        except OSError:
            continue
    return [line for line in lines if str(folder) in line]
