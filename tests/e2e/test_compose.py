"""A folder with a compose.yaml and nothing else: ``lateen up`` runs it, and it answers."""

from __future__ import annotations

import json
import shutil
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from shop_rig import Lateen

pytestmark = [pytest.mark.unprivileged, pytest.mark.timeout(120)]
SERVER = """
import http.server, json, os, urllib.request

class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        said = {"name": os.environ["NAME"], "file": open(os.environ["CONFIG"]).read()}
        if os.environ.get("BACK"):
            said["back"] = json.load(urllib.request.urlopen(os.environ["BACK"]))
        body = json.dumps(said).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass

http.server.ThreadingHTTPServer((os.environ.get("HOST", "0.0.0.0"), int(os.environ.get("PORT", "8000"))), Handler).serve_forever()
"""
COMPOSE = """
services:
  front:
    build: ./app
    command: python3 server.py
    environment: {NAME: "${WHO:-front}", CONFIG: /etc/said, BACK: "http://back:8000/"}
    ports: ["18080:8000"]
    configs: [{source: said, target: /etc/said}]
    depends_on: {back: {condition: service_healthy}}
    container_name: front
  back:
    build: ./app
    command: ["python3", "server.py"]
    environment: [NAME=back, CONFIG=/etc/said]
    expose: [8000]
    configs: [{source: said, target: /etc/said}]
    healthcheck: {test: curl -f http://localhost:8000/ || exit 1, interval: 5s}
configs:
  said: {content: "from compose"}
"""


@pytest.fixture
def lateen(tmp_path: Path) -> Iterator[Lateen]:
    made = Lateen(tmp_path / "home")
    yield made
    made.run("cluster", "stop")
    shutil.rmtree(made.home, ignore_errors=True)


def test_up_in_a_folder_with_a_compose_file(lateen: Lateen, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "my_project"
    (folder / "app").mkdir(parents=True)
    (folder / "app/server.py").write_text(SERVER)
    (folder / "compose.yaml").write_text(COMPOSE)
    (folder / ".env").write_text("WHO=somebody\n")
    monkeypatch.chdir(folder)
    result = lateen.json("up", "--timeout", "60")
    assert result["app"] == "my-project"
    url = result["public"]["front"][0]
    with urllib.request.urlopen(url, timeout=10) as answer:
        said = json.load(answer)
    assert said == {"name": "somebody", "file": "from compose", "back": {"name": "back", "file": "from compose"}}
    again = lateen.run("up", "--timeout", "60")
    assert "services.front.container_name" in again.stderr
    assert url in again.stdout
    assert lateen.json("status")["ok"]
    adopted = lateen.run("adopt", "--live", "-n", "my-project", "--to", str(tmp_path / "out"))
    assert adopted.stderr == ""
    assert "patches" not in (tmp_path / "out/lateen.yaml").read_text()
    taken = lateen.json("up", "--timeout", "60", "-f", str(tmp_path / "out/lateen.yaml"))
    assert {verb: n for verb, n in taken["changes"].items() if n and verb != "unchanged"} == {}
