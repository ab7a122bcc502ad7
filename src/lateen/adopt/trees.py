"""A first application file for a source tree: what kind of program lies in a folder, how it starts, on which port it answers.

One project in the folder itself, or one in each folder below it. Detection reads files only; what it had to guess is said. Called
by ``lateen init``.
"""

from __future__ import annotations

import ast
import json
import re
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any

from lateen.adopt.world import World
from lateen.model.types import slug

_ELF = b"\x7fELF"
_SKIPPED = ("tests", "test", "docs", "node_modules", "venv", "dist", "build", "vendor", "static", "templates")
_SERVERS = {"fastapi": 8000, "starlette": 8000, "flask": 5000}
_ALL = "0.0.0.0"  # noqa: S104 - the address that a program in a pod listens on
_MARKS = ("requirements.txt", "pyproject.toml", "package.json", "go.mod", "Dockerfile")
_PORT = {
    "py": re.compile(r"\bport\s*=\s*(\d{2,5})|,\s*(\d{4,5})\s*\)"),
    "js": re.compile(r"\.listen\(\s*(?:process\.env\.PORT\s*(?:\|\||\?\?)\s*)?(\d{2,5})|PORT\s*(?:\|\||\?\?)\s*(\d{2,5})"),
    "go": re.compile(r"""["'][\d.]*:(\d{2,5})["']"""),
}


@dataclass(slots=True)
class Found:
    """A program: its service in the application file, and what a person should know of it."""

    name: str
    service: dict[str, Any]
    notes: list[str] = field(default_factory=list)


def application(world: World, name: str) -> tuple[dict[str, Any], list[str]] | None:
    """The application file's content and remarks; None if nothing is recognised."""
    alone = _program(world, "", slug(name))
    programs = [alone] if alone is not None else list(_below(world))
    if not programs:
        return None
    services = {p.name: p.service for p in programs}
    if len(programs) == 1 or not any("routes" in s for s in services.values()):
        path = "/"
        for program in programs:
            if "ports" in program.service:
                program.service["routes"] = [{"path": path if len(programs) == 1 else f"/{program.name}", **_rewrite(programs)}]
    notes = [f"{p.name}: {note}" for p in programs for note in p.notes]
    return {"apiVersion": "lateen.dev/v1", "name": slug(name), "services": services}, notes


def _rewrite(programs: list[Found]) -> dict[str, str]:
    """Several programs share one address by their names, which they do not know of."""
    return {"rewrite": "/"} if len(programs) > 1 else {}


def _below(world: World) -> Iterator[Found]:
    folders = {path.split("/")[0] for path in world.files("") or () if "/" in path}
    for folder in sorted(folders):
        if not folder.startswith(".") and folder not in _SKIPPED and (found := _program(world, folder, slug(folder))) is not None:
            yield found


def _program(world: World, folder: str, name: str) -> Found | None:
    kinds: tuple[Callable[[World, str, str], Found | None], ...] = (_python, _node, _binary, _docker)
    for kind in kinds:
        if (found := kind(world, folder, name)) is not None:
            return found
    return None


def _text(world: World, folder: str, name: str) -> str:
    content = world.read(f"{folder}/{name}" if folder else name)
    return content.decode(errors="replace") if content is not None else ""


def _build(folder: str) -> str:
    return folder or "."


def _service(folder: str, command: list[str], port: int | None, health: str = "") -> dict[str, Any]:
    web = {"ports": {"http": port}, "health": {"ready": health or "tcp:http"}} if port else {}
    return {"build": _build(folder), "command": command, **web}


# Python


def _python(world: World, folder: str, name: str) -> Found | None:
    wanted = _requirements(world, folder)
    for file in _top(world, folder, ".py"):
        found = _framework(_text(world, folder, file))
        if found is not None:
            return _server(world, folder, name, PurePosixPath(file), found, wanted)
    main = next((f for f in ("__main__.py", "main.py", "app.py", "server.py") if _text(world, folder, f)), "")
    if not main:
        return None
    numbers = [n for pair in _PORT["py"].findall(_text(world, folder, main)) for n in pair if n]
    port = int(numbers[0]) if numbers else None
    found_notes = [] if port else ["no port was found in its source: it runs as a worker"]
    return Found(name, _service(folder, ["python", main], port), found_notes)


def _requirements(world: World, folder: str) -> str:
    """What it needs, as one text."""
    text = _text(world, folder, "requirements.txt")
    project = _text(world, folder, "pyproject.toml")
    if project:
        try:
            text += "\n" + "\n".join((tomllib.loads(project).get("project") or {}).get("dependencies") or ())
        except tomllib.TOMLDecodeError:
            return text
    return text.lower()


def _top(world: World, folder: str, suffix: str) -> list[str]:
    """Files of the folder and of packages in it, those that usually start a program first."""
    usual = ("main", "app", "server", "wsgi", "asgi", "api")
    every = [f for f in world.files(folder or ".") or () if f.count("/") <= 1 and not f.startswith(".")]
    projects = {f.split("/")[0] for f in every if "/" in f and f.split("/")[1] in _MARKS}
    packages = any(f in _MARKS for f in every)  # without a sign of a project, folders are projects, not packages of this one
    files = [
        f for f in every if f.endswith(suffix) and ("/" not in f or (packages and f.split("/")[0] not in {*projects, *_SKIPPED}))
    ]
    return sorted(files, key=lambda f: (f.count("/"), PurePosixPath(f).stem not in usual, f))


def _framework(text: str) -> tuple[str, str, list[str]] | None:
    """The framework, the variable that is the application, and the paths that it answers GET on."""
    try:
        module = ast.parse(text)
    except SyntaxError:
        return None
    for statement in module.body:
        value = statement.value if isinstance(statement, ast.Assign | ast.AnnAssign) else None
        if isinstance(value, ast.Call) and (made := ast.unparse(value.func).rpartition(".")[2].lower()) in _SERVERS:
            target = statement.targets[0] if isinstance(statement, ast.Assign) else getattr(statement, "target", None)
            if isinstance(target, ast.Name):
                return made, target.id, _gets(module, target.id)
    return None


def _gets(module: ast.Module, variable: str) -> list[str]:
    """Paths without parameters that the application answers GET on: one of them can tell that it is well."""
    found = []
    for statement in ast.walk(module):
        for call in getattr(statement, "decorator_list", ()):
            if isinstance(call, ast.Call) and ast.unparse(call.func) in (f"{variable}.get", f"{variable}.route") and call.args:
                path = call.args[0]
                if isinstance(path, ast.Constant) and isinstance(path.value, str) and not re.search(r"[{<]", path.value):
                    found.append(path.value)
    return found


def _server(world: World, folder: str, name: str, file: PurePosixPath, found: tuple[str, str, list[str]], wanted: str) -> Found:
    framework, variable, gets = found
    module, port = ".".join([*file.parts[:-1], file.stem]), _SERVERS[framework]
    place, number = f"{module}:{variable}", str(port)
    if framework == "flask":
        command = ["python", "-m", "flask", "--app", place, "run", "--host", _ALL, "--port", number]
        if re.search(r"^gunicorn\b", wanted, re.MULTILINE):
            command = ["python", "-m", "gunicorn", "--bind", f"{_ALL}:{number}", place]
    else:
        command = ["python", "-m", "uvicorn", place, "--host", _ALL, "--port", number]
    notes = []
    server = "uvicorn" if framework != "flask" else "flask"
    if not re.search(rf"^({server}|fastapi\[)", wanted, re.MULTILINE):
        notes.append(f"requirements.txt does not name {server}, which starts it: add it")
    elif not _text(world, folder, "requirements.txt"):
        notes.append("what it needs is in pyproject.toml only: lateen installs requirements.txt")
    well = next((p for p in ("/healthz", "/health", "/ready", "/ping", "/") if p in gets), "")
    return Found(name, _service(folder, command, port, f"GET {well}" if well else ""), notes)


# Node


def _node(world: World, folder: str, name: str) -> Found | None:
    text = _text(world, folder, "package.json")
    if not text:
        return None
    try:
        package = json.loads(text)
    except ValueError:
        return None
    start = str((package.get("scripts") or {}).get("start") or "")
    main = next(
        (f for f in (str(package.get("main") or ""), "server.js", "index.js", "app.js") if f and _text(world, folder, f)), ""
    )
    command = start.split() if start.startswith("node ") else ["node", main] if main else []
    notes = []
    if package.get("dependencies"):
        if (found := _docker(world, folder, name)) is not None:
            return found
        notes.append("the dependencies of package.json are not installed by lateen: bundle them, or add a Dockerfile")
    if not command:
        return None
    sources = _text(world, folder, command[-1])
    port = next((int(n) for m in _PORT["js"].findall(sources) for n in m if n), 3000)
    service = _service(folder, command, port)
    service["env"] = {"PORT": str(port)}
    return Found(name, service, notes)


# Go and other static binaries


def _binary(world: World, folder: str, name: str) -> Found | None:
    go = _text(world, folder, "go.mod")
    here = [f for f in world.files(folder or ".") or () if "/" not in f]
    programs = [f for f in here if "." not in f and (world.read(f"{folder}/{f}" if folder else f) or b"")[:4] == _ELF]
    if not programs:
        return None
    sources = "".join(_text(world, folder, f) for f in here if f.endswith(".go"))
    port = next((int(n) for n in _PORT["go"].findall(sources)), None)
    notes = (
        [f"port {port} is the one in its source"] if port else ["its port is not known: `ports` says 8080, and PORT is set to it"]
    )
    service = {**_service(folder, [f"./{programs[0]}"], port or 8080), "env": {"PORT": str(port or 8080)}}
    if go:
        notes.append(f"run `go build -o {programs[0]} .` after changes, before `lateen up`")
    return Found(name, service, notes)


def _docker(world: World, folder: str, name: str) -> Found | None:
    text = _text(world, folder, "Dockerfile")
    if not text:
        return None
    exposed = re.search(r"^\s*EXPOSE\s+(\d{2,5})", text, re.MULTILINE | re.IGNORECASE)
    port = int(exposed[1]) if exposed else None
    web = {"ports": {"http": port}, "health": {"ready": "tcp:http"}} if port else {}
    notes = ["it is built by its Dockerfile: buildah, podman or docker must be installed"]
    return Found(name, {"build": {"context": _build(folder), "dockerfile": "Dockerfile"}, **web}, notes)
