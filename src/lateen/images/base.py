"""What application layers are laid on: the root of the machine that builds, or a base image from the store. Used by ``build``.

A base image is looked through once for its Python and its C library, so that packages are chosen for it and not for this machine.
"""

from __future__ import annotations

import os
import re
import sys
import sysconfig
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from lateen.errors import InputError
from lateen.images import platform
from lateen.images.layout import BASE_LABEL, LAYER, Image, ImageStore, write_atomic
from lateen.images.reference import Digest

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_PYTHON = re.compile(r"(?:\.?/)?(?P<path>(?:usr/(?:local/)?)?bin/python3\.(?P<minor>\d+))")
_MUSL = re.compile(r"(?:\.?/)?(?:usr/)?lib/ld-musl-[^/]+\.so\.1")
_GLIBC = ("manylinux_2_28", "manylinux_2_17", "manylinux2014")
_MUSLS = ("musllinux_1_2", "musllinux_1_1")
_DOCKER_LAYER = "application/vnd.docker.image.rootfs.diff.tar.gzip"


@dataclass(frozen=True, slots=True, kw_only=True)
class Python:
    """An interpreter by its path; ``version`` is like 3.12."""

    path: str
    version: str
    musl: bool = False

    @property
    def here(self) -> bool:
        """Whether its bytecode is what this interpreter makes."""
        return self.version == f"{sys.version_info.major}.{sys.version_info.minor}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Base:
    """``identity`` tells two bases apart; ``config`` and ``layers`` are the image's own, empty on the host's root."""

    identity: str
    python: Python | None
    config: Mapping[str, Any]
    layers: Sequence[Mapping[str, Any]] = ()
    host: bool = False

    def pip(self) -> list[str]:
        """Arguments that make pip choose for this base."""
        if self.host or self.python is None:
            return []
        kinds = _MUSLS if self.python.musl else _GLIBC
        platforms = [f"{kind}_{os.uname().machine}" for kind in kinds]
        chosen = [part for name in platforms for part in ("--platform", name)]
        return ["--only-binary=:all:", "--implementation", "cp", "--python-version", self.python.version, *chosen]


def host() -> Base:
    """The root of this machine, with the interpreter that runs this."""
    interpreter = os.path.realpath(sys.executable)
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    identity = f"host {sysconfig.get_platform()} {interpreter} {sys.implementation.cache_tag}"
    config = {
        "architecture": platform.architecture(),
        "os": "linux",
        "config": {"Env": [f"PATH={PATH}"], "Labels": {BASE_LABEL: identity}},
    }
    return Base(identity=identity, python=Python(path=interpreter, version=version), config=config, host=True)


def image(store: ImageStore, name: str) -> Base:
    """A base image that lies in the store. InputError when it is not there or lies on a host's root itself."""
    found = store.resolve(name)
    if found is None:
        raise InputError(f"the base image {name} is not in the store", hint=f"fetch it with lateen image pull {name}")
    if str((found.config.get("Labels") or {}).get(BASE_LABEL) or "").startswith("host "):
        raise InputError(f"{name} lies on the root of a machine: it can be no base", hint="build it with a base of its own")
    manifest = store.manifest(found.digest)
    config = store.manifest(manifest["config"]["digest"])
    settings = dict(config.get("config") or {})
    origin = {"org.opencontainers.image.base.name": name, "org.opencontainers.image.base.digest": found.digest}
    settings["Labels"] = {**(settings.get("Labels") or {}), **origin}
    return Base(
        identity=f"image {name} {found.digest}",
        python=_python(store, found),
        config={**config, "config": settings, "history": _history(config, len(found.layers))},
        layers=[_oci(layer) for layer in manifest["layers"]],
    )


def _history(config: Mapping[str, Any], layers: int) -> list[Any]:
    """The base's steps, one for each layer at least: tools refuse images whose history is shorter."""
    known = list(config.get("history") or ())
    return known + [{}] * (layers - sum(not step.get("empty_layer") for step in known))


def _oci(layer: Mapping[str, Any]) -> dict[str, Any]:
    return {**layer, "mediaType": LAYER} if layer["mediaType"] == _DOCKER_LAYER else dict(layer)


def _python(store: ImageStore, found: Image) -> Python | None:
    cache = store.root / "cache" / f"python-{found.digest.removeprefix('sha256:')}"
    try:
        known = orjson.loads(cache.read_bytes())
    except (FileNotFoundError, ValueError):
        known = _look(store, found.layers)
        cache.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(cache, orjson.dumps(known))
    return Python(**known) if known else None


def _look(store: ImageStore, layers: Sequence[Digest]) -> dict[str, Any] | None:
    """The best interpreter of all layers: /usr/local goes before /usr, a later version before an earlier one."""
    pythons: dict[tuple[bool, int], str] = {}
    musl = False
    for digest in layers:
        with tarfile.open(store.verified(digest)) as layer:
            for member in layer:
                musl = musl or _MUSL.fullmatch(member.name) is not None
                if (match := _PYTHON.fullmatch(member.name)) is not None:
                    pythons["/local/" in match["path"], int(match["minor"])] = f"/{match['path']}"
    if not pythons:
        return None
    best = max(pythons)
    return {"path": pythons[best], "version": f"3.{best[1]}", "musl": musl}
