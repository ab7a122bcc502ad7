"""Well-formed objects: YAML, kinds, fields, values; and the waivers themselves."""

from __future__ import annotations

import re
from collections.abc import Iterator

from lateen.check.config import WAIVE, waivers_of
from lateen.check.finding import Edit, Hit, Severity
from lateen.check.manifest import Manifest, Path, mapping
from lateen.check.registry import check
from lateen.check.world import World
from lateen.kube import defaults, schemas, validation
from lateen.kube.meta import edit
from lateen.kube.yamltext import Mark

INFO, WARNING, ERROR = Severity.INFO, Severity.WARNING, Severity.ERROR
_REMOVED = {
    ("extensions/v1beta1", "*"): ("1.16 (Ingress: 1.22)", "apps/v1 or networking.k8s.io/v1"),
    ("apps/v1beta1", "*"): ("1.16", "apps/v1"),
    ("apps/v1beta2", "*"): ("1.16", "apps/v1"),
    ("batch/v2alpha1", "*"): ("1.21", "batch/v1"),
    ("batch/v1beta1", "*"): ("1.25", "batch/v1"),
    ("networking.k8s.io/v1beta1", "Ingress"): ("1.22", "networking.k8s.io/v1"),
    ("networking.k8s.io/v1beta1", "IngressClass"): ("1.22", "networking.k8s.io/v1"),
    ("rbac.authorization.k8s.io/v1beta1", "*"): ("1.22", "rbac.authorization.k8s.io/v1"),
    ("rbac.authorization.k8s.io/v1alpha1", "*"): ("1.20", "rbac.authorization.k8s.io/v1"),
    ("apiextensions.k8s.io/v1beta1", "*"): ("1.22", "apiextensions.k8s.io/v1"),
    ("admissionregistration.k8s.io/v1beta1", "ValidatingWebhookConfiguration"): ("1.22", "admissionregistration.k8s.io/v1"),
    ("admissionregistration.k8s.io/v1beta1", "MutatingWebhookConfiguration"): ("1.22", "admissionregistration.k8s.io/v1"),
    ("scheduling.k8s.io/v1beta1", "PriorityClass"): ("1.22", "scheduling.k8s.io/v1"),
    ("storage.k8s.io/v1beta1", "*"): ("1.22 to 1.27", "storage.k8s.io/v1"),
    ("coordination.k8s.io/v1beta1", "Lease"): ("1.22", "coordination.k8s.io/v1"),
    ("policy/v1beta1", "*"): ("1.25", "policy/v1"),
    ("discovery.k8s.io/v1beta1", "*"): ("1.25", "discovery.k8s.io/v1"),
    ("events.k8s.io/v1beta1", "*"): ("1.25", "events.k8s.io/v1"),
    ("autoscaling/v2beta1", "*"): ("1.25", "autoscaling/v2"),
    ("autoscaling/v2beta2", "*"): ("1.26", "autoscaling/v2"),
    ("flowcontrol.apiserver.k8s.io/v1beta2", "*"): ("1.29", "flowcontrol.apiserver.k8s.io/v1"),
    ("flowcontrol.apiserver.k8s.io/v1beta3", "*"): ("1.32", "flowcontrol.apiserver.k8s.io/v1"),
}

# Nothing but the version changed.
_SAME_FIELDS = (
    ("batch/v1beta1", "CronJob"),
    ("policy/v1beta1", "PodDisruptionBudget"),
    ("autoscaling/v2beta2", "HorizontalPodAutoscaler"),
    ("rbac.authorization.k8s.io/v1beta1", "Role"),
    ("rbac.authorization.k8s.io/v1beta1", "ClusterRole"),
    ("rbac.authorization.k8s.io/v1beta1", "RoleBinding"),
    ("rbac.authorization.k8s.io/v1beta1", "ClusterRoleBinding"),
)


def steps(path: str) -> Path:
    """``spec.containers[0].image`` as a path."""
    return tuple(
        int(p[1:-1]) if p.startswith("[") and p[1:-1].isdigit() else p.strip("[]")
        for p in re.findall(r"\[[^\]]*\]|[^.\[\]]+", path)
    )


@check(
    "LT-OBJ-135",
    "API version is removed",
    ERROR,
    why="Kubernetes no longer serves this version: the object is refused.",
    fix="write the object in the version that is served",
)
def removed_api(world: World) -> Iterator[Hit]:
    for m in world.objects:
        version = str(m.data.get("apiVersion"))
        found = _REMOVED.get((version, m.kind)) or _REMOVED.get((version, "*"))
        if found:
            say = f"{version} {m.kind} was removed in Kubernetes {found[0]}; now {found[1]}"
            edits = (Edit(("apiVersion",), found[1]),) if (version, m.kind) in _SAME_FIELDS else ()
            yield Hit(m, ("apiVersion",), say, None, edits)


def _type(m: Manifest) -> schemas.SchemaNode | None:
    group, _, version = str(m.data.get("apiVersion")).rpartition("/")
    return schemas.type_of(group, version, m.kind)


def _problems(world: World, m: Manifest) -> list[schemas.Problem]:
    """What does not fit the object's type; two checks ask."""
    known: dict[int, list[schemas.Problem]] = world.__dict__.setdefault("_problems", {})
    if id(m) not in known:
        node = _type(m)
        known[id(m)] = list(schemas.problems(node, m.data)) if node else []
    return known[id(m)]


@check(
    "LT-OBJ-136",
    "field is unknown or of the wrong type",
    ERROR,
    why="Kubernetes drops an unknown field (what it should do does not happen), and refuses a value of the wrong type.",
    fix="correct the field's name, place or value (kubectl explain KIND)",
)
def wrong_field(world: World) -> Iterator[Hit]:
    for m in world.objects:
        for p in _problems(world, m):
            yield Hit(m, steps(str(p.path)), p.message)


# What a check of its own says better: LT-REL-236, -130, -125, LT-CAP-243.
_ELSEWHERE = re.compile(
    r"volumeMounts\[\d+\]\.name: Not found|`selector` does not match|restartPolicy: (Unsupported|Required)|"
    r"must be less than or equal to \w+ limit"
)


@check(
    "LT-OBJ-137",
    "value is not valid",
    ERROR,
    why="The API server refuses the object.",
    fix="correct the value",
)
def wrong_value(world: World) -> Iterator[Hit]:
    for m in world.objects:
        if _type(m) is None or _problems(world, m) or not isinstance(m.data.get("metadata"), dict):
            continue
        obj = edit(m.data)
        if not m.namespace:
            obj.setdefault("metadata", {})["namespace"] = "default"
        try:
            defaults.apply(obj)
            found = validation.validate(obj)
        except (KeyError, TypeError, AttributeError, ValueError):
            continue  # shapes that only the API server's order of steps makes whole
        for e in found:
            if not e.field.startswith(("metadata.namespace", "metadata.generateName", "status")) and not _ELSEWHERE.search(str(e)):
                yield Hit(m, steps(e.field), str(e))


@check(
    "LT-OBJ-253",
    "not YAML",
    ERROR,
    why="Nothing in the file can be applied.",
    fix="correct the text at the place",
)
def broken(world: World) -> Iterator[Hit]:
    for source, error in world.broken:
        place = re.search(r":(\d+):(\d+)$", error.where or "")
        mark = Mark(source, int(place.group(1)) - 1, int(place.group(2)) - 1) if place else Mark(source, 0, 0)
        yield Hit(Manifest({}, lambda _, at=mark: at, source=source.name), (), error.message)  # type: ignore[misc]


@check(
    "LT-OBJ-254",
    "object is defined twice",
    WARNING,
    why="The one that is applied last wins: which one that is depends on the order of files.",
    fix="keep one",
)
def twice(world: World) -> Iterator[Hit]:
    if world.live:
        return
    first: dict[tuple[str, str, str, str], Manifest] = {}
    for m in world.objects:
        key = (m.group, m.kind, m.namespace, m.name)
        if m.metadata.get("name") and key in first:
            yield Hit(m, ("metadata", "name"), f"{m} is also defined in {first[key].source}")
        first.setdefault(key, m)


@check(
    "LT-OBJ-138",
    "owner is not named",
    WARNING,
    why="When it breaks at night nobody knows whom to call.",
    fix="add one of the labels of settings.owner_labels",
)
def no_owner(world: World) -> Iterator[Hit]:
    wanted = world.settings.owner_labels
    for w in world.workloads if wanted else ():
        if not any(k in (*w.manifest.labels, *w.manifest.annotations) for k in wanted):
            yield Hit(w.manifest, ("metadata", "labels"), f"{w} has none of the labels {', '.join(wanted)}")


@check(
    "LT-OBJ-255",
    "waiver is not valid",
    WARNING,
    why="A waiver without a reason, or after its date, waives nothing.",
    fix="ID reason until=YYYY-MM-DD",
    needs="time",
)
def waivers(world: World) -> Iterator[Hit]:
    for m in world.objects:
        if WAIVE not in m.annotations or world.now is None:
            continue
        path = ("metadata", "annotations", WAIVE)
        good, bad = waivers_of(m.annotations[WAIVE])
        yield from (Hit(m, path, f"the waiver is not valid: {text}") for text in bad)
        yield from (Hit(m, path, f"the waiver of {w.id} ended on {w.until}") for w in good if w.ended(world.now.date()))


@check(
    "LT-OBJ-256",
    "template text in a manifest",
    ERROR,
    why="A placeholder that nobody filled in is applied as it stands.",
    fix="render the template before applying it",
)
def placeholder(world: World) -> Iterator[Hit]:
    form = re.compile(r"\{\{[^}]*\}\}|^<[A-Z_ -]{3,}>$|\bCHANGE[_-]?ME\b|\bREPLACE[_-]?ME\b|\bTODO\b")
    for w in world.workloads:
        for c in w.containers:
            values = [(("image",), c.image), *((("env", i, "value"), str(e.get("value", ""))) for i, e in enumerate(c.env))]
            for path, text in values:
                if found := form.search(text):
                    yield Hit(w.manifest, (*c.path, *path), f"a placeholder was not filled in: {found.group(0)}")
    for m in world.kind("ConfigMap", "Secret"):
        for key, value in {**mapping(m.data.get("data")), **mapping(m.data.get("stringData"))}.items():
            if "\n" not in str(value) and (
                found := re.search(r"\bCHANGE[_-]?ME\b|\bREPLACE[_-]?ME\b|^<[A-Z_ -]{3,}>$", str(value))
            ):
                path = ("data" if key in mapping(m.data.get("data")) else "stringData", key)
                yield Hit(m, path, f"a placeholder was not filled in: {found.group(0)}")
