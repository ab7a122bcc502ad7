"""metrics.k8s.io/v1beta1, what ``kubectl top`` and autoscalers read: made of the nodes' measurements when asked, never stored."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from lateen.cluster.api import statuses
from lateen.cluster.api.call import Answer, Backend, Call
from lateen.cluster.api.reading import matcher
from lateen.cluster.api.registry import Served
from lateen.cluster.api.streaming.seam import NodeUsage, Use
from lateen.cluster.api.tables.base import Column, at, dig
from lateen.errors import LateenError
from lateen.kube.meta import Object, meta, timestamp
from lateen.kube.resources import Resource

GROUP, VERSION = "metrics.k8s.io", "v1beta1"


def _resource(kind: str, plural: str, *, namespaced: bool) -> Resource:
    return Resource(group=GROUP, version=VERSION, kind=kind, plural=plural, namespaced=namespaced, verbs=("get", "list"))


def _total(name: str) -> Column:
    """Of a node, or of a pod's containers together."""

    def cell(obj: Object, _: datetime) -> str:
        used = [obj.get("usage")] if "usage" in obj else [c.get("usage") for c in obj.get("containers") or ()]
        number = sum(int(str(u[name]).rstrip("nKi")) for u in used if u)
        return f"{-(-number // 1_000_000)}m" if name == "cpu" else f"{number}Ki"

    return Column(name, cell)


_COLUMNS = (Column("Name", at("metadata", "name"), format="name"), _total("cpu"), _total("memory"), Column("Window", at("window")))


def served() -> list[Served]:
    """Both resources, for the registry."""
    resources = (_resource("NodeMetrics", "nodes", namespaced=False), _resource("PodMetrics", "pods", namespaced=True))
    return [Served(resource=r, stored=r, collection=f"{GROUP}/{r.plural}", custom=True, columns=_COLUMNS) for r in resources]


async def nodes(backend: Backend, call: Call) -> Answer:
    """One node, or all that can be measured. NotFoundError for one that cannot."""
    found = [o for o in backend.objects("", "v1", "nodes") if _named(call, o)]
    read = {meta(o)["name"]: await _read(backend, meta(o)["name"]) for o in found}
    return _answer(backend, call, (_node(o, usage) for o in found if (usage := read[meta(o)["name"]]) is not None))


async def pods(backend: Backend, call: Call) -> Answer:
    """One pod, or all running ones that can be measured."""
    found = [o for o in backend.objects("", "v1", "pods", call.namespace) if _named(call, o)]
    names = sorted({str(dig(o, "spec", "nodeName")) for o in found if dig(o, "status", "phase") == "Running"})
    read = {name: await _read(backend, name) for name in names}
    return _answer(backend, call, _pods(found, read))


def _named(call: Call, obj: Object) -> bool:
    return not call.name or meta(obj)["name"] == call.name


async def _read(backend: Backend, node: str) -> NodeUsage | None:
    try:
        return await backend.nodes.usage(node)
    except LateenError:
        return None  # a node that cannot be asked now has no metrics, like one whose kubelet does not answer


def _pods(found: Iterable[Object], read: Mapping[str, NodeUsage | None]) -> Iterable[Object]:
    for pod in found:
        usage = read.get(str(dig(pod, "spec", "nodeName")))
        containers = usage.pods.get(str(meta(pod)["uid"])) if usage is not None else None
        if usage is not None and containers:
            listed = [{"name": name, "usage": _usage(used)} for name, used in containers.items()]
            yield {**_head("PodMetrics", pod, usage), "containers": listed}


def _node(node: Object, usage: NodeUsage) -> Object:
    return {**_head("NodeMetrics", node, usage), "usage": _usage(usage.node)}


def _head(kind: str, obj: Object, usage: NodeUsage) -> Object:
    kept = {k: meta(obj)[k] for k in ("name", "namespace", "labels") if k in meta(obj)}
    when = timestamp(usage.at)
    return {
        "kind": kind,
        "apiVersion": f"{GROUP}/{VERSION}",
        "metadata": {**kept, "creationTimestamp": when},
        "timestamp": when,
        "window": f"{usage.window:.3f}".rstrip("0").rstrip(".") + "s",
    }


def _usage(used: Use) -> dict[str, Any]:
    return {"cpu": f"{int(used.cores * 1e9)}n", "memory": f"{used.memory // 1024}Ki"}


def _answer(backend: Backend, call: Call, objects: Iterable[Object]) -> Answer:
    if call.name:
        one = next(iter(objects), None)
        if one is None:
            raise statuses.not_found(call.served.resource, call.name)
        return Answer(obj=one)
    wanted = matcher(call)
    items = [o for o in objects if wanted is None or wanted(o)]
    head = {"kind": call.served.list_kind, "apiVersion": f"{GROUP}/{VERSION}", "metadata": {}}
    return Answer(obj={**head, "items": items})
