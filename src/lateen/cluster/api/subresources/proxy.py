"""``pods/proxy``, ``services/proxy`` and ``nodes/proxy``: any HTTP request, carried to a pod, to a pod of a service, or to the
kubelet's pages. A name may say more: ``scheme:name:port``. TLS towards the target is not spoken."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import quote, urlencode

from lateen.cluster.api import statuses
from lateen.cluster.api.call import Answer, Backend, Call
from lateen.cluster.api.streaming.http import Ask, Exchange, exchange
from lateen.cluster.api.streaming.seam import Connection
from lateen.errors import ApiError, LateenError
from lateen.kube.meta import Object, condition_true, labels_of, meta


@dataclass(frozen=True, slots=True)
class _Target:
    """Who is meant, and the port as it was written."""

    name: str
    port: str


async def of_pod(backend: Backend, call: Call) -> Answer:
    """The pod's own port; the first that it declares where none is named."""
    target = _target(call.name)
    pod = backend.get("", "v1", "pods", call.namespace, target.name)
    if pod is None:
        raise statuses.not_found(call.served.resource, target.name)
    return await _carry(backend, call, pod, _pod_port(pod, target.port))


def _pod_port(pod: Object, wanted: str) -> int:
    if wanted.isdigit():
        return int(wanted)
    declared = [p for c in pod["spec"].get("containers") or () for p in c.get("ports") or ()]
    found = [p for p in declared if not wanted or p.get("name") == wanted]
    if wanted and not found:
        raise statuses.bad_request(f"no port {wanted!r} on pod {meta(pod)['name']}")
    return int(found[0]["containerPort"]) if found else 80


async def of_service(backend: Backend, call: Call) -> Answer:
    """A ready endpoint of the service. ServiceUnavailable without one."""
    target = _target(call.name)
    service = backend.get("", "v1", "services", call.namespace, target.name)
    if service is None:
        raise statuses.not_found(call.served.resource, target.name)
    ports = (service.get("spec") or {}).get("ports") or []
    wanted = [p for p in ports if not target.port or target.port in (p.get("name"), str(p.get("port")))]
    if not wanted:
        raise statuses.unavailable(f'no service port "{target.port}" found for service "{target.name}"')
    for pod, port in _endpoints(backend, call.namespace, target.name, str(wanted[0].get("name") or "")):
        return await _carry(backend, call, pod, port)
    raise statuses.unavailable(f'no endpoints available for service "{target.name}"')


def _endpoints(backend: Backend, namespace: str, service: str, port_name: str) -> list[tuple[Object, int]]:
    found = []
    for endpoint_slice in backend.objects("discovery.k8s.io", "v1", "endpointslices", namespace):
        if labels_of(endpoint_slice).get("kubernetes.io/service-name") != service:
            continue
        ports = [int(p["port"]) for p in endpoint_slice.get("ports") or () if (p.get("name") or "") == port_name and p.get("port")]
        for endpoint in endpoint_slice.get("endpoints") or ():
            reference = endpoint.get("targetRef") or {}
            pod = backend.get("", "v1", "pods", namespace, str(reference.get("name"))) if reference.get("kind") == "Pod" else None
            if pod is not None and ports and condition_true(pod, "Ready"):
                found.append((pod, ports[0]))
    return found


async def of_node(backend: Backend, call: Call) -> Answer:
    """A page of the kubelet."""
    target = _target(call.name)
    if backend.get("", "v1", "nodes", "", target.name) is None:
        raise statuses.not_found(call.served.resource, target.name)
    try:
        page = await backend.nodes.page(target.name, call.path.rest.strip("/"))
    except ApiError:
        raise
    except LateenError as error:
        raise statuses.unavailable(f"error trying to reach service: {error}") from error
    if page is None:
        return Answer(status=404, raw=b"404 page not found\n", content_type="text/plain; charset=utf-8")
    return Answer(raw=page[1], content_type=page[0])


async def _carry(backend: Backend, call: Call, pod: Object, port: int) -> Answer:
    try:
        answer = await _exchange(await backend.nodes.dial(pod, port), call, f"{meta(pod)['name']}:{port}")
    except (OSError, ValueError) as error:
        raise statuses.unavailable(f"error trying to reach service: {error}") from error
    headers = dict(answer.headers)
    kind = headers.pop("content-type", "application/octet-stream")
    return Answer(status=answer.status, stream=answer.body, content_type=kind, headers=headers)


async def _exchange(connection: Connection, call: Call, host: str) -> Exchange:
    request, (reader, writer) = call.request, connection
    query = urlencode(request.query, doseq=True)
    body = request.body if isinstance(request.body, bytes) else b""
    whole, start = request.path, call.served.resource.path(call.namespace, call.name, "proxy")
    rest = whole[len(start) :] if whole.startswith(start) else call.path.rest  # as it was written, slashes at its end included
    target = "/" + quote(rest.lstrip("/"), safe="/:@!$&'()*+,;=~") + (f"?{query}" if query else "")
    try:
        return await exchange(
            reader, writer, Ask(method=request.method, target=target, host=host, headers=request.headers, body=body)
        )
    except BaseException:  # whatever ends it, the connection is ours
        writer.close()
        raise


def _target(name: str) -> _Target:
    parts = name.split(":")
    if len(parts) == 3:
        if parts[0] == "https":
            raise statuses.bad_request("proxying to an https target is not served")
        parts = parts[1:]
    return _Target(parts[0], parts[1] if len(parts) > 1 else "")
