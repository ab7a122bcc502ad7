"""What ``lateen check`` is pointed at, as objects with places: manifests, folders, charts, kustomizations, application files.

A Helm chart is rendered by helm, a kustomization by kubectl; where the tool is missing that is an error, never a silent skip.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from lateen.adopt.compose.names import is_compose
from lateen.check.reading import Read, read
from lateen.errors import FailedError, InputError
from lateen.kube.yamltext import Source

if TYPE_CHECKING:
    from lateen.model import Application

MODELS = ("lateen.yaml", "lateen.yml")
_SUFFIXES = (".yaml", ".yml", ".json")
_SKIPPED = ("node_modules", "__pycache__", "vendor", "site-packages", "venv")
_SHOWN = (".github", ".gitlab-ci.yml", ".gitlab-ci.yaml", ".circleci", ".tekton")
_KUSTOMIZATIONS = ("kustomization.yaml", "kustomization.yml", "Kustomization")


class Gather:
    """Reads paths into one Read. ``files`` are the plain ones; ``notes`` say what could not be read."""

    def __init__(self, *, environment: str = "", render: bool = True) -> None:
        self.found = Read()
        self.files: list[Path] = []
        self.applications: list[Application] = []
        self.notes: list[str] = []
        self._environment, self._render = environment, render

    def take(self, path: Path) -> None:
        """A file, a folder, or ``-`` for standard input."""
        if str(path) == "-":
            read(Source("<stdin>", sys.stdin.read()), self.found)
        elif path.is_dir():
            self._folder(path)
        elif path.name in MODELS or is_compose(path.name):
            self._application(path)
        else:
            self._file(path)

    def _folder(self, folder: Path) -> None:
        if (folder / "Chart.yaml").is_file() and self._render:
            return self._rendered(folder, ["helm", "template", "check", str(folder)])
        if any((folder / n).is_file() for n in _KUSTOMIZATIONS) and self._render:
            return self._rendered(folder, ["kubectl", "kustomize", str(folder)])
        entries = sorted(folder.iterdir())
        for entry in entries:
            if entry.name in _SKIPPED or (entry.name.startswith(".") and entry.name not in _SHOWN):
                continue
            if entry.is_dir() and not entry.is_symlink():
                self._below(entry)
            elif entry.name in MODELS:
                self._application(entry)
            elif entry.suffix in _SUFFIXES and entry.is_file():
                self._file(entry)
        return None

    def _below(self, folder: Path) -> None:
        """A folder that was not named itself: a chart in it that cannot be rendered is said, and the rest is looked at."""
        try:
            self._folder(folder)
        except (InputError, FailedError) as error:
            self.notes.append(f"not looked at: {str(error).splitlines()[0]}")

    def _file(self, path: Path) -> None:
        self.files.append(path)
        try:
            text = path.read_bytes().decode()
        except OSError as error:
            raise InputError(f"cannot read {path}: {error.strerror}") from error
        except UnicodeDecodeError as error:
            raise InputError("this is not UTF-8 text", where=str(path)) from error
        read(Source(str(path), text), self.found)

    def _rendered(self, folder: Path, command: Sequence[str]) -> None:
        program = _program(command[0], folder)
        done = subprocess.run([program, *command[1:]], capture_output=True, text=True, timeout=120, check=False)
        if done.returncode:
            raise FailedError(f"{' '.join(command)}: {done.stderr.strip()[-2000:]}")
        read(Source(f"{folder} ({command[0]} {command[1]})", done.stdout), self.found)

    def _application(self, path: Path) -> None:
        from lateen.check.model import manifests
        from lateen.cli.project import load_application, rendered

        application = load_application([path], environment=self._environment)
        self.applications.append(application)
        self.found.objects += manifests(application, rendered(application, build=False, progress=lambda _: None))


def _program(name: str, folder: Path) -> str:
    beside = Path(sys.executable).parent / name
    found = str(beside) if beside.is_file() else shutil.which(name)
    if found is None:
        noun = "Helm chart" if name == "helm" else "kustomization"
        raise InputError(f"{folder} is a {noun}, and {name} is not installed", hint=f"install {name}, or check its rendered output")
    return found
