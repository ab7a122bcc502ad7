"""Who calls whom, and by which port: what variables, commands, files and Dockerfiles tell, since ``ports`` seldom do."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable, Iterator

from lateen.adopt.compose.mounts import volume
from lateen.adopt.compose.values import items, mapping, pairs, text
from lateen.adopt.world import World
from lateen.kube.yamltext import Node

Ports = dict[int, str]
_HOSTS = re.compile(r"(HOST|HOSTNAME|SERVER|SERVERS|ADDR|ADDRESS|ENDPOINT|BROKER|BROKERS|URL|URI|UPSTREAM|BACKEND)$", re.IGNORECASE)
_SPOKEN = {"http": "http", "ws": "http", "grpc": "grpc", "https": "tls"}
_EXPOSE = re.compile(r"^\s*EXPOSE\s+(.+)$", re.IGNORECASE | re.MULTILINE)
_LARGEST = 200_000


def _words(node: Node) -> Iterator[tuple[str, str]]:
    """Variables, and the words of commands, with the names of the variables."""
    for name, value in pairs(node.get("environment")):
        yield name, value.data if isinstance(value.data, str) else value.text
    for field in ("command", "entrypoint"):
        yield from (("", text(n)) for n in items(node.get(field)))


def _files(node: Node, tree: Node, world: World) -> Iterator[str]:
    """Configuration files that the service mounts."""
    sources = []
    for entry in items(node.get("volumes")):
        kind, source, _, _ = volume(entry)
        if kind == "bind":
            sources.append(source)
    declared = mapping(tree.get("configs"))
    for entry in items(node.get("configs")):
        found = declared.get(text(entry.get("source")) if isinstance(entry.data, dict) else text(entry))
        if found is not None and found.get("content") is not None:
            yield text(found.get("content"))
        elif found is not None and found.get("file") is not None:
            sources.append(text(found.get("file")))
    for source in sources:
        raw = world.read(source)
        if raw is not None and len(raw) < _LARGEST:
            yield raw.decode(errors="replace")


def called(services: dict[str, Node], tree: Node, world: World) -> dict[str, Ports]:
    """By service: the ports that others call it by, and that its Dockerfile names, with what is spoken where that is said."""
    found = {name: _exposed(node, world) for name, node in services.items()}
    if not services:
        return found
    pattern = re.compile(rf"(?:(\w+)://)?(?:[^\s/@,]*@)?(?<![\w.-])({'|'.join(map(re.escape, services))}):(\d{{2,5}})\b")
    for name, node in services.items():
        for value in (*(v for _, v in _words(node)), *_files(node, tree, world)):
            for scheme, other, port in pattern.findall(value):
                if other != name and 0 < int(port) < 65536:
                    found[other][int(port)] = found[other].get(int(port)) or _SPOKEN.get(scheme, "")
    return found


def _exposed(node: Node, world: World) -> Ports:
    build = node.get("build")
    if build is None or build.data is None:
        return {}
    long = isinstance(build.data, dict)
    context, file = (text(build.get("context")) or ".", text(build.get("dockerfile"))) if long else (text(build), "")
    raw = world.read(posixpath.join(context, file or "Dockerfile"))
    words = [w for line in _EXPOSE.findall(raw.decode(errors="replace")) for w in line.split()] if raw is not None else []
    return {
        int(w.removesuffix("/tcp")): ""
        for w in words
        if w.removesuffix("/tcp").isdigit() and 0 < int(w.removesuffix("/tcp")) < 65536
    }


def mentioned(node: Node, services: Iterable[str], tree: Node, world: World) -> list[str]:
    """Services that the service calls: by ``//NAME``, ``NAME:80``, or as the value of a variable like DB_HOST."""
    words, files = list(_words(node)), list(_files(node, tree, world))
    found = []
    for name in services:
        host = re.compile(rf"(?:(?://|@)|(?<![\w./-])(?={re.escape(name)}:\d)){re.escape(name)}(?![\w.-])")
        alone = any(_HOSTS.search(variable) and value == name for variable, value in words)
        if alone or any(host.search(v) for v in (*(v for _, v in words), *files)):
            found.append(name)
    return found
