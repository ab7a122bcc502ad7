"""How many, how much and where: ``deploy``, and the older fields that say the same."""

from __future__ import annotations

from typing import Any

from lateen.adopt.compose.values import cores, duration, mapping, number, size, text
from lateen.adopt.nodes import Loss, filled
from lateen.kube.yamltext import Node

_LEFT = {
    "placement": "say it in a patch under x-lateen",
    "endpoint_mode": "Services balance requests",
    "rollback_config": "lateen goes back by itself; see rollout.rollback",
}


def count(service: Node) -> int | None:
    """How many pods, where the file says it."""
    deploy = service.get("deploy")
    node = (deploy.get("replicas") if deploy is not None else None) or service.get("scale")
    return number(node) if node is not None and node.data is not None else None


def mode(service: Node) -> str:
    """``replicated``, ``global``, ``replicated-job`` or ``global-job``."""
    deploy = service.get("deploy")
    return text(deploy.get("mode")) or "replicated" if deploy is not None else "replicated"


def resources(service: Node) -> dict[str, Any]:
    """CPU and memory: reservations are requests. A limit alone is a request, too, as in Kubernetes."""
    deploy = service.get("deploy")
    both = deploy.get("resources") if deploy is not None else None
    low, high = (both.get("reservations"), both.get("limits")) if both is not None else (None, None)
    cpu = _range(_of(low, "cpus"), _of(high, "cpus") or service.get("cpus"), cores)
    memory = _range(_of(low, "memory") or service.get("mem_reservation"), _of(high, "memory") or service.get("mem_limit"), size)
    return filled({"cpu": cpu, "memory": memory})


def _of(node: Node | None, name: str) -> Node | None:
    return node.get(name) if node is not None else None


def _range(low: Node | None, high: Node | None, parse: Any) -> str:
    request = parse(low) if low is not None and low.data is not None else ""
    limit = parse(high) if high is not None and high.data is not None else ""
    return f"{request or limit}..{limit}" if limit else request


def rollout(service: Node) -> dict[str, Any]:
    """``update_config``: start-first starts new pods before old ones stop."""
    deploy = service.get("deploy")
    config = deploy.get("update_config") if deploy is not None else None
    if config is None or not isinstance(config.data, dict):
        return {}
    at_once = number(config.get("parallelism"), default=1) or "100%"
    first = text(config.get("order")) == "start-first"
    found: dict[str, Any] = {"surge": at_once, "unavailable": 0} if first else {"surge": 0, "unavailable": at_once}
    if (monitor := config.get("monitor")) is not None:
        found["minReady"] = duration(monitor)
    return found


def left(name: str, service: Node) -> list[Loss]:
    """What of ``deploy`` is not carried."""
    deploy = mapping(service.get("deploy"))
    found = [Loss(str(n.key or n.mark), f"services.{name}.deploy.{k}", _LEFT[k]) for k, n in deploy.items() if k in _LEFT]
    for side in mapping(deploy.get("resources")).values():
        for key, node in mapping(side).items():
            if key not in ("cpus", "memory"):
                found.append(Loss(str(node.key or node.mark), f"services.{name}.deploy.resources: {key}", "cpu and memory only"))
    return found
