"""``lateen init`` on source trees that know nothing of lateen: what it writes comes up unedited and answers."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from shop_rig import Lateen

FLASK = "from flask import Flask\napp = Flask(__name__)\n\n\n@app.get('/')\ndef index():\n    return 'flask is here'\n"
FAST = "from fastapi import FastAPI\n\napp = FastAPI()\n\n\n@app.get('/healthz')\ndef well() -> str:\n    return 'fast is here'\n"


@pytest.fixture
def lateen(tmp_path: Path) -> Iterator[Lateen]:
    made = Lateen(tmp_path / "home")
    yield made
    made.run("cluster", "stop")


@pytest.mark.timeout(120)
def test_a_folder_with_a_flask_and_a_fastapi_project_comes_up(lateen: Lateen, tmp_path: Path) -> None:
    source = tmp_path / "two"
    for name, file, text, needs in (("front", "app.py", FLASK, "flask\n"), ("api", "main.py", FAST, "fastapi\nuvicorn\n")):
        (source / name).mkdir(parents=True)
        (source / name / file).write_text(text)
        (source / name / "requirements.txt").write_text(needs)
    said = json.loads(lateen.run("init", str(source), "-o", "json").stdout)
    assert (said["services"], said["notes"]) == (["api", "front"], [])
    lateen.run("init", str(source), code=2)
    up = lateen.json("up", "--timeout", "60", "-f", str(source / "lateen.yaml"))
    base = "/".join(up["urls"][0].split("/")[:3])
    answers = {urllib.request.urlopen(f"{base}{path}", timeout=10).read().decode() for path in ("/front", "/api/healthz")}
    assert answers == {"flask is here", '"fast is here"'}
