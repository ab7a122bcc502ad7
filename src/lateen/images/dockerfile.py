"""Images from Dockerfiles, by the tool that this machine has: buildah, podman or docker. Called by ``build``.

The tool builds and writes an archive, which is imported as any other. What it caches is its own business.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from lateen.errors import FailedError, InputError
from lateen.images.archive import load
from lateen.images.layout import Image, ImageStore

TOOLS = ("buildah", "podman", "docker")
_LINES = 20


def build(store: ImageStore, *, context: Path, dockerfile: str, tags: Sequence[str]) -> Image:
    """The image, named. InputError when there is no such file or no tool; FailedError with the tool's last lines."""
    file = (context / dockerfile).resolve()
    if not file.is_file():
        raise InputError(f"there is no {dockerfile} in {context}", hint="build.dockerfile is relative to the context")
    tool = next((tool for tool in TOOLS if shutil.which(tool)), None)
    if tool is None:
        raise InputError(
            f"{file} needs buildah, podman or docker, and none of them is installed",
            hint="install one (apt-get install buildah), or leave dockerfile out: Python folders are built without",
        )
    with tempfile.TemporaryDirectory(prefix="lateen-build-") as scratch:
        identity = Path(scratch, "id")
        _run(_build(tool, file, context, identity))
        _run(_save(tool, identity.read_text().strip(), Path(scratch, "image.tar")))
        (image,) = load(store, Path(scratch, "image.tar"), tags)
    return image


def _build(tool: str, file: Path, context: Path, identity: Path) -> list[str]:
    if tool == "docker":
        return ["docker", "build", "--file", str(file), "--iidfile", str(identity), str(context)]
    options = ["--format", "oci", "--layers", "--timestamp", "0"]
    return [tool, "build", *options, "--file", str(file), "--iidfile", str(identity), str(context)]


def _save(tool: str, identity: str, target: Path) -> list[str]:
    if tool == "buildah":
        return ["buildah", "push", "--quiet", identity, f"oci-archive:{target}"]
    archive = ["--format", "oci-archive"] if tool == "podman" else []
    return [tool, "save", *archive, "--output", str(target), identity]


def _run(argv: Sequence[str]) -> None:
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        last = "\n".join((done.stderr or done.stdout).strip().splitlines()[-_LINES:])
        raise FailedError(f"{argv[0]} {argv[1]} failed:\n{last}")
