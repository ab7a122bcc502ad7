"""What importers may ask of the machine: files beside the source, and variables. Tests give it in memory."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol


class World(Protocol):
    """Files below the folder of the source, by relative path, and the variables of the environment."""

    @property
    def variables(self) -> Mapping[str, str]:
        """The environment's variables."""
        ...

    def read(self, path: str) -> bytes | None:
        """The content of a file, or None."""
        ...

    def files(self, folder: str) -> list[str] | None:
        """Every file below a folder, relative to it and sorted; None if it is no folder."""
        ...


@dataclass(frozen=True, slots=True)
class Disk:
    """The real one."""

    folder: Path
    variables: Mapping[str, str] = field(default_factory=dict)
    most: int = 1000

    def read(self, path: str) -> bytes | None:
        """The content of a file, or None."""
        file = self.folder / path
        return file.read_bytes() if file.is_file() else None

    def files(self, folder: str) -> list[str] | None:
        """At most ``most`` + 1 of the files: nobody takes over more."""
        root = self.folder / folder
        if not root.is_dir():
            return None
        found: list[str] = []
        for file in root.rglob("*"):
            if file.is_file():
                found.append(str(file.relative_to(root)))
            if len(found) > self.most:
                break
        return sorted(found)


@dataclass(frozen=True, slots=True)
class Memory:
    """One of given files."""

    contents: Mapping[str, bytes] = field(default_factory=dict)
    variables: Mapping[str, str] = field(default_factory=dict)

    def read(self, path: str) -> bytes | None:
        """The content of a file, or None."""
        return self.contents.get(_clean(path))

    def files(self, folder: str) -> list[str] | None:
        """Every file whose path begins with the folder's."""
        start = _clean(folder)
        start = "" if start == "." else start + "/"
        found = sorted(p.removeprefix(start) for p in self.contents if p.startswith(start))
        return found or None


def _clean(path: str) -> str:
    parts = [p for p in path.split("/") if p not in ("", ".")]
    return "/".join(parts) or "."
