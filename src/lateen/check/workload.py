"""What runs: a Workload is anything with a pod template, a Container one of its containers. Built by ``check.world``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from lateen.check.manifest import Manifest, Path, dig, mapping, maps

TEMPLATES: Mapping[str, Path] = {
    "Pod": (),
    "Deployment": ("spec", "template"),
    "StatefulSet": ("spec", "template"),
    "DaemonSet": ("spec", "template"),
    "ReplicaSet": ("spec", "template"),
    "ReplicationController": ("spec", "template"),
    "Job": ("spec", "template"),
    "CronJob": ("spec", "jobTemplate", "spec", "template"),
    "Rollout": ("spec", "template"),
}
SERVING = ("Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "ReplicationController", "Rollout")
"""The kinds that keep pods running."""
SCALABLE = ("Deployment", "StatefulSet", "ReplicaSet", "ReplicationController", "Rollout")


@dataclass(frozen=True, slots=True)
class Container:
    """A container of a workload. ``init`` ones run before the others; a ``sidecar`` is an init one that stays."""

    workload: Workload
    data: Mapping[str, Any]
    path: Path
    init: bool = False

    @property
    def name(self) -> str:
        return str(self.data.get("name") or "?")

    @property
    def image(self) -> str:
        return str(self.data.get("image") or "")

    @property
    def sidecar(self) -> bool:
        return self.init and self.data.get("restartPolicy") == "Always"

    @property
    def stays(self) -> bool:
        """It runs as long as the pod does."""
        return not self.init or self.sidecar

    @property
    def security(self) -> Mapping[str, Any]:
        return mapping(self.data.get("securityContext"))

    @property
    def env(self) -> list[dict[str, Any]]:
        return maps(self.data.get("env"))

    @property
    def ports(self) -> list[dict[str, Any]]:
        return maps(self.data.get("ports"))

    def at(self, *path: str | int) -> Any:
        """A value below the container."""
        return dig(self.data, *path)

    def arguments(self) -> Iterator[tuple[str, int, str]]:
        """(``command`` or ``args``, index, word) of the command line."""
        for key in ("command", "args"):
            words = self.data.get(key)
            yield from ((key, i, str(w)) for i, w in enumerate(words if isinstance(words, list) else ()))

    def words(self) -> list[str]:
        """Command and arguments."""
        return [word for _, _, word in self.arguments()]

    def probes(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """The probes that are set."""
        for name in ("livenessProbe", "readinessProbe", "startupProbe"):
            if isinstance(self.data.get(name), dict) and self.data[name]:
                yield name, self.data[name]


@dataclass(eq=False)
class Workload:
    """An object with a pod template. ``base`` is the path of the template (empty for a Pod)."""

    manifest: Manifest
    base: Path
    namespace: str
    containers: list[Container] = field(default_factory=list)

    def __post_init__(self) -> None:
        for kind in ("initContainers", "containers"):
            for i, data in enumerate(v if isinstance(v := self.pod.get(kind), list) else ()):
                if isinstance(data, dict):
                    self.containers.append(Container(self, data, (*self.base, "spec", kind, i), kind == "initContainers"))

    @property
    def kind(self) -> str:
        return self.manifest.kind

    @property
    def name(self) -> str:
        return self.manifest.name

    @cached_property
    def template(self) -> Mapping[str, Any]:
        return mapping(self.manifest.at(*self.base)) if self.base else self.manifest.data

    @cached_property
    def pod(self) -> Mapping[str, Any]:
        """The pod's spec."""
        return mapping(self.template.get("spec"))

    @cached_property
    def labels(self) -> Mapping[str, str]:
        """Of the pods."""
        return {str(k): str(v) for k, v in mapping(dig(self.template, "metadata", "labels")).items()}

    @cached_property
    def annotations(self) -> Mapping[str, str]:
        """Of the pods."""
        return {str(k): str(v) for k, v in mapping(dig(self.template, "metadata", "annotations")).items()}

    @property
    def serves(self) -> bool:
        return self.kind in SERVING

    @property
    def main(self) -> list[Container]:
        """The containers that stay, without sidecars."""
        return [c for c in self.containers if not c.init]

    @property
    def replicas(self) -> int:
        """As declared; 1 when it is not."""
        value = self.manifest.spec.get("replicas")
        return value if isinstance(value, int) else 1

    @property
    def account(self) -> str:
        return str(self.pod.get("serviceAccountName") or self.pod.get("serviceAccount") or "default")

    @property
    def volumes(self) -> list[dict[str, Any]]:
        return maps(self.pod.get("volumes"))

    def path(self, *steps: str | int) -> Path:
        """The path of something of the pod's spec."""
        return (*self.base, "spec", *steps)

    def meta(self, *steps: str | int) -> Path:
        """The path of something of the pod's metadata."""
        return (*self.base, "metadata", *steps)

    def __str__(self) -> str:
        return f"{self.kind} {self.name}"
