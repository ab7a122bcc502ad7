"""References between objects: what points at nothing, at the wrong port, or at the wrong kind."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

from lateen.check.finding import Hit, Severity
from lateen.check.manifest import Manifest, mapping, maps
from lateen.check.nearby import nearest
from lateen.check.practice import on
from lateen.check.registry import check
from lateen.check.workload import Workload
from lateen.check.world import World
from lateen.kube import selectors

INFO, WARNING, ERROR = Severity.INFO, Severity.WARNING, Severity.ERROR


@check(
    "LT-REL-129",
    "StatefulSet without its headless Service",
    ERROR,
    why="The pods' own names (web-0.web) come from the headless Service that serviceName names.",
    fix="add a Service with clusterIP: None and that name",
)
def headless(world: World) -> Iterator[Hit]:
    for m in world.kind("StatefulSet"):
        name = str(m.spec.get("serviceName") or "")
        service = world.get("Service", world.namespace(m), name) if name else None
        if service is not None and service.spec.get("clusterIP") != "None":
            yield Hit(m, ("spec", "serviceName"), f"the Service {name} is not headless", WARNING)
        elif name and service is None and world.services:
            hint = nearest(name, world.names("Service", world.namespace(m)))
            yield Hit(m, ("spec", "serviceName"), f"the Service {name} is not among the manifests{hint}")
        elif not name:
            yield Hit(m, ("spec", "serviceName"), "the StatefulSet names no Service", WARNING)


@check(
    "LT-REL-130",
    "selector does not match the pod template",
    ERROR,
    why="The API refuses the object.",
    fix="make the template's labels contain the selector's",
)
def own_selector(world: World) -> Iterator[Hit]:
    for w in world.serving:
        selector = w.manifest.spec.get("selector")
        if w.kind == "ReplicationController" or not isinstance(selector, dict):
            continue
        wanted = mapping(selector.get("matchLabels"))
        wrong = [k for k, v in wanted.items() if w.labels.get(str(k)) != str(v)]
        if wrong:
            yield Hit(
                w.manifest,
                ("spec", "selector", "matchLabels", wrong[0]),
                f"the pods do not have the label {wrong[0]}={wanted[wrong[0]]}",
            )
        elif not wanted and not selector.get("matchExpressions"):
            yield Hit(w.manifest, ("spec", "selector"), "the selector is empty")


def _local(world: World, service: Manifest) -> bool:
    """Whether the workloads of the Service's namespace are in sight."""
    return bool(world.in_namespace(world.namespace(service)))


@check(
    "LT-REL-131",
    "Service selects nothing",
    ERROR,
    why="Every call to it fails: there is no pod behind it.",
    fix="correct spec.selector to the labels of the pods",
)
def idle_service(world: World) -> Iterator[Hit]:
    for s in world.services:
        selector = mapping(s.spec.get("selector"))
        if selector and s.spec.get("type") != "ExternalName" and _local(world, s) and not world.behind(s):
            near = _nearly(world, s, selector)
            own = any(s.name in (w.name, f"{w.name}-service", f"{w.name}-svc") for w in world.in_namespace(world.namespace(s)))
            say = f"no workload has the labels of the selector{near}"
            yield Hit(s, ("spec", "selector"), say, ERROR if near or own else WARNING)


def _nearly(world: World, service: Manifest, wanted: dict[str, Any]) -> str:
    """The workload that lacks one label only."""
    for w in world.in_namespace(world.namespace(service)):
        wrong = [k for k, v in wanted.items() if w.labels.get(str(k)) != str(v)]
        if len(wrong) == 1 and (len(wanted) > 1 or nearest(str(wanted[wrong[0]]), [w.labels.get(wrong[0], "")])):
            return f"; {w.name} has {wrong[0]}={w.labels.get(wrong[0], '(none)')}"
    return ""


@check(
    "LT-REL-132",
    "route to a Service that does not exist",
    ERROR,
    why="The route answers 503, or is refused as a whole.",
    fix="correct the backend's name and port, or add the Service",
)
def missing_backend(world: World) -> Iterator[Hit]:
    for route, backend in world.backends():
        namespace, name = str(backend.get("namespace") or world.namespace(route)), str(backend.get("name"))
        service = world.get("Service", namespace, name)
        if service is None:
            known = world.names("Service", namespace)
            hint = nearest(name, known)
            yield Hit(route, backend["path"], f"the Service {name} is not among the manifests{hint}", None if known else WARNING)
            continue
        ports = {v for p in maps(service.spec.get("ports")) for v in (p.get("port"), p.get("name"))}
        if backend.get("port") is not None and backend["port"] not in ports:
            yield Hit(route, backend["path"], f"the Service {name} has no port {backend['port']}")


@check(
    "LT-REL-133",
    "Service sends to a port that the pods do not have",
    ERROR,
    why="Connections are refused, or (for a name) the port has no endpoint at all.",
    fix="set targetPort to the number or the name of a containerPort",
)
def target_port(world: World) -> Iterator[Hit]:
    for s in world.services:
        behind = world.behind(s)
        for i, p in enumerate(maps(s.spec.get("ports"))):
            target = p.get("targetPort", p.get("port"))
            wrong = [(w, text) for w in behind if (text := _refused(w, target))]
            path = ("spec", "ports", i, "targetPort" if "targetPort" in p else "port")
            for w, text in wrong:
                some = len(wrong) < len(behind) or (len(w.main) > 1 and isinstance(target, int))
                yield Hit(s, path, text, WARNING if some else None)


def _refused(w: Workload, target: object) -> str:
    """Why the pods have no such port; empty when they have, or declare none."""
    containers = [c for c in w.containers if c.stays]
    names = {str(p.get("name")) for c in containers for p in c.ports if p.get("name")}
    numbers = {n for c in containers for p in c.ports if isinstance(n := p.get("containerPort"), int)}
    if isinstance(target, str) and not target.isdigit() and target not in names:
        return f"{w.name} has no port named {target!r}{nearest(target, names)}"
    if isinstance(target, int) and numbers and target not in numbers:
        return f"{w.name} does not listen on {target} (it declares {', '.join(map(str, sorted(numbers)))})"
    return ""


@check(
    "LT-REL-134",
    "variable is set twice",
    WARNING,
    why="Only the last one counts; the other misleads, and server-side apply refuses the object.",
    fix="keep one",
)
def twice(world: World) -> Iterator[Hit]:
    for c in world.containers:
        counts = Counter(str(e.get("name")) for e in c.env)
        for i, e in enumerate(c.env):
            if counts[str(e.get("name"))] > 1:
                counts[str(e.get("name"))] = 0
                yield on(c, "env", i, "name", say=f"sets {e.get('name')} more than once")


@check(
    "LT-REL-236",
    "volume mount without a volume",
    ERROR,
    why="The API refuses the pod.",
    fix="add the volume, or correct the name",
)
def unknown_volume(world: World) -> Iterator[Hit]:
    for w in world.workloads:
        names = {str(v.get("name")) for v in w.volumes}
        names |= {str(mapping(t.get("metadata")).get("name")) for t in maps(w.manifest.spec.get("volumeClaimTemplates"))}
        for c in w.containers:
            for i, m in enumerate(maps(c.data.get("volumeMounts"))):
                if str(m.get("name")) not in names:
                    yield on(
                        c,
                        "volumeMounts",
                        i,
                        "name",
                        say=f"mounts {m.get('name')!r}, which is no volume of the pod{nearest(str(m.get('name')), names)}",
                    )


@check(
    "LT-REL-237",
    "claim does not exist",
    WARNING,
    why="Pods that mount a claim which is not there stay Pending.",
    fix="add the PersistentVolumeClaim, or correct claimName",
)
def missing_claim(world: World) -> Iterator[Hit]:
    for w in world.workloads:
        for i, v in enumerate(w.volumes):
            name = mapping(v.get("persistentVolumeClaim")).get("claimName")
            if name and world.get("PersistentVolumeClaim", w.namespace, str(name)) is None:
                known = world.names("PersistentVolumeClaim", w.namespace)
                hint = nearest(str(name), known)
                path = w.path("volumes", i, "persistentVolumeClaim", "claimName")
                yield Hit(w.manifest, path, f"the claim {name} is not among the manifests{hint}", ERROR if hint else None)


@check(
    "LT-REL-238",
    "priority class does not exist",
    WARNING,
    why="The API refuses pods with an unknown priority class.",
    fix="add the PriorityClass, or correct the name",
)
def missing_priority(world: World) -> Iterator[Hit]:
    known = [m.name for m in world.kind("PriorityClass")]
    for w in world.workloads if known else ():
        name = str(w.pod.get("priorityClassName") or "")
        if name and not name.startswith("system-") and name not in known:
            yield Hit(
                w.manifest,
                w.path("priorityClassName"),
                f"the priority class {name} is not among the manifests{nearest(name, known)}",
            )


@check(
    "LT-REL-239",
    "route to a Gateway that does not exist",
    WARNING,
    why="A route without its Gateway is served by nobody.",
    fix="correct parentRefs",
)
def missing_gateway(world: World) -> Iterator[Hit]:
    gateways = [m for m in world.kind("Gateway") if m.group == "gateway.networking.k8s.io"]
    for m in world.kind("HTTPRoute", "GRPCRoute", "TLSRoute", "TCPRoute") if gateways else ():
        for i, ref in enumerate(maps(m.spec.get("parentRefs"))):
            namespace = str(ref.get("namespace") or world.namespace(m))
            found = [g for g in gateways if g.name == ref.get("name") and world.namespace(g) == namespace]
            known = [g.name for g in gateways if world.namespace(g) == namespace]
            if ref.get("kind", "Gateway") != "Gateway" or (not found and not known):
                continue
            if not found:
                yield Hit(
                    m,
                    ("spec", "parentRefs", i, "name"),
                    f"the Gateway {ref.get('name')} is not among the manifests{nearest(str(ref.get('name')), known)}",
                )
            elif (section := ref.get("sectionName")) and section not in [
                e.get("name") for e in maps(found[0].spec.get("listeners"))
            ]:
                yield Hit(m, ("spec", "parentRefs", i, "sectionName"), f"the Gateway {found[0].name} has no listener {section}")


@check(
    "LT-REL-240",
    "mesh route to a host or subset that does not exist",
    ERROR,
    why="Requests that match the route get 503.",
    fix="correct destination.host, or add the subset to the DestinationRule",
)
def mesh_destination(world: World) -> Iterator[Hit]:
    subsets = {
        (world.namespace(m), str(m.spec.get("host")).partition(".")[0]): [s.get("name") for s in maps(m.spec.get("subsets"))]
        for m in world.kind("DestinationRule")
    }
    for m in world.kind("VirtualService"):
        namespace = world.namespace(m)
        known = world.names("Service", namespace)
        for protocol in ("http", "tcp", "tls"):
            for i, rule in enumerate(maps(m.spec.get(protocol))):
                for j, route in enumerate(maps(rule.get("route"))):
                    target = mapping(route.get("destination"))
                    host, path = str(target.get("host")), ("spec", protocol, i, "route", j, "destination")
                    if known and "." not in host and host not in known:
                        hint = nearest(host, known)
                        say = f"the Service {host} is not among the manifests{hint}"
                        yield Hit(m, (*path, "host"), say, None if hint else WARNING)
                    elif target.get("subset") and (namespace, host.partition(".")[0]) in subsets:
                        names = subsets[namespace, host.partition(".")[0]]
                        if target["subset"] not in names:
                            yield Hit(m, (*path, "subset"), f"{host} has no subset {target['subset']}")


@check(
    "LT-REL-241",
    "subset selects no pod",
    WARNING,
    why="Traffic that is sent to the subset has nobody to answer it.",
    fix="correct the subset's labels",
)
def idle_subset(world: World) -> Iterator[Hit]:
    for m in world.kind("DestinationRule"):
        service = world.get("Service", world.namespace(m), str(m.spec.get("host")).partition(".")[0])
        behind = world.behind(service) if service else []
        for i, subset in enumerate(maps(m.spec.get("subsets"))):
            wanted = {str(k): str(v) for k, v in mapping(subset.get("labels")).items()}
            if behind and wanted and not any(selectors.from_map(wanted)(w.labels) for w in behind):
                yield Hit(
                    m,
                    ("spec", "subsets", i, "labels"),
                    f"no pod of {service.name if service else ''} is in the subset {subset.get('name')}",
                )


@check(
    "LT-REL-139",
    "labels of name and instance contradict",
    INFO,
    why="app.kubernetes.io/instance names the installation: when it differs inside one, tools group it wrongly.",
    fix="use one app.kubernetes.io/instance on the object and on its pods",
)
def instance(world: World) -> Iterator[Hit]:
    for w in world.workloads:
        for key in ("app.kubernetes.io/instance", "app.kubernetes.io/name"):
            outer, inner = w.manifest.labels.get(key), w.labels.get(key)
            if w.base and outer and inner and outer != inner:
                yield Hit(w.manifest, w.meta("labels", key), f"the pods say {inner}, the {w.kind} says {outer} ({key})")


@check(
    "LT-REL-242",
    "two workloads with one selector",
    ERROR,
    why="Controllers fight for each other's pods, and a Service sends to both.",
    fix="give each workload a label value of its own",
)
def same_selector(world: World) -> Iterator[Hit]:
    first: dict[tuple[str, frozenset[tuple[str, str]]], Workload] = {}
    for w in world.serving:
        wanted = mapping(mapping(w.manifest.spec.get("selector")).get("matchLabels"))
        key = (w.namespace, frozenset((str(k), str(v)) for k, v in wanted.items()))
        if wanted and key in first and first[key].name != w.name:
            yield Hit(w.manifest, ("spec", "selector", "matchLabels"), f"{first[key].name} selects the same pods")
        elif wanted:
            first[key] = w
