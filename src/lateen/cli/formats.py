"""Files that commands take for an application: ``lateen.yaml`` and Compose files."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from lateen.kube.yamltext import Node, Source

if TYPE_CHECKING:
    from lateen.adopt import Imported

OWN = ("lateen.yaml", "lateen.yml")
COMPOSE = ("compose.yaml", "compose.yml", "docker-compose.yaml", "docker-compose.yml")
Tell = Callable[[str], None]


def sources(paths: Sequence[Path], tell: Tell = lambda _: None) -> list[Source | Node]:
    """What ``model.load`` takes: texts as they are, Compose files as one tree. ``tell`` hears what was not carried."""
    from lateen.cli.project import read_source

    foreign = [p for p in paths if _is_compose(p)]
    if not foreign:
        return [read_source(p) for p in paths]
    imported = compose(foreign)
    for loss in imported.losses:
        tell(f"  not carried: {loss}")
    return [imported.tree if p == foreign[0] else read_source(p) for p in paths if p == foreign[0] or p not in foreign]


def beside(path: Path) -> list[Path]:
    """A Compose file that was found, with its override, as Docker takes them."""
    if not _is_compose(path):
        return [path]
    names = [f"{path.stem}.override{suffix}" for suffix in (".yaml", ".yml")]
    return [path, *(path.with_name(n) for n in names if path.with_name(n).is_file())][:2]


def compose(paths: Sequence[Path], profiles: Sequence[str] = ()) -> Imported:
    """Compose files, each laid over the ones before."""
    from lateen.adopt.compose.app import read
    from lateen.adopt.world import Disk
    from lateen.cli.project import read_source

    folder = paths[0].absolute().parent
    return read([read_source(p) for p in paths], Disk(folder, os.environ), folder=folder.name, profiles=profiles)


def _is_compose(path: Path) -> bool:
    from lateen.adopt.compose.names import is_compose

    return is_compose(path.name)
