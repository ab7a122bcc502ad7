"""A Kustomize base, components and an overlay per environment.

The base is what runs; components are what a cluster may do without (policies, scaling, ways in, monitors). An overlay is the
difference of its environment: namespace, images, replicas, then patches, which ``delta`` finds. Configuration that restarts pods
comes from generators: its names end in Kustomize's own hash. Deprecated fields (bases, vars, commonLabels, ...) are never written.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lateen.kube.meta import Object
from lateen.kube.yamltext import dump
from lateen.render.targets import transform
from lateen.render.targets.delta import merge_patch, operations
from lateen.render.targets.graph import APPLICATION, FOREIGN, Graph, Owner, Variant, owner
from lateen.render.targets.hashed import renamed, stems

_API = "kustomize.config.k8s.io/v1beta1"
_COMPONENTS = {
    "NetworkPolicy": "network-policies",
    "HorizontalPodAutoscaler": "scaling",
    "ScaledObject": "scaling",
    "VerticalPodAutoscaler": "scaling",
    "Gateway": "routes",
    "HTTPRoute": "routes",
    "GRPCRoute": "routes",
    "Ingress": "routes",
    "ServiceMonitor": "monitoring",
    "PodMonitor": "monitoring",
}
Key = tuple[str, str, str]


@dataclass(frozen=True, slots=True)
class _Content:
    """A variant in Kustomize's words: objects by key, and the ConfigMaps that generators make."""

    namespace: str
    objects: Mapping[Key, Object]
    generated: Mapping[str, Object]
    owners: Mapping[Key, Owner]
    outside: Sequence[Object]


def write(graph: Graph) -> dict[str, str]:
    """Every file of base, components and overlays."""
    base = _content(graph.base)
    files = _base(base)
    overlays = {graph.base.app.environment: graph.base} | dict(graph.environments)
    contents = {name: _content(variant) for name, variant in overlays.items()}
    apart = any(own.outside for own in contents.values())
    if base.outside:
        files |= _manifests("manifests", base.outside)
    for name, own in contents.items():
        files |= _overlay(f"overlays/{name}" + ("/application" if apart else ""), base, own)
        files |= _with_manifests(f"overlays/{name}", base, own) if apart else {}
    return files


def _manifests(folder: str, outside: Sequence[Object]) -> dict[str, str]:
    head = {"apiVersion": _API, "kind": "Kustomization", "resources": ["manifests.yaml"]}
    return {f"{folder}/manifests.yaml": dump(outside), f"{folder}/kustomization.yaml": dump([head])}


def _with_manifests(folder: str, base: _Content, own: _Content) -> dict[str, str]:
    """An overlay beside which the user's own manifests stand, out of reach of its namespace."""
    same = own.outside == base.outside
    there = ["../../manifests" if same else "manifests"] if own.outside else []
    head = {"apiVersion": _API, "kind": "Kustomization", "resources": ["application", *there]}
    own_files = _manifests(f"{folder}/manifests", own.outside) if own.outside and not same else {}
    return {f"{folder}/kustomization.yaml": dump([head]), **own_files}


def _content(variant: Variant) -> _Content:
    names = stems([o for o in variant.objects if "binaryData" not in o and o.get("immutable")], "ConfigMap")
    objects = [renamed(o, names) for o in variant.objects] if names else list(variant.objects)
    outside = [o for o in objects if _is_outside(o, variant)]
    inside = [o for o in objects if not _is_outside(o, variant)]
    made = set(names.values())
    generated = {n: o for o in inside if o["kind"] == "ConfigMap" and (n := o["metadata"]["name"]) in made}
    rest = {_key(o): o for o in inside if o["kind"] != "ConfigMap" or o["metadata"]["name"] not in made}
    owners = {k: owner(o, variant.app) for k, o in rest.items()}
    return _Content(variant.app.namespace, rest, generated, owners, outside)


def _is_outside(found: Object, variant: Variant) -> bool:
    """Whether Kustomize's ``namespace`` must not reach it: that would move objects of other namespaces and of unknown kinds too."""
    return (
        owner(found, variant.app).kind == FOREIGN
        or found["metadata"].get("namespace", variant.app.namespace) != variant.app.namespace
    )


def _key(found: Object) -> Key:
    """What two variants of an object have in common. There is one Namespace, with another name in each."""
    name = "" if found["kind"] == "Namespace" else found["metadata"]["name"]
    return found["apiVersion"].rpartition("/")[0], found["kind"], name


def _base(base: _Content) -> dict[str, str]:
    files: dict[str, str] = {}
    parts: dict[str, dict[str, list[Object]]] = {}
    for key, found in base.objects.items():
        who = base.owners[key]
        folder = f"components/{part}" if (part := _COMPONENTS.get(found["kind"])) else "base"
        parts.setdefault(folder, {}).setdefault(_file(who), []).append(_placed(found))
    for folder, groups in parts.items():
        files |= {f"{folder}/{name}": dump(objects) for name, objects in groups.items()}
    for folder in {"base": {}} | parts:
        head = {"apiVersion": _API, "kind": "Kustomization"} if folder == "base" else _component_head()
        more: dict[str, Any] = {"namespace": base.namespace} if folder == "base" else {}
        if folder == "base" and base.generated:
            made = [_generator(o, f"config/{n}") for n, o in base.generated.items()]
            more["configMapGenerator"] = made
        files[f"{folder}/kustomization.yaml"] = dump([head | more | {"resources": sorted(parts.get(folder, {}))}])
    return files | _config("base/config", base.generated)


def _component_head() -> dict[str, Any]:
    return {"apiVersion": "kustomize.config.k8s.io/v1alpha1", "kind": "Component"}


def _file(who: Owner) -> str:
    return ("_application" if who.kind == APPLICATION else who.name) + ".yaml"


def _placed(found: Object) -> Object:
    """Without its namespace, which the overlay gives."""
    return {**found, "metadata": {k: v for k, v in found["metadata"].items() if k != "namespace"}}


def _generator(found: Object, folder: str, behavior: str = "") -> dict[str, Any]:
    metadata = found["metadata"]
    return {
        "name": metadata["name"],
        **({"behavior": behavior} if behavior else {}),
        "files": [f"{key}={folder}/{key}" for key in found.get("data", {})],
        "options": {"labels": metadata["labels"], "immutable": True},
    }


def _config(folder: str, generated: Mapping[str, Object]) -> dict[str, str]:
    return {f"{folder}/{name}/{key}": text for name, found in generated.items() for key, text in found.get("data", {}).items()}


def _overlay(folder: str, base: _Content, own: _Content) -> dict[str, str]:
    below = transform.moved(base.objects, own.namespace)
    images = transform.images(below, own.objects)
    below = transform.with_images(below, images)
    replicas = transform.replicas(below, own.objects)
    below = transform.with_replicas(below, replicas)
    patches, files = _patches(base, below, own, folder)
    added = [_placed(o) for k, o in own.objects.items() if k not in base.objects]
    if added:
        files[f"{folder}/added.yaml"] = dump(added)
    made = {n: o for n, o in own.generated.items() if n not in base.generated or _placed(base.generated[n]) != _placed(o)}
    generators = [_generator(o, f"config/{n}", behavior="replace" if n in base.generated else "") for n, o in made.items()]
    parts = sorted({p for o in base.objects.values() if (p := _COMPONENTS.get(o["kind"]))})
    up = "/".join([".."] * len(folder.split("/")))
    fields: dict[str, Any] = {
        "apiVersion": _API,
        "kind": "Kustomization",
        "namespace": own.namespace,
        "resources": [f"{up}/base", *(["added.yaml"] if added else [])],
        "components": [f"{up}/components/{p}" for p in parts],
        "configMapGenerator": generators,
        "images": [i.entry() for i in images],
        "replicas": [{"name": name, "count": count} for name, count in sorted(replicas.items())],
        "patches": patches,
    }
    files[f"{folder}/kustomization.yaml"] = dump([{k: v for k, v in fields.items() if v}])
    return files | _config(f"{folder}/config", made)


def _patches(base: _Content, below: Mapping[Key, Object], own: _Content, folder: str) -> tuple[list[Any], dict[str, str]]:
    entries: list[Any] = []
    files: dict[str, str] = {}
    for key, found in below.items():
        wanted, metadata = own.objects.get(key), base.objects[key]["metadata"]
        if wanted is None:
            entries.append({"patch": _deletion(base.objects[key]), "target": _target(base.objects[key])})
        elif patch := _patch(found, wanted):
            name = _free(f"{metadata['name']}-{found['kind'].lower()}", [f.rpartition("/")[2] for f in files])
            files[f"{folder}/patches/{name}"] = patch
            entries.append({"path": f"patches/{name}", "target": _target(base.objects[key])})
    gone = [o for n, o in base.generated.items() if n not in own.generated]
    entries += [{"patch": _deletion(o), "target": {"kind": "ConfigMap", "name": o["metadata"]["name"]}} for o in gone]
    return entries, files


def _free(name: str, taken: Sequence[str]) -> str:
    choices = [f"{name}.yaml", *(f"{name}-{n}.yaml" for n in range(2, len(taken) + 3))]
    return next(c for c in choices if c not in taken)


def _patch(found: Object, wanted: Object) -> str:
    """The text of a patch, empty when nothing differs."""
    merge = merge_patch(found, wanted)
    if merge is None:
        return dump([list(operations(found, wanted))])
    head = {"apiVersion": found["apiVersion"], "kind": found["kind"]}
    metadata = {"name": found["metadata"]["name"], **merge.pop("metadata", {})} if merge else {}
    return dump([{**head, "metadata": metadata, **merge}]) if metadata else ""


def _deletion(found: Object) -> str:
    metadata = {k: found["metadata"][k] for k in ("name", "namespace") if k in found["metadata"]}
    return dump([{"$patch": "delete", "apiVersion": found["apiVersion"], "kind": found["kind"], "metadata": metadata}])


def _target(found: Object) -> dict[str, str]:
    group, _, version = found["apiVersion"].rpartition("/")
    parts = {"group": group, "version": version, "kind": found["kind"], "name": found["metadata"]["name"].replace(".", r"\.")}
    return {k: v for k, v in parts.items() if v}
