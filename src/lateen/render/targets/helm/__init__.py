"""An idiomatic Helm chart: values per service, a schema that refuses typos, helpers, notes, a test, a values file per environment.

``helm template -f values-prod.yaml`` gives what plain rendering gives for prod. ``marks`` decides what is a value anyway, ``weave``
makes values of what differs between environments, ``holes`` writes templates, ``chart`` has the texts of every chart.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from itertools import count
from typing import Any

from lateen.kube.meta import Object
from lateen.kube.yamltext import dump
from lateen.render.names import content_hash
from lateen.render.targets.graph import FOREIGN, RESOURCE, SERVICE, Graph, Owner, Variant, by_owner
from lateen.render.targets.hashed import stems
from lateen.render.targets.helm import chart, values
from lateen.render.targets.helm.holes import Holes, quoted, reference
from lateen.render.targets.helm.marks import COMPONENT, WORKLOADS, Marker, main_container, plain_variables, pod_template, root_of
from lateen.render.targets.helm.weave import Path, Weaver

_BASE = ""
Versions = dict[str, Object]


@dataclass(slots=True)
class _Chart:
    """A chart in the making."""

    name: str
    variants: Mapping[str, Variant]
    holes: Holes = field(default_factory=Holes)
    trees: dict[str, values.Tree] = field(default_factory=dict)
    files: dict[str, str] = field(default_factory=dict)


def write(graph: Graph) -> dict[str, str]:
    """Every file of the chart."""
    variants = {_BASE: graph.base, **graph.environments}
    made = _Chart(graph.base.app.name, variants, trees={e: {"namespace": {"create": False}} for e in variants})
    groups = {e: by_owner(v.objects, v.app) for e, v in variants.items()}
    for who in sorted({who for g in groups.values() for who in g}):
        _owner(made, who, {e: g.get(who, []) for e, g in groups.items()})
    for tree in made.trees.values():
        for key in [k for k, v in tree.items() if v == {}]:
            if not any(t.get(key) for t in made.trees.values()):
                del tree[key]
    base = made.trees[_BASE]
    if tests := chart.tests([v.app for v in variants.values()]):
        for tree in made.trees.values():
            tree["tests"] = tests
    made.files["values.yaml"] = chart.VALUES + dump([base])
    made.files["values.schema.json"] = chart.json_text(values.schema(list(made.trees.values())))
    for name in graph.environments:
        made.files[f"values-{name}.yaml"] = dump([values.difference(base, made.trees[name])])
    return made.files | chart.files(graph.base.app, base)


def _owner(made: _Chart, who: Owner, objects: Mapping[str, list[Object]]) -> None:
    """The templates of one service, resource, or of the rest."""
    root, variable = root_of(who)
    present = {e for e, found in objects.items() if found}
    for tree in made.trees.values():
        values.ensure(tree, root)
    if who.kind in (SERVICE, RESOURCE):
        for environment, tree in made.trees.items():
            values.put(tree, (*root, "enabled"), environment in present)
    names = _names(made, who, objects, variable)
    found: dict[tuple[str, ...], Versions] = {}
    for environment, own in objects.items():
        for one in own:
            found.setdefault(_key(one, names, made.variants[environment]), {})[environment] = one
    kinds = [key[1] for key in found]
    for key, versions in found.items():
        _template(made, who, names, versions, present, several=kinds.count(key[1]) > 1)


def _marker(made: _Chart, who: Owner, environment: str, origin: str, names: Mapping[str, str], tree: values.Tree) -> Marker:
    root, variable = root_of(who)
    return Marker(
        holes=made.holes,
        environment=environment,
        variant=made.variants[origin],
        owner=who,
        variable=variable,
        tree=tree,
        root=root,
        names=names,
        variables={name for v in made.variants.values() for name in plain_variables(v, who)},
    )


def _names(made: _Chart, who: Owner, objects: Mapping[str, list[Object]], variable: str) -> dict[str, str]:
    """Code for names that end in a hash: they change with the values that they are made of."""
    if who.kind != SERVICE:
        return {}
    found: dict[str, dict[str, str]] = {}  # stem to names
    config: set[str] = set()
    seeds: dict[str, list[Any]] = {}
    for one in objects.values():
        own = stems([o for o in one if o["kind"] == "Job" or o.get("immutable")], "ConfigMap", "Job")
        config |= {o["metadata"]["name"] for o in one if o["kind"] == "ConfigMap" and o["metadata"]["name"] in own}
        for name, stem in own.items():
            found.setdefault(stem, {})[name] = stem
        for o in one:
            if stem := own.get(o["metadata"]["name"], ""):
                seeds.setdefault(stem, []).append(o.get("binaryData") if o["kind"] == "ConfigMap" else o["metadata"]["name"])
    result: dict[str, str] = {}
    for stem, names in found.items():
        what = reference(variable, ("config",)) if config & names.keys() else f'(omit {variable} "enabled" "replicas")'
        seed = content_hash(*sorted({repr(s) for s in seeds[stem]}))
        code = f'include "{made.name}.hashed" (list {quoted(stem)} {quoted(seed)} {what})'
        result |= dict.fromkeys(names, made.holes.value(code))
    return result


def _key(found: Object, names: Mapping[str, str], variant: Variant) -> tuple[str, ...]:
    """What the versions of an object have in common: not the namespace in its name, not a hash."""
    name, space = found["metadata"]["name"], variant.app.namespace
    if found["kind"] in ("Namespace", "PriorityClass") and (name == space or name.startswith(f"{space}-")):
        name = name[len(space) :]
    foreign = found["metadata"].get("namespace", "") if found["metadata"].get("namespace") != space else ""
    return found["apiVersion"].rpartition("/")[0], found["kind"], names.get(name, name), foreign


def _template(
    made: _Chart, who: Owner, names: Mapping[str, str], versions: Versions, present: Collection[str], *, several: bool
) -> None:
    (origin, first), (root, variable) = next(iter(versions.items())), root_of(who)
    title = first["metadata"]["name"]
    stem = re.sub(r"-[0-9a-f]{10}$", "", title) if title in names else title
    kind = re.sub(r"^[A-Z]+(?=[A-Z][a-z])|^[A-Z]", lambda m: m[0].lower(), first["kind"])
    group: Path = (kind, stem) if several else (kind,)
    # Where an environment has not the object, it has the values of another, so that it can be switched on there.
    trees = {e: tree if e in versions else {} for e, tree in made.trees.items()}
    marked = {e: versions.get(e, first) for e in made.variants}
    if who.kind != FOREIGN:
        annotated = any(_annotated(o) for o in versions.values())
        with_env = any(_has_variables(o, who) for o in versions.values())
        for e, one in marked.items():
            marker = _marker(made, who, e, e if e in versions else origin, names, trees[e])
            marked[e] = replace(marker, annotated=annotated, with_env=with_env).marked(one)
    weaver = Weaver(
        holes=made.holes,
        trees=trees,
        root=root,
        variable=variable,
        place=lambda path: _place(path, who, first, group),
        always=[("replicas",)],
    )
    text = made.holes.template([weaver.weave(marked)])
    for environment in made.trees.keys() - versions.keys():
        # Not into what other objects of the service share: a variable that is not there must not come to be.
        only = None if environment not in present else (group[0], "hooks")
        values.fill(made.trees[environment], values.under(trees[environment], root, only))
    conditions = [f"{variable}.enabled"] if who.kind in (SERVICE, RESOURCE) else []
    if first["kind"] == "Namespace" and who.kind != FOREIGN:
        conditions.append(".Values.namespace.create")
    if versions.keys() != present:
        for environment, tree in made.trees.items():
            values.put(tree, (*root, *group, "enabled"), environment in versions)
        conditions.append(reference(variable, (*group, "enabled")))
    made.files[_file(made, who, kind, stem if several else "")] = chart.template(
        text, reference(".Values", root), variable, conditions
    )


def _annotated(found: Object) -> bool:
    return found["kind"] in WORKLOADS and bool(pod_template(found)["metadata"].get("annotations"))


def _has_variables(found: Object, who: Owner) -> bool:
    return found["kind"] in WORKLOADS and bool(main_container(found, who).get("env"))


def _file(made: _Chart, who: Owner, kind: str, stem: str) -> str:
    folder = f"templates/{who.name or root_of(who)[0][0]}"
    name = kind.lower()
    full = f"{name}-{stem}" if stem else name
    return next(c for n in count(1) if (c := f"{folder}/{full}{f'-{n}' if n > 1 else ''}.yaml") not in made.files)


def _place(path: Path, who: Owner, found: Object, group: Path) -> Path:
    """Where the value of a field is: short for what people change, by kind and path for the rest."""
    plain = (*group, *(path[1:] if path[:1] == ("spec",) and len(path) > 1 else path))
    if who.kind == FOREIGN or found["kind"] not in WORKLOADS:
        return plain
    pod = ("spec", "jobTemplate", "spec", "template") if found["kind"] == "CronJob" else ("spec", "template")
    hook = found["metadata"]["labels"].get(COMPONENT) == "hook"
    if path == ("spec", "replicas"):
        return ("replicas",)
    if path[: len(pod)] != pod or len(path) == len(pod):
        return plain
    inner = path[len(pod) :]
    if inner[:2] == ("spec", "containers") and (hook or inner[2:3] == (who.name,)) and len(inner) > 3:
        if inner[3] == "env" and len(inner) == 5:
            return inner[3:]
        if not hook:
            return ("variables", *inner[4:]) if inner[3] == "env" and len(inner) > 5 else inner[3:]
    return plain if hook else ("pod", *(inner[1:] if inner[0] == "spec" and len(inner) > 1 else inner))
