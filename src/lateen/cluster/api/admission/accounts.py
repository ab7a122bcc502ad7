"""ServiceAccount: a pod's account must exist; unless pod or account decline, its containers get a token to talk to the API server.

Off by default: it needs the controllers that make the accounts ``default`` and the ConfigMaps ``kube-root-ca.crt``.
"""

from __future__ import annotations

from lateen.cluster.api import statuses
from lateen.cluster.api.call import Backend, Call
from lateen.cluster.api.metadata import generated_name
from lateen.kube.meta import Object, edit

_MOUNT_PATH = "/var/run/secrets/kubernetes.io/serviceaccount"
_PREFIX = "kube-api-access-"
_SECONDS = 3607  # an hour, and a mark by which metrics tell these tokens from others
_ATTEMPTS, _PAUSE = 10, 0.15


def _find(backend: Backend, call: Call, pod: Object) -> tuple[str, Object | None]:
    spec = pod.get("spec") or {}
    name = str(spec.get("serviceAccountName") or spec.get("serviceAccount") or "default")
    return name, backend.get("", "v1", "serviceaccounts", call.namespace, name)


async def await_account(backend: Backend, call: Call, pod: Object) -> None:
    """Give a new namespace's account ``default`` a moment to appear."""
    if not backend.account_admission or call.served.collection != "core/pods":
        return
    for _ in range(_ATTEMPTS):
        name, account = _find(backend, call, pod)
        if account is not None or name != "default" or backend.get("", "v1", "namespaces", "", call.namespace) is None:
            return
        await backend.clock.sleep(_PAUSE)


def on_create(backend: Backend, call: Call, pod: Object) -> None:
    """Complete the spec, in place. ForbiddenError for an account that does not exist."""
    if not backend.account_admission:
        return
    name, account = _find(backend, call, pod)
    if account is None:
        why = f'error looking up service account {call.namespace}/{name}: serviceaccount "{name}" not found'
        raise statuses.forbidden(call.served.resource, pod["metadata"].get("name", ""), why)
    spec = pod["spec"]
    if _mounts_token(spec, account):
        _mount(spec)
    if not spec.get("imagePullSecrets") and account.get("imagePullSecrets"):
        spec["imagePullSecrets"] = edit(account["imagePullSecrets"])


def _mounts_token(spec: Object, account: Object) -> bool:
    """The pod decides, then the account; by default yes."""
    for where in (spec, account):
        if (said := where.get("automountServiceAccountToken")) is not None:
            return bool(said)
    return True


def _mount(spec: Object) -> None:
    """Mount the token in every container that has nothing mounted there."""
    volumes = spec.get("volumes") or []
    known = next((v["name"] for v in volumes if v["name"].startswith(_PREFIX)), "")
    name, used = known or generated_name(_PREFIX), False
    for container in (*(spec.get("initContainers") or ()), *(spec.get("containers") or ())):
        mounts = container.get("volumeMounts") or []
        if not any(m.get("mountPath") == _MOUNT_PATH for m in mounts):
            container["volumeMounts"] = [*mounts, {"name": name, "mountPath": _MOUNT_PATH, "readOnly": True}]
            used = True
    if used and not known:
        spec["volumes"] = [*volumes, {"name": name, "projected": _projected()}]


def _projected() -> Object:
    namespace = {"path": "namespace", "fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.namespace"}}
    return {
        "defaultMode": 0o644,
        "sources": [
            {"serviceAccountToken": {"expirationSeconds": _SECONDS, "path": "token"}},
            {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
            {"downwardAPI": {"items": [namespace]}},
        ],
    }
