"""Ephemeral containers: what ``pods/ephemeralcontainers`` accepts (ValidatePodEphemeralContainersUpdate)."""

from __future__ import annotations

from lateen.kube.meta import Object
from lateen.kube.validation.base import Errors, entries, unique
from lateen.kube.validation.containers import container as one
from lateen.kube.validation.errors import forbidden, not_found

_NOT_THERE = ("ports", "livenessProbe", "readinessProbe", "startupProbe", "lifecycle", "resources", "resizePolicy", "restartPolicy")


def update(obj: Object, old: Object | None) -> Errors:
    """The pod with more ephemeral containers than before: none may change or go."""
    spec, before = obj.get("spec") or {}, (old or {}).get("spec") or {}
    volumes = {v.get("name") for v in spec.get("volumes") or ()}
    mains = {c.get("name") for c in spec.get("containers") or ()}
    for at, container in entries(spec, "ephemeralContainers", "spec"):
        yield from one(container, at, volumes)
        for name in _NOT_THERE:
            if container.get(name):
                yield forbidden(f"{at}.{name}", "cannot be set for an Ephemeral Container")
        target = container.get("targetContainerName")
        if target and target not in mains:
            yield not_found(f"{at}.targetContainerName", target)
    every = (e for kind in ("initContainers", "containers", "ephemeralContainers") for e in entries(spec, kind, "spec"))
    yield from unique((f"{at}.name", c["name"]) for at, c in every if c.get("name"))
    yield from _kept(spec, before)


def _kept(spec: Object, before: Object) -> Errors:
    now = {c.get("name"): (at, c) for at, c in entries(spec, "ephemeralContainers", "spec")}
    for container in before.get("ephemeralContainers") or ():
        name = container["name"]
        if name not in now:
            yield forbidden("spec.ephemeralContainers", f'existing ephemeral containers "{name}" may not be removed\n')
        elif now[name][1] != container:
            yield forbidden("spec.ephemeralContainers", f'existing ephemeral containers "{name}" may not be changed\n')


def on_create(spec: Object) -> Errors:
    """A new pod has none."""
    if spec.get("ephemeralContainers"):
        yield forbidden("spec.ephemeralContainers", "cannot be set on create")
