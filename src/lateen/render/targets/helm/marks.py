"""What every chart makes a value, whether environments differ or not: names of the release, labels, images, resources, variables.

``marked`` puts placeholders into a copy of an object, and the values into the tree of its environment.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from lateen.kube.meta import Object
from lateen.render.names import PREFIX, image_version
from lateen.render.targets.graph import APPLICATION, RESOURCE, SERVICE, Owner, Variant
from lateen.render.targets.helm import values
from lateen.render.targets.helm.holes import Holes, quoted, reference
from lateen.render.targets.transform import split
from lateen.render.workload import DEPENDS_ON

NAME, INSTANCE, COMPONENT = f"{PREFIX}/name", f"{PREFIX}/instance", f"{PREFIX}/component"
VERSION, PART_OF, MANAGED_BY = f"{PREFIX}/version", f"{PREFIX}/part-of", f"{PREFIX}/managed-by"
WORKLOADS = ("Deployment", "StatefulSet", "DaemonSet", "Job", "CronJob")
_VARIABLE = "- name: {{ $name }}\n  value: {{ $value | quote }}"
_SCHEDULING = ("nodeSelector", "tolerations", "affinity")


@dataclass(frozen=True, slots=True, kw_only=True)
class Marker:
    """Marks the objects of one owner in one environment."""

    holes: Holes
    environment: str
    variant: Variant
    owner: Owner
    variable: str
    tree: values.Tree
    root: tuple[str, ...]
    names: Mapping[str, str]  # hashed names, and the code that makes them
    variables: Collection[str] = ()  # plain variables of the service in any environment
    annotated: bool = False  # whether pods have annotations in any environment
    with_env: bool = False  # whether the main container has variables in any

    def marked(self, found: Object) -> Object:
        """The object with placeholders."""
        result: Object = self._walk(unordered(found), ())
        if found["kind"] == "Namespace" or (found["kind"] == "PriorityClass"):
            result["metadata"]["name"] = self._namespaced(found["metadata"]["name"])
        if found["kind"] == "ConfigMap" and found["metadata"]["name"] in self.names and "data" in found:
            result["data"] = self._keep(self.holes.block(reference(self.variable, ("config",))), found["data"])
            values.put(self.tree, (*self.root, "config"), dict(found["data"]))
        if found["kind"] in WORKLOADS and self.owner.kind in (SERVICE, RESOURCE):
            self._pod(found, result)
        return result

    def _keep(self, hole: str, raw: Any) -> str:
        return self.holes.remember(hole, self.environment, raw)

    def _walk(self, value: Any, path: tuple[str, ...]) -> Any:
        if isinstance(value, dict):
            return self._map(value, path)
        if isinstance(value, list):
            return [self._walk(v, path) for v in value]
        return self._keep(self.names[value], value) if isinstance(value, str) and value in self.names else value

    def _map(self, found: dict[str, Any], path: tuple[str, ...]) -> dict[str, Any]:
        app, result = self.variant.app, self._labels(found, path)
        for key, value in result.items():
            if path[:1] in (("data",), ("binaryData",)):
                continue
            if key == "namespace" and value == app.namespace:
                result[key] = self._keep(self.holes.value(".Release.Namespace"), value)
            elif key == "priorityClassName" and value.startswith(f"{app.namespace}-"):
                result[key] = self._namespaced(value)
            else:
                result[key] = self._walk(value, (*path, key))
        return result

    def _namespaced(self, text: str) -> str:
        space = self.variant.app.namespace
        if not (text == space or text.startswith(f"{space}-")):
            return text
        return self._keep(self.holes.value(".Release.Namespace"), space) + text[len(space) :]

    def _labels(self, found: dict[str, Any], path: tuple[str, ...]) -> dict[str, Any]:
        """Labels and selectors through the chart's helpers."""
        name, helper = found.get(NAME), ""
        if found.get(INSTANCE) != self.variant.app.name or not isinstance(name, str):
            return dict(found)
        if found.get(PART_OF) == self.variant.app.name and found.get(MANAGED_BY) == "lateen" and COMPONENT in found:
            helper = "labels" if path == ("metadata", "labels") else "podLabels"
            own = {k: found[k] for k in (NAME, INSTANCE, COMPONENT, PART_OF, MANAGED_BY)}
            words = f"{quoted(name)} {quoted(found[COMPONENT])}"
        else:
            helper, own, words = "selectorLabels", {k: found[k] for k in (NAME, INSTANCE)}, quoted(name)
        code = f'{{{{- include "{self.variant.app.name}.{helper}" (list $ {words}) | nindent @0@ }}}}'
        rest = {k: v for k, v in found.items() if k not in own}
        return {self._keep(self.holes.lines(code), own): None, **rest}

    def _pod(self, found: Object, result: Object) -> None:
        before, after = pod_template(found), pod_template(result)
        hook = (found["metadata"].get("labels") or {}).get(COMPONENT) == "hook"
        main = main_container(found, self.owner) if not hook else self._workload_main()
        for kind in ("initContainers", "containers"):
            for old, new in zip(before["spec"].get(kind, ()), after["spec"].get(kind, ()), strict=True):
                own = main is not None and old["image"] == main["image"]
                self._image(old, new, () if own else ("hooks", old["name"]) if hook else (kind, old["name"]))
                if old is main or (hook and main is not None):
                    self._container(old, new, main, hook=hook)
        if main is not None:
            self._version(found, result, main["image"])
        if not hook:
            self._scheduling(before["spec"], after)

    def _workload_main(self) -> dict[str, Any] | None:
        """The main container of the service whose hook this is."""
        for one in self.variant.objects:
            if one["kind"] in WORKLOADS and (one["metadata"].get("labels") or {}).get(NAME) == self.owner.name:
                return main_container(one, self.owner)
        return None

    def _image(self, old: dict[str, Any], new: dict[str, Any], place: tuple[str, ...]) -> None:
        repository, tag, digest = split(old["image"])
        values.put(self.tree, (*self.root, *place, "image"), {"repository": repository, "tag": tag, "digest": digest})
        code = f'include "{self.variant.app.name}.image" {reference(self.variable, (*place, "image"))}'
        new["image"] = self._keep(self.holes.value(code), old["image"])

    def _version(self, found: Object, result: Object, image: str) -> None:
        version = image_version(image)
        code = f'include "{self.variant.app.name}.version" {reference(self.variable, ("image",))}'
        for labels in (result["metadata"].get("labels"), pod_template(result)["metadata"].get("labels")):
            if labels and version and labels.get(VERSION) == version:
                labels[VERSION] = self._keep(self.holes.value(code), version)

    def _container(self, old: dict[str, Any], new: dict[str, Any], main: dict[str, Any], *, hook: bool) -> None:
        """Resources and variables of the main container; of a hook, those that are the same as there."""
        if old.get("resources") == main.get("resources"):
            values.put(self.tree, (*self.root, "resources"), old.get("resources", {}))
            new.pop("resources", None)
            code = _with(f"{self.variable}.resources", "resources")
            new[self._keep(self.holes.lines(code), {"resources": old["resources"]} if "resources" in old else {})] = None
        values.ensure(self.tree, (*self.root, "env"))
        for before, after in zip(old.get("env", ()), new.get("env", ()), strict=True):
            if "value" in before and before["name"] in self.variables and before in main.get("env", ()):
                values.put(self.tree, (*self.root, "env", before["name"]), before["value"])
                after["value"] = self._keep(self.holes.value(reference(self.variable, ("env", before["name"]))), before["value"])
        if not hook:
            self._other_variables(new)

    def _other_variables(self, new: dict[str, Any]) -> None:
        """A chart's user may add variables."""
        known = " ".join(quoted(v) for v in sorted(self.variables))
        others = f"omit {self.variable}.env {known}" if known else f"{self.variable}.env"
        each = f"{{{{- range $name, $value := {others} }}}}\n{_VARIABLE}\n{{{{- end }}}}"
        if self.with_env:
            new.setdefault("env", []).append(self.holes.lines(each))
        else:
            code = f"{{{{- with {self.variable}.env }}}}\nenv:\n{each}\n{{{{- end }}}}"
            new[self._keep(self.holes.lines(code), {})] = None

    def _scheduling(self, spec: dict[str, Any], template: dict[str, Any]) -> None:
        """What idiomatic charts leave to their user, where the model says nothing."""
        for field in ("imagePullSecrets", *_SCHEDULING):
            if field not in spec:
                shared = field == "imagePullSecrets"
                nothing: Any = [] if field in ("imagePullSecrets", "tolerations") else {}
                values.put(self.tree, (field,) if shared else (*self.root, field), nothing)
                code = f"{'.Values' if shared else self.variable}.{field}"
                template["spec"][self._keep(self.holes.lines(_with(code, field)), {})] = None
        values.put(self.tree, (*self.root, "podAnnotations"), {})
        code = f"{self.variable}.podAnnotations"
        if self.annotated:
            more = f"{{{{- with {code} }}}}\n{{{{- toYaml . | nindent @0@ }}}}\n{{{{- end }}}}"
            template["metadata"].setdefault("annotations", {})[self._keep(self.holes.lines(more), {})] = None
        else:
            template["metadata"][self._keep(self.holes.lines(_with(code, "annotations")), {})] = None


def _with(code: str, field: str) -> str:
    """A field whose value is all the user's."""
    return f"{{{{- with {code} }}}}\n{field}:\n  {{{{- toYaml . | nindent @2@ }}}}\n{{{{- end }}}}"


def unordered(found: Object) -> Object:
    """Without the order of appliers, which Helm does not read."""
    annotations = found["metadata"].get("annotations") or {}
    if DEPENDS_ON not in annotations:
        return found
    rest = {k: v for k, v in annotations.items() if k != DEPENDS_ON}
    metadata = {k: v for k, v in found["metadata"].items() if k != "annotations"}
    return {**found, "metadata": {**metadata, **({"annotations": rest} if rest else {})}}


def pod_template(found: Object) -> dict[str, Any]:
    """The template of the pods that a workload makes."""
    spec = found["spec"]
    result: dict[str, Any] = (spec["jobTemplate"]["spec"] if found["kind"] == "CronJob" else spec)["template"]
    return result


def main_container(workload: Object, owner: Owner) -> dict[str, Any]:
    """The container named after its owner, else the first."""
    found: list[dict[str, Any]] = pod_template(workload)["spec"]["containers"]
    return next((c for c in found if c["name"] == owner.name), found[0])


def plain_variables(variant: Variant, owner: Owner) -> set[str]:
    """The variables that the user wrote for a service with a plain value."""
    service = variant.app.services.get(owner.name) if owner.kind == SERVICE else None
    return {name for name, value in service.env.items() if value.value is not None} if service is not None else set()


def root_of(owner: Owner) -> tuple[tuple[str, ...], str]:
    """Where the values of an owner are, and the variable that stands for them."""
    if owner.kind in (SERVICE, RESOURCE):
        return (f"{owner.kind}s", owner.name), f"${owner.kind}"
    return (owner.kind if owner.kind == APPLICATION else "manifests",), f"${owner.kind}"
