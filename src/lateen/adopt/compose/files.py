"""The files of a Compose application as one tree: variables replaced, ``include`` and ``extends`` followed, overrides laid over.

Paths in a file of another folder start there: they are made relative to the first file's folder.
"""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from lateen.adopt.compose import fields, merge
from lateen.adopt.compose.interpolate import env_file, interpolated
from lateen.adopt.compose.values import items, mapping, text
from lateen.adopt.world import World
from lateen.errors import InputError
from lateen.kube.yamltext import Mark, Node, Source, documents, fault


@dataclass(slots=True)
class Files:
    """Reads the files of one application. ``missing`` collects variables without a value, and where they stand."""

    world: World
    missing: dict[str, Node] = field(default_factory=dict)

    def tree(self, sources: Sequence[Source]) -> Node:
        """The sources, each laid over the ones before. InputError, with the place in the file."""
        first, *others = (self._parsed(source, "", ()) for source in sources)
        for over in others:
            first = replace(merge.lay(over, first), mark=first.mark)
        return first

    def _parsed(self, source: Source, folder: str, seen: tuple[str, ...]) -> Node:
        found = documents(source)
        if not found:
            raise InputError("the file is empty", where=source.name, hint="a Compose file needs services")
        if not isinstance(found[0].data, dict):
            raise fault("a Compose file is a map with services", found[0].mark)
        tree = interpolated(found[0], self._variables(), self.missing)
        fields.unknown(tree)
        tree = rebased(tree, folder)

        def load(path: str, place: Node) -> Node:
            return self._load(path, place, (*seen, path))

        return merge.extended(self._included(tree, load, seen), load)

    def _load(self, path: str, place: Node, seen: tuple[str, ...]) -> Node:
        raw = self.world.read(path)
        if raw is None:
            raise fault(f"there is no file {path!r}", place.mark)
        return self._parsed(Source(path, raw.decode(errors="replace")), posixpath.dirname(path), seen)

    def _included(self, tree: Node, load: Callable[[str, Node], Node], seen: tuple[str, ...]) -> Node:
        for entry in items(tree.get("include")):
            for key in ("project_directory", "env_file"):
                if (given := entry.get(key)) is not None:
                    raise fault(f"{key} of an included file is not followed", given.key or given.mark, "name the files with -f")
            for place in items(entry.get("path")) if isinstance(entry.data, dict) else [entry]:
                path = posixpath.normpath(text(place))
                if path in seen:
                    raise fault(f"{path!r} includes itself", place.mark)
                tree = merge.lay(tree, load(path, place))
        return tree

    def _variables(self) -> dict[str, str]:
        """The environment's, over those of ``.env``."""
        raw = self.world.read(".env")
        if raw is None:
            return dict(self.world.variables)
        content = raw.decode(errors="replace")
        found = env_file(content, self.world.variables, Node(None, Mark(Source(".env", content), 0, 0)))
        return {k: v for k, v in found.items() if v is not None} | dict(self.world.variables)


def rebased(tree: Node, folder: str) -> Node:
    """The tree with its relative paths starting one folder further out."""
    if not folder:
        return tree
    result = dict(tree.data)
    for kind in ("configs", "secrets"):
        result |= _each(tree, kind, lambda node: _moved(node, "file", folder=folder))
    result |= _each(tree, "services", lambda node: _service(node, folder))
    if (include := tree.get("include")) is not None:
        moved = [_moved(e, "path", folder=folder) if isinstance(e.data, dict) else _path(e, folder) for e in items(include)]
        result["include"] = replace(include, data=moved)
    return replace(tree, data=result)


def _each(tree: Node, kind: str, change: Callable[[Node], Node]) -> dict[str, Node]:
    found = tree.get(kind)
    if found is None or found.data is None:
        return {}
    return {kind: replace(found, data={n: change(v) for n, v in mapping(found).items()})}


def _service(node: Node, folder: str) -> Node:
    if not isinstance(node.data, dict):
        return node
    node = _moved(node, "env_file", folder=folder)
    data = dict(node.data)
    if (build := node.get("build")) is not None:
        data["build"] = _moved(build, "context", folder=folder) if isinstance(build.data, dict) else _path(build, folder)
    if (extends := node.get("extends")) is not None and isinstance(extends.data, dict):
        data["extends"] = _moved(extends, "file", folder=folder)
    if (volumes := node.get("volumes")) is not None:
        data["volumes"] = replace(volumes, data=[_volume(v, folder) for v in items(volumes)])
    return replace(node, data=data)


def _moved(node: Node, name: str, *, folder: str) -> Node:
    """A map whose field ``name`` is a path, or a list of paths, or of maps with a path."""
    found = node.get(name)
    if found is None or found.data is None:
        return node
    if isinstance(found.data, list):
        moved = [_moved(e, "path", folder=folder) if isinstance(e.data, dict) else _path(e, folder) for e in found.data]
        return replace(node, data={**node.data, name: replace(found, data=moved)})
    return replace(node, data={**node.data, name: _path(found, folder)})


def _volume(node: Node, folder: str) -> Node:
    if isinstance(node.data, dict):
        return _moved(node, "source", folder=folder) if text(node.get("type")) == "bind" else node
    source, colon, rest = text(node).partition(":")
    if not colon or not source.startswith("."):
        return node
    moved = f"./{posixpath.normpath(posixpath.join(folder, source))}:{rest}"
    return replace(node, data=moved, text=moved)


def _path(node: Node, folder: str) -> Node:
    given = text(node)
    if given.startswith(("/", "~")) or "://" in given:
        return node
    moved = posixpath.normpath(posixpath.join(folder, given))
    return replace(node, data=moved, text=moved)
