"""Why a field of a rendered object is what it is: which values of the application's files decide it.

Nothing is annotated: a value decides a field if the field changes when the value does. So each value is taken away, or changed,
the application is judged and rendered again, and the field is looked at. What no value changes is a rule or default of lateen's.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lateen.errors import InputError, LateenError
from lateen.kube.meta import Object
from lateen.kube.yamltext import Node
from lateen.model import Application, again
from lateen.model.origins import Path, instead, leaves, place, without

Ref = tuple[str, str]
Rendering = Callable[[Application], Sequence[Object]]
_STEP = re.compile(r"\.?(?:\[(?P<index>[^\]]*)\]|(?P<name>(?:\\.|[^.\[\\])+))")
_IDENTITIES = ("name", "containerPort", "port", "mountPath", "type", "key")
_DEFAULTS = (
    (r"securityContext|automountServiceAccountToken|pod-security", "security.profile", "restricted"),
    (r"^spec\.replicas$|minReplicas", "replicas", "1"),
    (
        r"strategy|updateStrategy|minReadySeconds|progressDeadline|revisionHistoryLimit",
        "rollout",
        "rolling",
    ),
    (r"Probe", "health", "none"),
    (r"topologySpreadConstraints|^spec\.(max|min)(Un)?[aA]vailable", "availability", "spread over hosts"),
    (r"volumes|volumeMounts", "security.readOnlyRoot", "true, with a scratch volume"),
    (r"terminationGracePeriodSeconds|lifecycle", "hooks.preStop", "none"),
    (r"resources", "resources", "none"),
    (r"parentRefs|gatewayClassName|listeners", "gateways.default", "one gateway, port 80"),
    (r"ingress|egress|policyTypes|podSelector", "policies.network", "deny"),
)


@dataclass(frozen=True, slots=True)
class Cause:
    """A value that decides the field, by its path in the model, and where it stands."""

    path: str
    where: str
    value: Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """Of one object's field: its value, the values that decide it, the nearest first; else which default or rule it comes from."""

    object: str
    field: str
    value: Any
    causes: tuple[Cause, ...]
    default: str = ""


def parse(text: str) -> Path:
    """``spec.containers[web].image`` as steps: names, indexes, names of items. A dot in a name is written ``\\.``. InputError."""
    steps: list[str | int] = []
    end = 0
    for match in _STEP.finditer(text):
        if match.start() != end:
            break
        end = match.end()
        if (index := match["index"]) is not None:
            steps.append(int(index) if index.isdigit() else index)
        else:
            steps.append(re.sub(r"\\(.)", r"\1", match["name"]))
    if end != len(text) or not steps:
        raise InputError(f"{text!r} is no path of a field", hint="such as spec.replicas or spec.template.spec.containers[0].image")
    return tuple(steps)


def look(found: Any, path: Path) -> Any:
    """The value at ``path``. A list's item is named by its number or by its name. KeyError."""
    for step in path:
        if isinstance(found, dict) and str(step) in found:
            found = found[str(step)]
        elif isinstance(found, list):
            found = _item(found, step)
        else:
            raise KeyError(step)
    return found


def _item(found: list[Any], step: str | int) -> Any:
    if isinstance(step, int) and step < len(found):
        return found[step]
    for one in found:
        if isinstance(one, dict) and any(str(one.get(k)) == str(step) for k in _IDENTITIES):
            return one
    raise KeyError(step)


def why(app: Application, render: Rendering, ref: Ref, path: Path) -> Answer:
    """What decides the field at ``path`` of the object ``ref`` (kind, name). KeyError if there is no such field."""
    value = look(_objects(app, render)[ref], path)
    candidates = [*_candidates(app, ref)]
    causes = [c for leaf, node in candidates for c in _cause(app, render, ref, path, (leaf, node), value)]
    causes.sort(key=lambda c: (c.value != value, -_alike(c.path, path)))
    written = ".".join([f"[{s}]" if isinstance(s, int) else s for s in path]).replace(".[", "[")
    default = "" if causes else _default(written, _service(app, ref[1]))
    return Answer(object=f"{ref[0]}/{ref[1]}", field=written, value=value, causes=tuple(causes), default=default)


def _objects(app: Application, render: Rendering) -> Mapping[Ref, Object]:
    return {(o["kind"], o["metadata"]["name"]): o for o in render(app)}


def _service(app: Application, name: str) -> str:
    """The service that an object of this name belongs to: ``web-public`` is web's."""
    return max((n for n in app.services if name == n or name.startswith(f"{n}-")), key=len, default="")


def _candidates(app: Application, ref: Ref) -> Iterator[tuple[Path, Node]]:
    """The values that may matter: the service's own and the application's first, then what other services say of it."""
    service = _service(app, ref[1])
    for path, node in leaves(app.tree):
        if path[:1] == ("services",):
            own = len(path) > 1 and path[1] == service
            of_it = service in path[2:] or (len(path) > 2 and path[2] in ("needs", "routes"))
            if own or of_it or not service:
                yield path, node
        elif path[:1] == ("environments",):
            if path[1:2] == (app.environment,):
                yield path, node
        elif path[:1] not in (("defaults",), ("pipeline",), ("gitops",), ("include",)):
            yield path, node


def _cause(app: Application, render: Rendering, ref: Ref, path: Path, leaf: tuple[Path, Node], value: Any) -> Iterator[Cause]:
    at, node = leaf
    for tree in _variants(app.tree, at, node):
        try:
            other = again(app, tree)
            objects = _objects(other, render)
        except (LateenError, ExceptionGroup, KeyError):
            continue  # such an application is none: another variant tells
        if _differs(objects.get(ref), path, value):
            yield Cause(".".join(map(str, at)), place(node), node.data)
            return


def _differs(found: Object | None, path: Path, value: Any) -> bool:
    if found is None:
        return False  # the object itself went: that says nothing of the field
    try:
        return bool(look(found, path) != value)
    except KeyError:
        return True


def _variants(tree: Node, path: Path, node: Node) -> Iterator[Node]:
    """The tree with another value, then without it."""
    for data in _others(node.data):
        yield instead(tree, path, data)
    yield without(tree, path)


def _others(data: Any) -> Iterator[Any]:
    """Values of the same kind."""
    if isinstance(data, bool):
        yield not data
    elif isinstance(data, int | float):
        yield data + 1
        yield max(data - 1, 1)
    elif isinstance(data, str):
        number = re.search(r"\d+", data)
        if number is not None:
            yield f"{data[: number.start()]}{int(number[0]) + 1}{data[number.end() :]}"
        yield f"{data}x"


def _alike(path: str, field: Path) -> int:
    """How many words a path of the model shares with the field's."""
    words = set(re.findall(r"[a-z]+", path.lower()))
    return len(words & set(re.findall(r"[a-z]+", " ".join(map(str, field)).lower())))


def _default(field: str, service: str) -> str:
    """Which default of the model, or that it is a rule of lateen's, in words."""
    for pattern, name, value in _DEFAULTS:
        if re.search(pattern, field):
            at = name if not service or name.startswith(("gateways", "policies")) else f"services.{service}.{name}"
            return f"the default of {at}: {value}"
    return "a rule of lateen's: no line of the files changes it"
