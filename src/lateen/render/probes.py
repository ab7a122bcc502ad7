"""Health checks as Kubernetes probes."""

from __future__ import annotations

from typing import Any

from lateen.model import Service
from lateen.model.check import probe_port
from lateen.model.service import Probe
from lateen.render.names import seconds


def probes(service: Service) -> dict[str, Any]:
    """The container's probe fields.

    Without ``startup``, readiness is checked every second until it first succeeds: a fast service is found ready at once, on any
    cluster, and a slow one has until the rollout's deadline.
    """
    health = service.health
    result: dict[str, Any] = {}
    if (startup := health.startup) is not None:
        result["startupProbe"] = _probe(startup, service)
    elif (ready := health.ready) is not None:
        patient = {"periodSeconds": 1, "failureThreshold": max(1, seconds(service.rollout.deadline)), "successThreshold": 1}
        result["startupProbe"] = _probe(ready, service) | patient
    if health.ready is not None:
        result["readinessProbe"] = _probe(health.ready, service)
    if health.live is not None:
        result["livenessProbe"] = _probe(health.live, service)
    return result


def _probe(probe: Probe, service: Service) -> dict[str, Any]:
    return {
        **_handler(probe, service),
        **({"initialDelaySeconds": seconds(probe.delay)} if probe.delay else {}),
        "periodSeconds": max(1, seconds(probe.period)),
        "timeoutSeconds": max(1, seconds(probe.timeout)),
        "failureThreshold": probe.failures,
        "successThreshold": probe.successes,
    }


def _handler(probe: Probe, service: Service) -> dict[str, Any]:
    if probe.exec is not None:
        return {"exec": {"command": list(probe.exec)}}
    port = _number(probe_port(probe), service)
    if probe.get is not None:
        path = probe.get.rpartition(":")[0] if ":" in probe.get else probe.get
        return {"httpGet": {"path": path, "port": port}}
    if probe.tcp is not None:
        return {"tcpSocket": {"port": port}}
    _, _, name = str(probe.grpc).partition("/")
    return {"grpc": {"port": port, **({"service": name} if name else {})}}


def _number(port: int | str, service: Service) -> int:
    if isinstance(port, int):
        return port
    found = service.ports[port or next(iter(service.ports))]
    return found.target or found.port
