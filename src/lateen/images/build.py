"""Build an OCI image from a source folder, without Docker: a dependency layer and an application layer on the host's root.

Called by ``lateen build`` and ``lateen up``. A Python folder (requirements.txt) gets its packages under /deps; anything else
is copied under /app as it is. The host's interpreter is linked into /deps/bin, so a host-based image runs where it was built.
Layers are cached by what went into them, so a rebuild of unchanged source costs one read of the files.
"""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from lateen.errors import FailedError
from lateen.images import platform, source
from lateen.images.layout import BASE_LABEL, LAYER, Image, ImageStore, write_atomic

Progress = Callable[[str], None]
PATH = "/deps/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
BUILDER = "1"  # part of every cache key: raise it when the same source must give other layers


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildRequest:
    """What to build. ``name`` is the repository without tag; ``inputs`` narrow the files of ``context`` (globs)."""

    name: str
    context: Path
    inputs: Sequence[str] = ()
    labels: Mapping[str, str] = field(default_factory=dict)
    command: Sequence[str] = ()
    tags: Sequence[str] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Built:
    """The image, the reference to deploy (``name@sha256:...``), and whether anything had to be built."""

    image: Image
    reference: str
    cached: bool


def build(store: ImageStore, request: BuildRequest, progress: Progress = lambda _: None) -> Built:
    """Build or find the image. InputError for a wrong context; FailedError with the installer's last lines."""
    with store.writing():
        return _build(store, request, progress)


def _build(store: ImageStore, request: BuildRequest, progress: Progress) -> Built:
    entries = source.collect(request.context, request.inputs)
    requirements = _requirements(request.context)
    base = _host_base()
    key = source.identity(
        entries, BUILDER, requirements, base, request.name, *request.command, *(f"{k}={v}" for k, v in request.labels.items())
    )
    cache = store.root / "cache" / key
    if (found := _cached(store, cache)) is not None:
        store_names = _names(request, found)
        return Built(image=_retag(store, found, store_names), reference=f"{request.name}@{found.digest}", cached=True)
    progress("dependencies")
    layers, diffs = [], []
    for data, diff in (_dependencies(store, requirements, request.context), source.layer(_application(entries), "/app")):
        layers.append({"mediaType": LAYER, **store.put_blob(data)})
        diffs.append(diff)
    progress("image")
    image = store.put_image(config=_config(request, diffs, base), layers=layers, names=[])
    image = _retag(store, image, _names(request, image))
    cache.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(cache, image.digest.encode())
    return Built(image=image, reference=f"{request.name}@{image.digest}", cached=False)


def _application(entries: list[source.Entry]) -> list[source.Entry]:
    return [*entries, *source.compiled(entries, "/app")]


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


def _host_base() -> str:
    return f"host {sysconfig.get_platform()} {os.path.realpath(sys.executable)} {sys.implementation.cache_tag}"


def _requirements(context: Path) -> str:
    file = context / "requirements.txt"
    return file.read_text() if file.exists() else ""


def _dependencies(store: ImageStore, requirements: str, context: Path) -> tuple[bytes, str]:
    key = source.identity([], BUILDER, requirements, _host_base())
    cache = store.root / "cache" / f"deps-{key}"
    try:
        known = orjson.loads(cache.read_bytes())
        return store.blob(known["digest"]).read_bytes(), known["diff"]
    except (FileNotFoundError, ValueError, KeyError):
        pass
    interpreter = os.path.realpath(sys.executable)
    entries = [source.Entry(path=f"bin/{name}", link=interpreter) for name in ("python", "python3")]
    if requirements.strip():
        entries += _installed(requirements, context)
    data, diff = source.layer(entries, "/deps")
    cache.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(cache, orjson.dumps({"digest": store.put_blob(data)["digest"], "diff": diff}))
    return data, diff


def _installed(requirements: str, context: Path) -> list[source.Entry]:
    """The packages that pip installs for ``requirements``, as entries under site/."""
    with tempfile.TemporaryDirectory() as scratch:
        argv = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-input", "--no-compile"]
        argv += ["--target", f"{scratch}/site", "-r", str(context / "requirements.txt")]
        done = subprocess.run(argv, cwd=context, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise FailedError(f"pip could not install {context / 'requirements.txt'}:\n{_tail(done.stderr)}")
        entries = source.collect(Path(scratch))
    # INSTALLER and RECORD differ between installers and paths, not in what runs.
    entries = [e for e in entries if not e.path.endswith((".dist-info/RECORD", ".dist-info/INSTALLER", ".dist-info/REQUESTED"))]
    return [*entries, *source.compiled(entries, "/deps")]


def _tail(text: str, lines: int = 12) -> str:
    return "\n".join(text.strip().splitlines()[-lines:])


def _config(request: BuildRequest, diffs: Sequence[str], base: str) -> dict[str, Any]:
    return {
        "created": "1970-01-01T00:00:00Z",
        "architecture": platform.architecture(),
        "os": "linux",
        "config": {
            "Env": [f"PATH={PATH}", "PYTHONPATH=/app:/deps/site", "PYTHONUNBUFFERED=1", "PYTHONDONTWRITEBYTECODE=1"],
            "Cmd": list(request.command) or _default_command(request.context),
            "WorkingDir": "/app",
            "Labels": {BASE_LABEL: base, **request.labels},
        },
        "rootfs": {"type": "layers", "diff_ids": list(diffs)},
        "history": [{"created_by": "lateen build: dependencies"}, {"created_by": "lateen build: application"}],
    }


def _default_command(context: Path) -> list[str]:
    for name in ("main.py", "app.py", "__main__.py"):
        if (context / name).exists():
            return ["python", name]
    return []
