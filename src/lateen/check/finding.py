"""What a check says: a Hit (raw, from a check function), and a Finding (judged: severity, place, fix, waiver)."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import TypeAlias

from lateen.check.manifest import Manifest
from lateen.kube.yamltext import Mark

Path: TypeAlias = tuple[str | int, ...]


class Severity(enum.IntEnum):
    """How bad. ``INFO`` is advice: shown only by the profiles that ask for it."""

    INFO = 1
    WARNING = 2
    ERROR = 3

    @property
    def word(self) -> str:
        """``error``, ``warning`` or ``info``."""
        return self.name.lower()


@dataclass(frozen=True, slots=True)
class Edit:
    """A safe change of one field: ``value`` at ``path`` (None removes it)."""

    path: Path
    value: object


@dataclass(frozen=True, slots=True)
class Hit:
    """What a check function yields: where, and what is wrong there. ``severity`` overrides the check's own."""

    manifest: Manifest
    path: Path
    message: str
    severity: Severity | None = None
    edits: tuple[Edit, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """A judged hit. ``object`` is ``Deployment shop/web``; ``where`` is file:line:column; ``waived`` is the reason when it is."""

    id: str
    severity: Severity
    message: str
    object: str
    steps: Path
    where: str
    fix: str
    waived: str = ""
    mark: Mark | None = None
    manifest: Manifest | None = None
    edits: tuple[Edit, ...] = ()

    @property
    def path(self) -> str:
        """``spec.containers[0].image``."""
        return dotted(self.steps)


def dotted(path: Path) -> str:
    """``spec.containers[0].image``; a step with dots is quoted."""
    text = ""
    for step in path:
        if isinstance(step, int):
            text += f"[{step}]"
        elif "." in step or "/" in step:
            text += f'["{step}"]'
        else:
            text += f".{step}" if text else step
    return text
