"""How requests to a service are counted, in PromQL. One table, so that rules, dashboards and alerts agree.

Who counts is the application itself (OpenTelemetry's semantic conventions for HTTP servers) unless a mesh does: ``--with istio``,
``--with linkerd``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from lateen.model import Application
from lateen.render.capabilities import ISTIO, LINKERD, Capabilities


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Series of requests that a service answered. Matchers stand in braces, joined by commas.

    ``unit`` is how many of the histogram's units a second has; ``where`` has the fields ``namespace`` and ``service``; ``caller``
    names who called, '' where nobody knows; ``route`` the matched path.
    """

    count: str
    failed: str
    bucket: str
    sum: str
    unit: int
    bounds: tuple[float, ...]  # seconds
    where: str
    caller: str = ""
    route: str = ""
    code: str = ""


_OTEL_BOUNDS = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10)
_ISTIO_BOUNDS = (0.0005, 0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 600, 1800, 3600)
_LINKERD_BOUNDS = (
    0.001,
    0.002,
    0.003,
    0.004,
    0.005,
    0.01,
    0.02,
    0.03,
    0.04,
    0.05,
    0.1,
    0.2,
    0.3,
    0.4,
    0.5,
    1,
    2,
    3,
    4,
    5,
    10,
    20,
    30,
    40,
    50,
)
_APPLICATION = Source(
    count="http_server_request_duration_seconds_count",
    failed='http_response_status_code=~"5.."',
    bucket="http_server_request_duration_seconds_bucket",
    sum="http_server_request_duration_seconds_sum",
    unit=1,
    bounds=_OTEL_BOUNDS,
    where='namespace="{namespace}",service="{service}"',
    route="http_route",
    code="http_response_status_code",
)
_ISTIO = Source(
    count="istio_requests_total",
    failed='response_code=~"5.."',
    bucket="istio_request_duration_milliseconds_bucket",
    sum="istio_request_duration_milliseconds_sum",
    unit=1000,
    bounds=_ISTIO_BOUNDS,
    where='reporter="destination",destination_service_namespace="{namespace}",destination_service_name="{service}"',
    caller="source_canonical_service",
    code="response_code",
)
_LINKERD = Source(
    count="response_total",
    failed='classification="failure"',
    bucket="response_latency_ms_bucket",
    sum="response_latency_ms_sum",
    unit=1000,
    bounds=_LINKERD_BOUNDS,
    where='direction="inbound",namespace="{namespace}",app_kubernetes_io_name="{service}"',
    caller="client_id",
    code="status_code",
)


def source(having: Capabilities) -> Source:
    """Who counts, in a cluster that has this."""
    return _ISTIO if ISTIO in having else _LINKERD if LINKERD in having else _APPLICATION


def where(found: Source, app: Application, service: str, **more: str) -> str:
    """The matchers of a service's series, with labels of ``more``."""
    text = found.where.format(namespace=app.namespace, service=service)
    return ",".join([text, *[f'{label}="{value}"' for label, value in more.items()]])


def bound(found: Source, threshold: float) -> float:
    """The bound of a bucket that a threshold of so many seconds means: itself, else the next smaller one, which is stricter."""
    return max((b for b in found.bounds if b <= threshold + 1e-9), default=found.bounds[0])


def le(found: Source, seconds: float) -> str:
    """A matcher of ``le`` that holds for a bound however the number is written."""
    text = f"{seconds * found.unit:g}"
    return f'le=~"{text}|{text}.0"' if "." not in text else f'le="{text}"'


def labels_of(found: Source, route: str | None) -> Mapping[str, str]:
    """Further labels for one route only, where the source knows routes."""
    return {found.route: route} if route and found.route else {}
