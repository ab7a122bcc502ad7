"""All objects under check with the relations between them, built once. Every check is a function of this.

Objects without a namespace go where they are applied: they count as one namespace, the one named ``default`` if any is so named.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any

from lateen.check.manifest import Manifest, mapping, maps
from lateen.check.reading import Read
from lateen.check.workload import SCALABLE, TEMPLATES, Container, Workload
from lateen.kube import selectors

Labels = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Settings:
    """Thresholds of checks, from the configuration (section ``settings``)."""

    chain_depth: int = 4
    fan_out: int = 8
    retry_product: int = 8
    limit_ratio: float = 4.0
    surge_replicas: int = 20
    registries: tuple[str, ...] = ()
    owner_labels: tuple[str, ...] = ()
    certificate_days: int = 30


class World:
    """What is looked at. ``now`` is None when time is not to be judged."""

    def __init__(self, read: Read, *, settings: Settings | None = None, now: datetime | None = None, live: bool = False) -> None:
        self.objects: Sequence[Manifest] = read.objects
        self.others: Sequence[Manifest] = read.others
        self.broken = read.broken
        self.settings, self.now, self.live = settings or Settings(), now, live
        self._kinds: dict[str, list[Manifest]] = defaultdict(list)
        self._named: dict[tuple[str, str, str], Manifest] = {}
        for m in self.objects:
            self._kinds[m.kind].append(m)
            self._named.setdefault((m.kind, self.namespace(m), m.name), m)

    @staticmethod
    def namespace(manifest: Manifest) -> str:
        """The namespace to compare by."""
        return manifest.namespace or "default"

    def kind(self, *kinds: str) -> Iterator[Manifest]:
        """The objects of these kinds, in the order they were read."""
        for kind in kinds:
            yield from self._kinds.get(kind, ())

    def has(self, *kinds: str) -> bool:
        """Whether any object is of these kinds."""
        return any(kind in self._kinds for kind in kinds)

    def get(self, kind: str, namespace: str, name: str) -> Manifest | None:
        """The object, by the namespace to compare by (ignored for what has none)."""
        return self._named.get((kind, namespace or "default", name))

    def names(self, kind: str, namespace: str) -> list[str]:
        """The names of a kind in a namespace."""
        return [m.name for m in self._kinds.get(kind, ()) if self.namespace(m) == namespace]

    @cached_property
    def workloads(self) -> list[Workload]:
        """Everything with a pod template, except what a controller in sight made."""
        return [
            Workload(m, base, self.namespace(m))
            for kind, base in TEMPLATES.items()
            for m in self._kinds.get(kind, ())
            if isinstance(m.at(*base), dict) and not m.metadata.get("ownerReferences")
        ]

    @cached_property
    def serving(self) -> list[Workload]:
        """The workloads that keep pods running."""
        return [w for w in self.workloads if w.serves]

    @cached_property
    def containers(self) -> list[Container]:
        """Every container of every workload."""
        return [c for w in self.workloads for c in w.containers]

    @cached_property
    def _by_label(self) -> Mapping[tuple[str, str, str], list[Workload]]:
        index: dict[tuple[str, str, str], list[Workload]] = defaultdict(list)
        for w in self.workloads:
            for key, value in w.labels.items():
                index[w.namespace, key, value].append(w)
        return index

    @cached_property
    def _by_namespace(self) -> Mapping[str, list[Workload]]:
        index: dict[str, list[Workload]] = defaultdict(list)
        for w in self.workloads:
            index[w.namespace].append(w)
        return index

    def in_namespace(self, namespace: str) -> Sequence[Workload]:
        """The workloads of a namespace."""
        return self._by_namespace.get(namespace, ())

    def labelled(self, namespace: str, wanted: Labels) -> list[Workload]:
        """The workloads whose pods have all these labels (none when none is wanted)."""
        if not wanted:
            return []
        lists = [self._by_label.get((namespace, str(k), str(v)), []) for k, v in wanted.items()]
        smallest = min(lists, key=len)
        matches = selectors.from_map({str(k): str(v) for k, v in wanted.items()})
        return [w for w in smallest if matches(w.labels)]

    def selected(self, namespace: str, selector: Any) -> list[Workload]:
        """The workloads that a label selector selects."""
        if not isinstance(selector, dict):
            return []
        if selector.get("matchLabels") and not selector.get("matchExpressions"):
            return self.labelled(namespace, mapping(selector["matchLabels"]))
        try:
            matches = selectors.from_selector(selector)
            return [w for w in self.in_namespace(namespace) if matches(w.labels)]
        except (KeyError, TypeError, AttributeError):  # a malformed selector: the schema check says so
            return []

    @cached_property
    def services(self) -> list[Manifest]:
        """The Services."""
        return list(self.kind("Service"))

    @cached_property
    def _behind(self) -> Mapping[int, list[Workload]]:
        return {id(s): self.labelled(self.namespace(s), mapping(s.spec.get("selector"))) for s in self.services}

    def behind(self, service: Manifest) -> list[Workload]:
        """The workloads that a Service sends to."""
        return self._behind.get(id(service), [])

    @cached_property
    def _fronts(self) -> Mapping[int, list[Manifest]]:
        index: dict[int, list[Manifest]] = defaultdict(list)
        for service in self.services:
            for w in self.behind(service):
                index[id(w)].append(service)
        return index

    def fronts(self, workload: Workload) -> list[Manifest]:
        """The Services that send to a workload."""
        return self._fronts.get(id(workload), [])

    @cached_property
    def _scaled(self) -> Mapping[tuple[str, str, str], list[Manifest]]:
        index: dict[tuple[str, str, str], list[Manifest]] = defaultdict(list)
        for hpa in self.kind("HorizontalPodAutoscaler", "ScaledObject"):
            target = mapping(hpa.spec.get("scaleTargetRef"))
            kind = str(target.get("kind") or "Deployment")
            index[kind, self.namespace(hpa), str(target.get("name"))].append(hpa)
        return index

    def scalers(self, workload: Workload) -> list[Manifest]:
        """The autoscalers of a workload."""
        return self._scaled.get((workload.kind, workload.namespace, workload.name), [])

    def fewest(self, workload: Workload) -> int:
        """The fewest pods that the workload may have by its declaration."""
        if workload.kind not in SCALABLE:
            return 1
        found = [
            n for s in self.scalers(workload) if isinstance(n := s.spec.get("minReplicas", s.spec.get("minReplicaCount")), int)
        ]
        return max(found) if found else workload.replicas

    @cached_property
    def _budgets(self) -> Mapping[int, list[Manifest]]:
        index: dict[int, list[Manifest]] = defaultdict(list)
        for pdb in self.kind("PodDisruptionBudget"):
            for w in self.selected(self.namespace(pdb), pdb.spec.get("selector")):
                index[id(w)].append(pdb)
        return index

    def budgets(self, workload: Workload) -> list[Manifest]:
        """The PodDisruptionBudgets of a workload."""
        return self._budgets.get(id(workload), [])

    @cached_property
    def _policies(self) -> Mapping[int, list[Manifest]]:
        index: dict[int, list[Manifest]] = defaultdict(list)
        for policy in self.kind("NetworkPolicy"):
            for w in self.selected(self.namespace(policy), policy.spec.get("podSelector") or {}):
                index[id(w)].append(policy)
        return index

    def policies(self, workload: Workload) -> list[Manifest]:
        """The NetworkPolicies that select a workload."""
        return self._policies.get(id(workload), [])

    @cached_property
    def exposed(self) -> set[int]:
        """``id`` of every Service that an Ingress or a route sends to."""
        found = set()
        for route, backend in self.backends():
            service = self.get("Service", str(backend.get("namespace") or self.namespace(route)), str(backend.get("name")))
            if service is not None:
                found.add(id(service))
        return found

    def backends(self) -> Iterator[tuple[Manifest, dict[str, Any]]]:
        """(Ingress or route, ``{name, namespace?, port, path}``) of each backend that is a Service."""
        for m in self.kind("Ingress"):
            yield from ((m, b) for b in _ingress_backends(m))
        for m in self.kind("HTTPRoute", "GRPCRoute", "TCPRoute", "TLSRoute", "UDPRoute"):
            for i, rule in enumerate(maps(m.spec.get("rules"))):
                for j, b in enumerate(maps(rule.get("backendRefs"))):
                    if b.get("kind", "Service") == "Service":
                        yield m, {**b, "path": ("spec", "rules", i, "backendRefs", j)}


def _ingress_backends(ingress: Manifest) -> Iterator[dict[str, Any]]:
    places: list[tuple[tuple[str | int, ...], Any]] = [(("spec", "defaultBackend"), ingress.spec.get("defaultBackend"))]
    for i, rule in enumerate(maps(ingress.spec.get("rules"))):
        for j, path in enumerate(maps(mapping(rule.get("http")).get("paths"))):
            places.append((("spec", "rules", i, "http", "paths", j, "backend"), path.get("backend")))
    for where, backend in places:
        service = mapping(mapping(backend).get("service"))
        if service.get("name"):
            port = mapping(service.get("port"))
            yield {"name": service["name"], "port": port.get("number") or port.get("name"), "path": (*where, "service", "name")}


def first(items: Iterable[Any]) -> Any:
    """The first item, or None."""
    return next(iter(items), None)
