"""Files that commands take for an application: ``lateen.yaml``, Compose and Score files."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from lateen.errors import InputError
from lateen.kube.yamltext import Node, Source

if TYPE_CHECKING:
    from lateen.adopt import Imported

OWN = ("lateen.yaml", "lateen.yml")
COMPOSE = ("compose.yaml", "compose.yml", "docker-compose.yaml", "docker-compose.yml")
Tell = Callable[[str], None]


def sources(paths: Sequence[Path], tell: Tell = lambda _: None) -> list[Source | Node]:
    """What ``model.load`` takes: texts as they are, other formats as one tree. ``tell`` hears what was not carried."""
    from lateen.cli.project import read_source

    foreign = [p for p in paths if _is_compose(p)] or [p for p in paths if p.name not in OWN and _is_score(p)]
    found = imported(foreign)
    if found is None:
        return [_whole(p, read_source(p)) for p in paths]
    for loss in found.losses:
        tell(f"  not carried: {loss}")
    return [found.tree if p == foreign[0] else read_source(p) for p in paths if p == foreign[0] or p not in foreign]


def _module(path: Path, source: Source) -> Node:
    """The application that a Python module calls ``app``: an ``App``, or a function that gives one. InputError for what its own
    code raises, with the line."""
    import runpy
    import sys
    import traceback

    from lateen.adopt.python import VARIABLE, tree
    from lateen.model import App

    folder = str(path.absolute().parent)
    sys.path.insert(0, folder)
    try:
        found = runpy.run_path(str(path)).get(VARIABLE)
        found = found() if callable(found) else found
    except Exception as error:  # whatever the user's code raises is bad input
        lines = [f.lineno for f in traceback.extract_tb(error.__traceback__) if f.filename == str(path)]
        words = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
        raise InputError(words, where=f"{path}:{lines[-1] if lines else 1}") from error
    finally:
        sys.path.remove(folder)
    if not isinstance(found, App):
        raise InputError(f"{path} has no application", where=str(path), hint=f"`{VARIABLE} = App(...)`, from lateen.model")
    return tree(found, source)


def _whole(path: Path, source: Source) -> Source | Node:
    """A file with what it includes, and what that includes, as one tree; a file that includes nothing as it is."""
    from lateen.kube.yamltext import documents
    from lateen.model.including import join

    if path.suffix == ".py":
        return _module(path, source)
    if not re.search(r"^[\"']?include\b", source.text, re.MULTILINE):
        return source
    trees = documents(source)
    return join(list(_parts(path, trees[0], path.parent, set()))) if len(trees) == 1 else source


def _parts(path: Path, tree: Node, home: Path, known: set[Path]) -> Iterator[Node]:
    from lateen.cli.project import read_source
    from lateen.kube.yamltext import documents, fault
    from lateen.model.including import moved, patterns

    known.add(path.resolve())
    yield moved(tree, os.path.relpath(path.parent, home))
    for pattern in patterns(tree):
        files = sorted(p for p in path.parent.glob(pattern.data) if p.is_file()) if not Path(pattern.data).is_absolute() else []
        if not files:
            raise fault(f"{pattern.data!r} includes no file", pattern.mark, hint="a glob, relative to this file")
        for file in files:
            if file.resolve() in known:
                continue
            for part in documents(read_source(file)):
                if not isinstance(part.data, dict):
                    raise fault("expected a map, a part of an application file", part.mark)
                yield from _parts(file, part, home, known)


def imported(paths: Sequence[Path], *, profiles: Sequence[str] = ()) -> Imported | None:
    """Compose files, each laid over the ones before, or Score files, a service each; None if they are neither."""
    if paths and all(_is_compose(p) for p in paths):
        return compose(paths, profiles)
    if paths and all(_is_score(p) for p in paths):
        return score(paths)
    return None


def inside(folder: Path) -> list[Path]:
    """The Compose file of a folder with its override, else its Score files; empty if it has none."""
    for name in COMPOSE:
        if (folder / name).is_file():
            return beside(folder / name)
    return sorted(p for p in folder.glob("*.y*ml") if "score" in p.name and _is_score(p))


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


def score(paths: Sequence[Path]) -> Imported:
    """Score files, a service each."""
    from lateen.adopt.score import read
    from lateen.adopt.world import Disk
    from lateen.cli.project import read_source

    folder = paths[0].absolute().parent
    return read([read_source(p) for p in paths], Disk(folder, os.environ), folder=folder.name)


def _is_score(path: Path) -> bool:
    try:
        head = path.read_bytes()[:65536]
    except OSError:
        return False  # whoever reads it says so
    return re.search(rb"^apiVersion:\s*['\"]?score\.dev/", head, re.MULTILINE) is not None


def _is_compose(path: Path) -> bool:
    from lateen.adopt.compose.names import is_compose

    return is_compose(path.name)
