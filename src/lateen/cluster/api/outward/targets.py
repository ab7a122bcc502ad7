"""Which endpoint of a Service answers, and how it is reached: through the node of its pod, or directly where there is no pod.

Used by ``aggregation`` and by webhooks. Pods are dialled through their nodes, because a pod's address may mean nothing outside its
own network.
"""

from __future__ import annotations

import asyncio
import itertools
from dataclasses import dataclass

from lateen.cluster.api.call import Backend
from lateen.cluster.api.streaming.seam import Connection
from lateen.errors import LateenError
from lateen.kube.meta import Object, labels_of

_TURN = itertools.count()


@dataclass(frozen=True, slots=True)
class ServicePort:
    """A port of a Service, by number."""

    namespace: str
    name: str
    port: int = 443

    @property
    def host(self) -> str:
        """The name its certificate must carry."""
        return f"{self.name}.{self.namespace}.svc"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One address behind a service; ``pod`` where it is a pod's."""

    address: str
    port: int
    pod: Object | None = None


class UnreachableError(LateenError):
    """Nobody answers there; ``reason`` is what an APIService's condition says."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


def endpoints(backend: Backend, ref: ServicePort) -> list[Endpoint]:
    """Who answers for the service. UnreachableError, with the words of the aggregation layer."""
    service = backend.get("", "v1", "services", ref.namespace, ref.name)
    if service is None:
        raise UnreachableError("ServiceNotFound", f'service/{ref.name} in "{ref.namespace}" is not present')
    spec = service.get("spec") or {}
    if spec.get("type") == "ExternalName":
        return [Endpoint(str(spec.get("externalName")), ref.port)]
    port = next((p for p in spec.get("ports") or () if p.get("port") == ref.port), None)
    if port is None:
        why = f'service/{ref.name} in "{ref.namespace}" is not listening on port {ref.port}'
        raise UnreachableError("ServicePortError", why)
    slices = [s for s in backend.objects("discovery.k8s.io", "v1", "endpointslices", ref.namespace) if _of(s, ref.name)]
    if not slices:
        raise UnreachableError("EndpointsNotFound", f'cannot find endpointslices for service/{ref.name} in "{ref.namespace}"')
    name = str(port.get("name") or "")
    found = [e for s in slices for e in _ready(backend, s, ref.namespace, name)]
    if not found:
        why = f'endpoints for service/{ref.name} in "{ref.namespace}" have no addresses with port name "{name}"'
        raise UnreachableError("MissingEndpoints", why)
    return found


def _of(endpoint_slice: Object, service: str) -> bool:
    return labels_of(endpoint_slice).get("kubernetes.io/service-name") == service


def _ready(backend: Backend, endpoint_slice: Object, namespace: str, port_name: str) -> list[Endpoint]:
    ports = [p["port"] for p in endpoint_slice.get("ports") or () if (p.get("name") or "") == port_name and p.get("port")]
    found = []
    for endpoint in endpoint_slice.get("endpoints") or ():
        if ports and (endpoint.get("conditions") or {}).get("ready", True) is not False:
            reference = endpoint.get("targetRef") or {}
            pod = backend.get("", "v1", "pods", namespace, str(reference.get("name"))) if reference.get("kind") == "Pod" else None
            found.append(Endpoint(endpoint["addresses"][0], int(ports[0]), pod))
    return found


async def dial(backend: Backend, ref: ServicePort) -> Connection:
    """A connection to one of the service's endpoints, in rotation; the next one where one does not answer. OSError,
    UnreachableError."""
    found = endpoints(backend, ref)
    start = next(_TURN) % len(found)
    failure: Exception | None = None
    for endpoint in (*found[start:], *found[:start]):
        try:
            if endpoint.pod is not None:
                return await backend.nodes.dial(endpoint.pod, endpoint.port)
            return await asyncio.open_connection(endpoint.address, endpoint.port)
        except (OSError, LateenError) as error:
            failure = error
    raise OSError(str(failure)) from failure
