"""What every cluster has from its first moment: the namespaces. Idempotent; run at each start of the server."""

from __future__ import annotations

from lateen.client.seam import Request
from lateen.cluster.api.call import Backend, Call
from lateen.cluster.api.paths import ResourcePath
from lateen.cluster.api.registry import Served
from lateen.cluster.api.user import UserInfo
from lateen.cluster.api.writing import create_object
from lateen.errors import AlreadyExistsError
from lateen.kube.meta import Object

SERVER = UserInfo(name="system:apiserver", groups=("system:masters", "system:authenticated"))
NAMESPACES = ("default", "kube-system", "kube-public", "kube-node-lease")


async def bootstrap(backend: Backend) -> None:
    """Store what is missing."""
    for name in NAMESPACES:
        await ensure(backend, backend.served("", "v1", "namespaces"), {"metadata": {"name": name}})


async def ensure(backend: Backend, served: Served, obj: Object) -> None:
    """Create ``obj`` unless an object of its name is there."""
    meta = obj["metadata"]
    namespace = meta.get("namespace", "")
    if backend.storage.get(served.key(namespace, meta["name"])) is not None:
        return
    r = served.resource
    full = {"kind": r.kind, "apiVersion": r.api_version, **obj}
    path = ResourcePath(group=r.group, version=r.version, plural=r.plural, namespace=namespace)
    request = Request(method="POST", path=r.path(namespace), user_agent="kube-apiserver")
    try:
        await create_object(backend, Call(request=request, user=SERVER, served=served, path=path, verb="create"), full)
    except AlreadyExistsError:
        return  # written meanwhile
