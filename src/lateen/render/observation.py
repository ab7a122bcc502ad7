"""How a service is seen: the ServiceMonitor or PodMonitor by which Prometheus' operator finds its metrics."""

from __future__ import annotations

from lateen.kube.meta import Object
from lateen.model import Application
from lateen.render.capabilities import PROMETHEUS, Capabilities
from lateen.render.names import obj, seconds, selector, service_labels

_OPERATOR = "monitoring.coreos.com/v1"


def monitors(app: Application, name: str, having: Capabilities) -> list[Object]:
    """A ServiceMonitor for what has a Service, else a PodMonitor; nothing where the operator is not."""
    service = app.services[name]
    metrics = service.observe.metrics
    if metrics is None or PROMETHEUS not in having:
        return []
    port = metrics.port or next(iter(service.ports))
    endpoint = {"port": port, "path": metrics.path, "interval": f"{seconds(metrics.interval)}s"}
    chosen = {"selector": {"matchLabels": selector(app, name)}}
    labels = service_labels(app, name)
    if service.role in ("job", "cron"):
        return [obj(_OPERATOR, "PodMonitor", name, app=app, labels=labels, spec={**chosen, "podMetricsEndpoints": [endpoint]})]
    return [obj(_OPERATOR, "ServiceMonitor", name, app=app, labels=labels, spec={**chosen, "endpoints": [endpoint]})]
