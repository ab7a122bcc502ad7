"""A kpt package: the plain objects, a Kptfile with its pipeline, and setters for what differs from place to place.

``kpt fn render`` lays ``setters.yaml`` (or the file of an environment) over the fields that carry a ``kpt-set`` comment: images and
numbers of pods. The namespace is a function of its own.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator, Mapping
from typing import Any

from lateen.kube.meta import Object
from lateen.kube.yamltext import dump
from lateen.model import Application
from lateen.render.targets.graph import Graph, Variant, by_owner
from lateen.render.targets.plain import file_of

_LOCAL = {"config.kubernetes.io/local-config": "true"}
_SET_NAMESPACE, _SETTERS = "gcr.io/kpt-fn/set-namespace:v0.4.1", "gcr.io/kpt-fn/apply-setters:v0.2.0"
_VALIDATE = "gcr.io/kpt-fn/kubeconform:v0.1"
_MARK = re.compile(r"^(.*?: )(?P<quote>['\"]?)«(?P<name>[^»]+)»(?P<value>.*?)(?P=quote)$", re.MULTILINE)
_WORKLOADS = ("Deployment", "StatefulSet", "DaemonSet", "Job", "CronJob")


def write(graph: Graph) -> dict[str, str]:
    """Every file of the package."""
    base = graph.base
    groups = by_owner([_marked(o, base.app) for o in base.objects], base.app)
    files = {file_of(who): _commented(dump(groups[who])) for who in sorted(groups)}
    files["Kptfile"] = dump([_kptfile(base.app)])
    files["setters.yaml"] = dump([_setters("setters", base)])
    for name, variant in graph.environments.items():
        files[f"environments/{name}.yaml"] = dump([_setters(f"setters-{name}", variant)])
    files["README.md"] = _readme(base.app, graph.environments)
    return files


def _kptfile(app: Application) -> dict[str, Any]:
    return {
        "apiVersion": "kpt.dev/v1",
        "kind": "Kptfile",
        "metadata": {"name": app.name, "annotations": _LOCAL},
        "info": {"description": f"{app.name}, rendered by lateen"},
        "pipeline": {
            "mutators": [
                {"image": _SETTERS, "configPath": "setters.yaml"},
                {"image": _SET_NAMESPACE, "configMap": {"namespace": app.namespace}},
            ],
            "validators": [{"image": _VALIDATE, "configMap": {"ignore_missing_schemas": "true"}}],
        },
    }


def _setters(name: str, variant: Variant) -> Object:
    data = {setter: str(value) for obj in variant.objects for setter, value in _settable(obj, variant.app)}
    metadata = {"name": name, "annotations": _LOCAL}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": dict(sorted(data.items()))}


def _settable(found: Object, app: Application) -> Iterator[tuple[str, Any]]:
    """What may be set in an object: the name of the setter, and its value here."""
    name = found["metadata"]["name"]
    if found["kind"] not in _WORKLOADS or name not in app.services:
        return
    if "replicas" in found["spec"]:
        yield f"{name}-replicas", found["spec"]["replicas"]
    yield f"{name}-image", _container(found, name)["image"]


def _container(found: Object, name: str) -> dict[str, Any]:
    spec = found["spec"]["jobTemplate"]["spec"] if found["kind"] == "CronJob" else found["spec"]
    containers: list[dict[str, Any]] = spec["template"]["spec"]["containers"]
    return next((c for c in containers if c["name"] == name), containers[0])


def _marked(found: Object, app: Application) -> Object:
    """A copy whose settable values carry their setter's name, for ``_commented`` to find."""
    setters = dict(_settable(found, app))
    if not setters:
        return found
    result, name = copy.deepcopy(found), found["metadata"]["name"]
    for setter, value in setters.items():
        if setter.endswith("-replicas"):
            result["spec"]["replicas"] = f"«{setter}»{value}"
        else:
            _container(result, name)["image"] = f"«{setter}»{value}"
    return result


def _commented(text: str) -> str:
    """With the marks taken out again. Images and numbers need no quotes in YAML."""
    return _MARK.sub(lambda m: f"{m[1]}{m['value']} # kpt-set: ${{{m['name']}}}", text)


def _readme(app: Application, environments: Mapping[str, Variant]) -> str:
    text = f"# {app.name}\n\nRendered by `lateen render --target kpt`.\n\n```\nkpt fn render\nkpt live init\nkpt live apply\n```\n"
    if not environments:
        return text
    names = ", ".join(environments)
    more = "put its file from `environments/` in the place of `setters.yaml`,\nand its namespace into the Kptfile, first.\n"
    return f"{text}\nFor another environment ({names}), {more}"
