"""Health checks as Kubernetes probes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lateen.model.container import Health, Port, Probe
from lateen.model.rules.service import probe_port
from lateen.render.names import seconds


def probes(health: Health, ports: Mapping[str, Port], deadline: float, *, patient: bool = True) -> dict[str, Any]:
    """The container's probe fields.

    Without ``startup``, readiness is checked every second until it first succeeds: a fast service is found ready at once, on any
    cluster, and a slow one has until the rollout's deadline.
    """
    result: dict[str, Any] = {}
    if (startup := health.startup) is not None:
        result["startupProbe"] = _probe(startup, ports)
    elif patient and (ready := health.ready) is not None:
        often = {"periodSeconds": 1, "failureThreshold": max(1, seconds(deadline)), "successThreshold": 1}
        result["startupProbe"] = _probe(ready, ports) | often
    if health.ready is not None:
        result["readinessProbe"] = _probe(health.ready, ports)
    if health.live is not None:
        result["livenessProbe"] = _probe(health.live, ports)
    return result


def _probe(probe: Probe, ports: Mapping[str, Port]) -> dict[str, Any]:
    return {
        **_handler(probe, ports),
        **({"initialDelaySeconds": seconds(probe.delay)} if probe.delay else {}),
        "periodSeconds": max(1, seconds(probe.period)),
        "timeoutSeconds": max(1, seconds(probe.timeout)),
        "failureThreshold": probe.failures,
        "successThreshold": probe.successes,
    }


def _handler(probe: Probe, ports: Mapping[str, Port]) -> dict[str, Any]:
    if probe.exec is not None:
        return {"exec": {"command": list(probe.exec)}}
    port = _number(probe_port(probe), ports)
    if probe.get is not None:
        path = probe.get.rpartition(":")[0] if ":" in probe.get else probe.get
        return {"httpGet": {"path": path, "port": port}}
    if probe.tcp is not None:
        return {"tcpSocket": {"port": port}}
    _, _, name = str(probe.grpc).partition("/")
    return {"grpc": {"port": port, **({"service": name} if name else {})}}


def _number(port: int | str, ports: Mapping[str, Port]) -> int:
    if isinstance(port, int):
        return port
    found = ports[port or next(iter(ports))]
    return found.target or found.port
