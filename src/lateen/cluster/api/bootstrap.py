"""What every cluster has from its first moment: namespaces, priority classes, the ``kubernetes`` Service. Idempotent; run at each
start of the server. Roles and their bindings are ``auth``'s list.
"""

from __future__ import annotations

from collections.abc import Callable

from lateen.aio.tasks import gather
from lateen.client.seam import Request
from lateen.cluster.api.auth import policy
from lateen.cluster.api.call import Backend, Call
from lateen.cluster.api.paths import ResourcePath
from lateen.cluster.api.registry import Served
from lateen.cluster.api.user import SERVER
from lateen.cluster.api.writing import change_object, create_object
from lateen.errors import AlreadyExistsError
from lateen.kube.meta import Object

NAMESPACES = ("default", "kube-system", "kube-public", "kube-node-lease")
_PRIORITIES = {
    "system-node-critical": (2000001000, "not be moved from their current node"),
    "system-cluster-critical": (2000000000, "run in the cluster, but can be moved to another node if necessary"),
}


async def bootstrap(backend: Backend) -> None:
    """Store what is missing. All at once: a durable store commits them together."""
    namespaces = backend.served("", "v1", "namespaces")
    works = [ensure(backend, namespaces, {"metadata": {"name": name}}) for name in NAMESPACES]
    for obj in policy.objects():
        served = backend.registry.by_kind(policy.RBAC, obj["kind"], "v1")
        assert served is not None
        works.append(put(backend, served, obj))
    classes = backend.served("scheduling.k8s.io", "v1", "priorityclasses")
    for name, (value, use) in _PRIORITIES.items():
        text = f"Used for system critical pods that must {use}."
        works.append(ensure(backend, classes, {"metadata": {"name": name}, "value": value, "description": text}))
    await gather(works)


async def publish(backend: Backend, host: str, port: int) -> None:
    """The Service ``kubernetes`` and where it leads."""
    labels = {"component": "apiserver", "provider": "kubernetes"}
    meta = {"name": "kubernetes", "namespace": "default", "labels": labels}
    ports = [{"name": "https", "port": 443, "protocol": "TCP", "targetPort": port}]
    spec = {"type": "ClusterIP", "clusterIP": backend.addresses.first, "sessionAffinity": "None", "ports": ports}
    await put(backend, backend.served("", "v1", "services"), {"metadata": meta, "spec": spec})
    slice_meta = {"name": "kubernetes", "namespace": "default", "labels": {"kubernetes.io/service-name": "kubernetes"}}
    endpoint = {"addresses": [host], "conditions": {"ready": True}}
    body = {"addressType": "IPv4", "endpoints": [endpoint], "ports": [{"name": "https", "port": port, "protocol": "TCP"}]}
    await put(backend, backend.served("discovery.k8s.io", "v1", "endpointslices"), {"metadata": slice_meta, **body})
    subset = {"addresses": [{"ip": host}], "ports": [{"name": "https", "port": port, "protocol": "TCP"}]}
    core_meta = {"name": "kubernetes", "namespace": "default", "labels": {"endpointslice.kubernetes.io/skip-mirror": "true"}}
    await put(backend, backend.served("", "v1", "endpoints"), {"metadata": core_meta, "subsets": [subset]})


async def publish_authentication(backend: Backend, clients: str, proxies: str) -> None:
    """How extension API servers know users: the authorities of client certificates and of the front proxy, its
    headers, and the Role to read that."""
    data = {
        "client-ca-file": clients,
        "requestheader-client-ca-file": proxies,
        "requestheader-allowed-names": '["front-proxy-client"]',
        "requestheader-username-headers": '["X-Remote-User"]',
        "requestheader-uid-headers": '["X-Remote-Uid"]',
        "requestheader-group-headers": '["X-Remote-Group"]',
        "requestheader-extra-headers-prefix": '["X-Remote-Extra-"]',
    }
    meta = {"name": "extension-apiserver-authentication", "namespace": "kube-system"}
    await put(backend, backend.served("", "v1", "configmaps"), {"metadata": meta, "data": data})
    await put(backend, backend.served(policy.RBAC, "v1", "roles"), policy.authentication_reader())


def server_call(served: Served, method: str, namespace: str, name: str = "", *, subresource: str = "") -> Call:
    """A call that the server makes itself."""
    r = served.resource
    path = ResourcePath(group=r.group, version=r.version, plural=r.plural, namespace=namespace, name=name, subresource=subresource)
    request = Request(method=method, path=r.path(namespace, name, subresource), user_agent="kube-apiserver")
    return Call(
        request=request, user=SERVER, served=served, path=path, verb={"POST": "create", "PUT": "update", "DELETE": "delete"}[method]
    )


def _whole(served: Served, obj: Object) -> Object:
    return {"kind": served.resource.kind, "apiVersion": served.resource.api_version, **obj}


async def ensure(backend: Backend, served: Served, obj: Object) -> None:
    """Create ``obj`` unless an object of its name is there."""
    meta = obj["metadata"]
    namespace = meta.get("namespace", "")
    if backend.storage.get(served.key(namespace, meta["name"])) is not None:
        return
    try:
        await create_object(backend, server_call(served, "POST", namespace), _whole(served, obj))
    except AlreadyExistsError:
        return  # written meanwhile


async def put(backend: Backend, served: Served, obj: Object) -> None:
    """Create ``obj``, or make the stored one say the same."""
    meta = obj["metadata"]
    namespace = meta.get("namespace", "")
    if backend.storage.get(served.key(namespace, meta["name"])) is None:
        await ensure(backend, served, obj)
        return
    change: Callable[[Object], Object] = lambda old: {**old, **obj, "metadata": {**old["metadata"], **meta}}  # noqa: E731 - one use
    await change_object(backend, server_call(served, "PUT", namespace, meta["name"]), change)
