"""Build an OCI image from a source folder, without Docker: a dependency layer and an application layer on a base.

Called by ``lateen build`` and ``lateen up``. A Python folder (requirements.txt) gets its packages under /deps; anything else
is copied under /app as it is. The base's interpreter is linked into /deps/bin. The base is an image, or the root of the machine
that builds; such an image runs where it was built. A Dockerfile goes to the tool that understands it (``dockerfile``).
Layers are cached by what went into them, so a rebuild of unchanged source costs one read of the files.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from lateen.errors import FailedError, InputError
from lateen.images import base, dockerfile, source
from lateen.images.layout import LAYER, Image, ImageStore, write_atomic
from lateen.images.user import user_of

Progress = Callable[[str], None]
BUILDER = "3"  # part of every cache key: raise it when the same source must give other layers


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildRequest:
    """What to build. ``name`` is the repository without tag; ``inputs`` narrow the files of ``context`` (globs). ``base`` names an
    image of the store ('': this machine's root); with ``dockerfile`` all is up to that file."""

    name: str
    context: Path
    inputs: Sequence[str] = ()
    labels: Mapping[str, str] = field(default_factory=dict)
    command: Sequence[str] = ()
    tags: Sequence[str] = ()
    base: str = ""
    dockerfile: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Built:
    """The image, the reference to deploy (``name@sha256:...``), and whether anything had to be built."""

    image: Image
    reference: str
    cached: bool


def build(store: ImageStore, request: BuildRequest, progress: Progress = lambda _: None) -> Built:
    """Build or find the image. InputError for a wrong context; FailedError with the installer's last lines."""
    with store.writing():
        if request.dockerfile:
            return _by_dockerfile(store, request, progress)
        return _build(store, request, progress)


def _build(store: ImageStore, request: BuildRequest, progress: Progress) -> Built:
    entries = source.collect(request.context, request.inputs)
    requirements = _requirements(request.context)
    ground = base.image(store, request.base) if request.base else base.host()
    if requirements.strip() and ground.python is None:
        raise InputError(f"the base image {request.base} has no Python for {request.context / 'requirements.txt'}")
    labels = (f"{k}={v}" for k, v in request.labels.items())
    key = source.identity(entries, BUILDER, requirements, ground.identity, request.name, *request.command, *labels)
    cache = store.root / "cache" / key
    if (found := _cached(store, cache)) is not None:
        store_names = _names(request, found)
        return Built(image=_retag(store, found, store_names), reference=f"{request.name}@{found.digest}", cached=True)
    progress("dependencies")
    layers, diffs = list(ground.layers), []
    for data, diff in (
        _dependencies(store, requirements, request.context, ground),
        source.layer(_with_code(entries, ground, "/app"), "/app"),
    ):
        layers.append({"mediaType": LAYER, **store.put_blob(data)})
        diffs.append(diff)
    progress("image")
    image = store.put_image(config=_config(request, diffs, ground), layers=layers, names=[])
    image = _retag(store, image, _names(request, image))
    cache.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(cache, image.digest.encode())
    return Built(image=image, reference=f"{request.name}@{image.digest}", cached=False)


def _by_dockerfile(store: ImageStore, request: BuildRequest, progress: Progress) -> Built:
    if request.base:
        raise InputError("a Dockerfile names its base itself", hint="set base or dockerfile, not both")
    progress("dockerfile")
    before = store.resolve(f"{request.name}:latest")
    image = dockerfile.build(store, context=request.context, dockerfile=request.dockerfile, tags=[f"{request.name}:latest"])
    image = _retag(store, image, _names(request, image))
    cached = before is not None and before.digest == image.digest
    return Built(image=image, reference=f"{request.name}@{image.digest}", cached=cached)


def _with_code(entries: list[source.Entry], ground: base.Base, root: str) -> list[source.Entry]:
    """With bytecode, where the base runs the Python that makes it."""
    return [*entries, *source.compiled(entries, root)] if ground.python and ground.python.here else entries


def _names(request: BuildRequest, image: Image) -> list[str]:
    short = image.digest.removeprefix("sha256:")[:12]
    return [f"{request.name}:{tag}" for tag in dict.fromkeys([short, "latest", *request.tags])]


def _retag(store: ImageStore, image: Image, names: list[str]) -> Image:
    if not all((found := store.resolve(n)) is not None and found.digest == image.digest for n in names):
        store.tag(names, image)
    return Image(digest=image.digest, names=names, size=image.size, created=image.created, config=image.config, layers=image.layers)


def _cached(store: ImageStore, cache: Path) -> Image | None:
    try:
        digest = cache.read_text()
    except FileNotFoundError:
        return None
    return store.resolve(f"cached@{digest}")


def _requirements(context: Path) -> str:
    file = context / "requirements.txt"
    return file.read_text() if file.exists() else ""


def _dependencies(store: ImageStore, requirements: str, context: Path, ground: base.Base) -> tuple[bytes, str]:
    key = source.identity([], BUILDER, requirements, ground.identity)
    cache = store.root / "cache" / f"deps-{key}"
    try:
        known = orjson.loads(cache.read_bytes())
        return store.blob(known["digest"]).read_bytes(), known["diff"]
    except (FileNotFoundError, ValueError, KeyError):
        pass
    links = ("python", "python3") if ground.python else ()
    entries = [source.Entry(path=f"bin/{name}", link=ground.python.path) for name in links if ground.python]
    if requirements.strip():
        entries += _installed(context, ground)
    data, diff = source.layer(entries, "/deps")
    cache.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(cache, orjson.dumps({"digest": store.put_blob(data)["digest"], "diff": diff}))
    return data, diff


def _installed(context: Path, ground: base.Base) -> list[source.Entry]:
    """The packages that pip installs for the context's requirements, as entries under site/."""
    with tempfile.TemporaryDirectory() as scratch:
        argv = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-input", "--no-compile"]
        argv += [*ground.pip(), "--target", f"{scratch}/site", "-r", str(context / "requirements.txt")]
        done = subprocess.run(argv, cwd=context, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise FailedError(f"pip could not install {context / 'requirements.txt'}:\n{_tail(done.stderr)}")
        entries = source.collect(Path(scratch))
    # INSTALLER and RECORD differ between installers and paths, not in what runs.
    entries = [e for e in entries if not e.path.endswith((".dist-info/RECORD", ".dist-info/INSTALLER", ".dist-info/REQUESTED"))]
    return _with_code(entries, ground, "/deps")


def _tail(text: str, lines: int = 12) -> str:
    return "\n".join(text.strip().splitlines()[-lines:])


def _config(request: BuildRequest, diffs: Sequence[str], ground: base.Base) -> dict[str, Any]:
    """The base's config with what the new layers need."""
    before = ground.config.get("config") or {}
    command = list(request.command) or _default_command(request.context)
    rootfs = {"type": "layers", "diff_ids": [*(ground.config.get("rootfs") or {}).get("diff_ids", ()), *diffs]}
    steps = [{"created_by": "lateen build: dependencies"}, {"created_by": "lateen build: application"}]
    return {
        **{k: v for k, v in ground.config.items() if k in ("architecture", "os", "variant")},
        "created": "1970-01-01T00:00:00Z",
        "config": {
            **before,
            "Env": _environment(before.get("Env") or ()),
            **({"Cmd": command} if command or ground.host else {}),
            "User": user_of(str(before.get("User") or "")),
            "WorkingDir": "/app",
            "Labels": {**(before.get("Labels") or {}), **request.labels},
        },
        "rootfs": rootfs,
        "history": [*(ground.config.get("history") or ()), *steps],
    }


def _environment(before: Sequence[str]) -> list[str]:
    found = dict(entry.partition("=")[::2] for entry in before)
    found["PATH"] = f"/deps/bin:{found.get('PATH') or base.PATH}"
    found["PYTHONPATH"] = ":".join(filter(None, ("/app:/deps/site", found.get("PYTHONPATH"))))
    return [f"{k}={v}" for k, v in {**found, "PYTHONUNBUFFERED": "1", "PYTHONDONTWRITEBYTECODE": "1"}.items()]


def _default_command(context: Path) -> list[str]:
    for name in ("main.py", "app.py", "__main__.py"):
        if (context / name).exists():
            return ["python", name]
    return []
