"""``lateen config``, ``why`` and ``diff`` as commands: what they print, and how they end."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from lateen.cli.root import run

FILE = """\
name: shop
services:
  web: {image: "registry.example.com/shop/web:1", ports: {http: 8080}, replicas: 2, health: {ready: GET /ready}}
environments:
  test: {}
  prod: {services: {web: {replicas: 4}}}
"""


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "lateen.yaml").write_text(FILE)
    return tmp_path


def test_config(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["config", "--env", "prod"]) == 0
    assert "replicas: 4  # lateen.yaml:6" in capsys.readouterr().out
    assert run(["config", "-o", "json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["application"]["services"]["web"]["replicas"] == 2
    assert found["origins"]["services.web.replicas"] == "lateen.yaml:3"


def test_why(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["why", "web", "spec.replicas", "--env", "prod"]) == 0
    assert "lateen.yaml:6  services.web.replicas: 4" in capsys.readouterr().out
    assert run(["why", "deployment/web", "spec.replicas", "-o", "json"]) == 0
    (found,) = json.loads(capsys.readouterr().out)
    assert (found["object"], found["value"]) == ("Deployment/web", 2)
    assert run(["why", "nobody", "spec.replicas"]) == 2
    assert "nothing that is rendered is called 'nobody'" in capsys.readouterr().err
    assert run(["why", "web", "spec.replicaz"]) == 2


def test_diff(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["diff", "--env", "test", "--env", "prod", "-o", "json"]) == 1
    found = json.loads(capsys.readouterr().out)
    change = {"path": "services.web.replicas", "before": 2, "after": 4, "where": "lateen.yaml:6"}
    assert found["model"] == [change]
    (deployment,) = (o for o in found["objects"] if o["object"] == "Deployment/web")
    assert deployment["changes"] == [{"path": "spec.replicas", "before": 2, "after": 4}]
    assert run(["diff", "--env", "test", "--env", "test"]) == 0
    assert "nothing differs between test and test" in capsys.readouterr().out
    assert run(["diff"]) == 2
    assert run(["diff", "--live", "--env", "a", "--env", "b"]) == 2
