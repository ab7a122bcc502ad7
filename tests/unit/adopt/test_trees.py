"""What ``lateen init`` makes of source trees. Every file it writes is an application."""

from __future__ import annotations

from typing import Any

import pytest

from lateen.adopt.trees import application
from lateen.adopt.world import Memory
from lateen.kube.yamltext import dump
from lateen.model import Source, load
from lateen.render import render

FAST = b"""from fastapi import FastAPI
app = FastAPI()
@app.get('/items/{n}')
def item(n): ...
@app.get('/healthz')
def well(): ...
"""
FLASK = b"from flask import Flask\nserver = Flask(__name__)\n@server.route('/')\ndef index(): return 'hi'\n"
NODE = b"require('http').createServer((q, s) => s.end('hi')).listen(process.env.PORT || 4000)\n"
GO = b'package main\nfunc main() { http.ListenAndServe(":9090", nil) }\n'


def made(files: dict[str, bytes]) -> tuple[Any, list[str]]:
    found = application(Memory(files), "shop")
    assert found is not None
    app = load([Source("lateen.yaml", dump([found[0]]))])
    assert render(app, files={}), "what is written is an application"
    return found


def service(found: Any, name: str = "shop") -> Any:
    return found[0]["services"][name]


def test_fastapi() -> None:
    found = made({"main.py": FAST, "requirements.txt": b"fastapi\nuvicorn\n"})
    assert service(found)["command"] == ["python", "-m", "uvicorn", "main:app", "--host", "0.0.0.0", "--port", "8000"]
    assert service(found)["health"] == {"ready": "GET /healthz"}
    assert service(found)["routes"] == [{"path": "/"}]
    assert found[1] == []


def test_fastapi_in_a_package_without_its_server() -> None:
    found = made({"api/main.py": FAST, "requirements.txt": b"fastapi\n"})
    assert "api.main:app" in service(found)["command"]
    assert found[1] == ["shop: requirements.txt does not name uvicorn, which starts it: add it"]


def test_flask_alone_and_with_gunicorn() -> None:
    found = made({"app.py": FLASK, "requirements.txt": b"Flask==3\n"})
    assert service(found)["command"][:5] == ["python", "-m", "flask", "--app", "app:server"]
    assert service(found)["health"] == {"ready": "GET /"}
    found = made({"app.py": FLASK, "requirements.txt": b"flask\ngunicorn\n"})
    assert service(found)["command"] == ["python", "-m", "gunicorn", "--bind", "0.0.0.0:5000", "app:server"]


def test_node() -> None:
    found = made({"package.json": b'{"scripts": {"start": "node web.js"}}', "web.js": NODE})
    assert service(found)["command"] == ["node", "web.js"]
    assert (service(found)["ports"], service(found)["env"]) == ({"http": 4000}, {"PORT": "4000"})
    found = made({"package.json": b'{"dependencies": {"express": "5"}}', "index.js": NODE})
    assert "are not installed by lateen" in found[1][0]


def test_a_static_binary() -> None:
    found = made({"go.mod": b"module x\n", "main.go": GO, "x": b"\x7fELF..."})
    assert (service(found)["command"], service(found)["ports"]) == (["./x"], {"http": 9090})
    assert any("go build" in note for note in found[1])


def test_a_folder_of_several() -> None:
    files = {"web/app.py": FLASK, "web/requirements.txt": b"flask\ngunicorn\n", "api/main.py": FAST, "docs/main.py": FAST}
    found = made({**files, "api/requirements.txt": b"fastapi\nuvicorn"})
    assert list(found[0]["services"]) == ["api", "web"]
    assert service(found, "web")["build"] == "web"
    assert service(found, "web")["routes"] == [{"path": "/web", "rewrite": "/"}]


@pytest.mark.parametrize("files", [{}, {"README.md": b"x"}, {"package.json": b"no json"}, {"a.py": b"syntax error ("}])
def test_nothing_is_recognised(files: dict[str, bytes]) -> None:
    assert application(Memory(files), "x") is None
