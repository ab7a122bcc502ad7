"""Score files (score.dev/v1b1) as an application: a workload each becomes a service; resources of known types become resources.

References ``${resources.NAME.OUTPUT}`` become the model's own; ``${metadata.KEY}`` is replaced at once. Containers beyond the first
are sidecars, or init containers where the first waits for them to complete.
"""

from __future__ import annotations

import base64
import posixpath
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from lateen.adopt.nodes import Imported, Loss, filled, made
from lateen.adopt.software import protocol_of
from lateen.adopt.world import World
from lateen.kube.yamltext import Node, Source, documents, fault, plain
from lateen.model.problems import nearest
from lateen.model.types import slug

_FIELDS = {
    "": ("apiVersion", "metadata", "containers", "service", "resources"),
    "container": (
        "image",
        "command",
        "args",
        "variables",
        "files",
        "volumes",
        "resources",
        "livenessProbe",
        "readinessProbe",
        "before",
    ),
}
_TYPES = {
    "postgres": "postgres",
    "postgres-instance": "postgres",
    "mysql": "mysql",
    "redis": "redis",
    "mongodb": "mongodb",
    "s3": "s3",
}
_TYPES |= {"amqp": "rabbitmq", "rabbitmq": "rabbitmq", "nats": "nats", "kafka": "kafka", "kafka-topic": "kafka"}
_OUTPUTS = {"username": "user", "name": "database", "vhost": "database", "connection": "url", "uri": "url"}
_TOKEN = re.compile(r"\$(\$|\{([^}]*)\})")
SIZE = "1Gi"


@dataclass(slots=True)
class _Workload:
    """One file, while it is read."""

    name: str
    tree: Node
    world: World
    resources: dict[str, Node]
    losses: list[Loss]
    ports: Mapping[str, Sequence[str]]
    needs: dict[str, Any] = field(default_factory=dict)

    def lose(self, node: Node, what: str, why: str) -> None:
        """Record what is not carried."""
        self.losses.append(Loss(str(node.key or node.mark), f"{self.name}: {what}", why))


def read(sources: Sequence[Source], world: World, *, folder: str) -> Imported:
    """The application of all the files; ``folder`` names it if they are several. InputError, with the place in the file."""
    trees = [_tree(s) for s in sources]
    names = [_name(t) for t in trees]
    ports = {n: list(_map(_get(t, "service", "ports"))) for n, t in zip(names, trees, strict=True)}
    services: dict[str, Any] = {}
    resources: dict[str, Any] = {}
    losses: list[Loss] = []
    for name, tree in zip(names, trees, strict=True):
        work = _Workload(name, tree, world, _map(tree.get("resources")), losses, ports)
        if name in services:
            raise fault(f"two files are the workload {name!r}", tree.mark)
        resources |= _resources(work)
        services[name] = made(_service(work), tree)
    title = names[0] if len(names) == 1 else slug(folder)
    if title in services and len(names) == 1 and resources.keys() & {title}:
        title = f"{title}-app"
    return Imported(made(filled({"name": title, "services": services, "resources": resources}), trees[0]), losses)


def _tree(source: Source) -> Node:
    found = documents(source)
    if len(found) != 1 or not isinstance(found[0].data, dict):
        raise fault("a Score file holds one document, a map", found[0].mark) if found else _nothing(source)
    tree = found[0]
    version = tree.get("apiVersion")
    if version is None or version.data != "score.dev/v1b1":
        raise fault("lateen reads Score files of apiVersion score.dev/v1b1", (version or tree).mark)
    _known(tree, "")
    return tree


def _nothing(source: Source) -> Exception:
    from lateen.errors import InputError

    return InputError("the file is empty", where=source.name)


def _known(node: Node, kind: str) -> None:
    for name, value in _map(node).items():
        if name not in _FIELDS[kind]:
            raise fault(f"a Score {kind or 'file'} has no field {name!r}", value.key or value.mark, nearest(name, _FIELDS[kind]))


def _map(node: Node | None) -> dict[str, Node]:
    if node is None or node.data is None:
        return {}
    if not isinstance(node.data, dict):
        raise fault("expected a map", node.mark)
    found: dict[str, Node] = node.data
    return found


def _get(node: Node, *path: str) -> Node | None:
    found: Node | None = node
    for step in path:
        found = found.get(step) if found is not None else None
    return found


def _text(node: Node | None) -> str:
    return "" if node is None or node.data is None else node.data if isinstance(node.data, str) else node.text


def _name(tree: Node) -> str:
    name = _get(tree, "metadata", "name")
    if name is None:
        raise fault("metadata.name is missing", tree.mark)
    return _text(name)


def _resources(work: _Workload) -> dict[str, Any]:
    """Databases and queues, by the name that the application has for them."""
    found = {}
    for name, node in work.resources.items():
        kind = _text(node.get("type"))
        if kind in _TYPES:
            title = _shared(name, node)
            if title in work.ports:
                raise fault(f"{title!r} is both a workload and a resource", node.key or node.mark, "give the resource another name")
            found[title] = made({"type": _TYPES[kind]}, node)
            if node.get("params") is not None:
                work.lose(node, f"params of resource {name}", "lateen runs the official image with its own settings")
        elif kind not in ("service-port", "volume", "route", "dns", "environment", "service"):
            work.lose(node, f"resource {name} of type {kind}", "lateen does not provide it: say its outputs as variables")
    return found


def _shared(name: str, node: Node) -> str:
    """Resources with one id are one."""
    return slug(_text(node.get("id")) or name)


def _service(work: _Workload) -> dict[str, Any]:
    containers = _map(work.tree.get("containers"))
    if not containers:
        raise fault("containers is missing", work.tree.mark)
    (_, main), *others = containers.items()
    for node in containers.values():
        _known(node, "container")
    fields = _container(work, main)
    fields["ports"] = _ports(work, _text(main.get("image")))
    fields["config"] = _files(work, main)
    fields["storage"] = _volumes(work, main)
    fields["health"] = _health(work, main)
    before = {n for n, c in containers.items() if _waited(c) == "complete"}
    fields["sidecars"] = {n: _inner(work, n, c) for n, c in others if n not in before}
    fields["init"] = {n: _inner(work, n, c) for n, c in others if n in before}
    fields["routes"] = _routes(work)
    fields["annotations"] = _map(_get(work.tree, "metadata", "annotations"))
    if fields["storage"]:
        fields["kind"] = "stateful"
    fields["needs"] = work.needs
    return filled(fields)


def _container(work: _Workload, node: Node) -> dict[str, Any]:
    image = _text(node.get("image"))
    fields: dict[str, Any] = {
        "image": node.get("image") if image != "." else None,
        "command": [made(_expanded(work, _text(c), c), c) for c in _list(node.get("command"))],
        "args": [made(_expanded(work, _text(a), a), a) for a in _list(node.get("args"))],
        "env": {k: made(_expanded(work, _text(v), v), v) for k, v in _map(node.get("variables")).items()},
        "resources": _limits(node),
    }
    if image == ".":
        fields["build"] = "."
    return filled(fields)


def _inner(work: _Workload, name: str, node: Node) -> dict[str, Any]:
    for part in ("files", "volumes", "livenessProbe", "readinessProbe"):
        if (found := node.get(part)) is not None:
            work.lose(found, f"{part} of container {name}", "further containers see the files and volumes of the first")
    fields = _container(work, node)
    fields.pop("build", None)
    return fields


def _list(node: Node | None) -> list[Node]:
    return list(node.data) if node is not None and isinstance(node.data, list) else []


def _waited(node: Node) -> str:
    """What a container must have reached before others start: ``before: {NAME: {ready: complete}}``."""
    before = node.get("before")
    if before is None:
        return ""
    entries = [e.get("ready") for e in (_list(before) or _map(before).values()) if isinstance(e.data, dict)]
    return next((_text(e) for e in (before.get("ready"), *entries) if e is not None), "")


def _limits(node: Node) -> dict[str, Any]:
    low, high = _map(_get(node, "resources", "requests")), _map(_get(node, "resources", "limits"))
    result = {}
    for name in ("cpu", "memory"):
        request, limit = _text(low.get(name)), _text(high.get(name))
        result[name] = f"{request or limit}..{limit}" if limit else request
    return filled(result)


def _ports(work: _Workload, image: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, node in _map(_get(work.tree, "service", "ports")).items():
        number, target = node.get("port"), node.get("targetPort")
        if number is None:
            raise fault(f"service.ports.{name} needs a port", node.mark)
        inside = _text(target) or _text(number)
        udp = _text(node.get("protocol")).upper() == "UDP"
        spoken = "udp" if udp else "http" if name in ("http", "web", "www") else "grpc" if name == "grpc" else ""
        spoken = spoken or (protocol_of(int(inside), None) if inside.isdigit() else "tcp")
        entry = {"port": number, "target": target, "protocol": spoken if spoken != "http" else None}
        title = slug(name)[:15].strip("-")
        found[title if re.search("[a-z]", title) else f"port-{title}"] = made(filled(entry), node)
    return found


def _entries(node: Node | None) -> Iterator[tuple[str, Node]]:
    """Files and volumes are maps by path, or lists with a target."""
    for item in _list(node):
        yield _text(item.get("target")), item
    if node is not None and isinstance(node.data, dict):
        yield from node.data.items()


def _files(work: _Workload, main: Node) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for path, node in _entries(main.get("files")):
        as_is = _text(node.get("noExpand")).lower() == "true"
        if (source := node.get("source")) is not None:
            raw = work.world.read(_text(source))
            if raw is None:
                raise fault(f"there is no file {_text(source)!r}", source.mark)
            entry: dict[str, Any] = {"source": source}
            if not as_is and b"${" in raw:
                entry = {"content": _substituted(work, raw.decode(errors="replace"), source)}
        elif (binary := node.get("binaryContent")) is not None:
            try:
                entry = {"content": base64.b64decode(_text(binary), validate=True).decode()}
            except ValueError:
                work.lose(binary, f"the file {path}", "its content is no text: put it into a file, and name that as source")
                continue
        else:
            content = _list(node.get("content"))
            text = "\n".join(_text(c) for c in content) if content else _text(node.get("content"))
            entry = {"content": text if as_is else _substituted(work, text, node)}
        mode = {"mode": _text(node.get("mode"))} if node.get("mode") is not None else {}
        found[posixpath.normpath(path)] = made(entry | mode, node)
    return found


def _volumes(work: _Workload, main: Node) -> dict[str, Any]:
    found = {}
    for path, node in _entries(main.get("volumes")):
        match = re.fullmatch(r"\$\{resources\.([^}.]+)\}|(.+)", _text(node.get("source")))
        name = (match[1] or match[2]) if match else ""
        if name not in work.resources:
            raise fault(f"there is no resource {name!r}", node.mark, nearest(name, work.resources))
        params = work.resources[name].get("params")
        size = _text(params.get("size")) if params is not None else ""
        found[posixpath.normpath(path)] = made({"size": size or SIZE}, node)
        for part in ("path", "readOnly"):
            if (unsaid := node.get(part)) is not None:
                work.lose(unsaid, f"{part} of the volume at {path}", "the whole volume is mounted, and can be written")
    return found


def _health(work: _Workload, main: Node) -> dict[str, Any]:
    found = {}
    for word, name in (("ready", "readinessProbe"), ("live", "livenessProbe")):
        probe = main.get(name)
        if probe is None:
            continue
        get, command = probe.get("httpGet"), _get(probe, "exec", "command")
        if get is not None:
            found[word] = made({"get": f"{_text(get.get('path')) or '/'}:{_text(get.get('port'))}"}, get)
            for part in ("host", "httpHeaders"):
                if (unsaid := get.get(part)) is not None:
                    work.lose(unsaid, f"{name}.httpGet.{part}", "say it in a patch")
            if _text(get.get("scheme")) == "HTTPS":
                work.lose(get, f"{name}.httpGet.scheme", "checks speak HTTP: say it in a patch")
        elif command is not None:
            found[word] = made({"exec": [_text(c) for c in _list(command)]}, probe)
    return found


def _routes(work: _Workload) -> list[Any]:
    found = []
    for name, node in work.resources.items():
        if _text(node.get("type")) != "route":
            continue
        params = _map(node.get("params"))
        host = _text(params.get("host"))
        port = _text(params.get("port"))
        if "${" in host:
            host = ""
            work.lose(node, f"the host of route {name}", "it is made by a provisioner: the route matches every host")
        ports = _map(_get(work.tree, "service", "ports"))
        title = next((n for n, p in ports.items() if n == port or _text(p.get("port")) == port), None)
        found.append(made(filled({"host": host, "path": _text(params.get("path")) or "/", "port": title}), node))
    return found


def _expanded(work: _Workload, text: str, place: Node) -> str:
    """A variable or an argument with the model's references in the place of Score's."""
    return _replaced(work, text.replace("$(", "$$("), place, "$${")


def _substituted(work: _Workload, text: str, place: Node) -> str:
    """The content of a file, where no reference of the model can stand."""
    return _replaced(work, text, place, "${", file=True)


def _replaced(work: _Workload, text: str, place: Node, escape: str, *, file: bool = False) -> str:
    def one(match: re.Match[str]) -> str:
        if match[1] == "$":
            return "$"
        value = _reference(work, match[2], place)
        if file and value.startswith("${"):
            work.lose(place, f"${{{match[2]}}} in a file", "files are the same for every pod: pass it as a variable")
            return match[0]
        return value

    return _TOKEN.sub(one, re.sub(r"\$\$\{", lambda _: "\0", text)).replace("\0", escape)


def _reference(work: _Workload, text: str, place: Node) -> str:
    root, _, rest = text.partition(".")
    if root == "metadata":
        value = plain(_get(work.tree, "metadata", *rest.split(".")) or Node(None, place.mark))
        if value is None:
            raise fault(f"there is no {text}", place.mark)
        return str(value)
    name, _, output = rest.partition(".")
    if root != "resources" or name not in work.resources:
        raise fault(f"${{{text}}} refers to nothing", place.mark, nearest(name, work.resources) if root == "resources" else "")
    node = work.resources[name]
    kind = _text(node.get("type"))
    if kind in _TYPES:
        title = _shared(name, node)
        work.needs.setdefault(title, {})
        return f"${{resources.{title}.{_OUTPUTS.get(output, output)}}}"
    if kind in ("service-port", "service"):
        return _of_service(work, node, output, place)
    if kind == "environment" and output in work.world.variables:
        return work.world.variables[output].replace("${", "$${")
    why = "it is not set here" if kind == "environment" else f"lateen does not provide outputs of {kind}"
    work.lose(place, f"${{{text}}}", f"{why}: the value is empty")
    return ""


def _of_service(work: _Workload, node: Node, output: str, place: Node) -> str:
    params = _map(node.get("params"))
    other, port = _text(params.get("workload")), _text(params.get("port"))
    if other not in work.ports:
        work.lose(place, f"the workload {other}", "its file was not given: name all Score files of the application")
        return ""
    part = {"hostname": "host", "host": "host", "name": "host", "port": "port", "url": "url"}.get(output)
    if part is None:
        raise fault(f"a service has no output {output!r}", place.mark, nearest(output, ("hostname", "port", "url")))
    if port and port not in work.ports[other]:
        raise fault(f"{other} has no port {port!r}", node.mark, nearest(port, work.ports[other]))
    if other != work.name:
        work.needs.setdefault(other, {"order": "none"})
    return f"${{services.{other}.{slug(port)[:15]}.{part}}}" if port else f"${{services.{other}.{part}}}"
