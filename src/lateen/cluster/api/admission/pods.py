"""Pods: the service account's name, runtime class, priority, and the tolerations that give a lost node its five minutes.

Whether the account exists, and its token, is ``accounts``' part; classes are ``runtimes``' and ``priorities``'.
"""

from __future__ import annotations

from lateen.cluster.api.admission import accounts, priorities, runtimes
from lateen.cluster.api.call import Backend, Call
from lateen.kube.meta import Object

_LOST = ("node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable")
_SECONDS = 300


def on_create(backend: Backend, call: Call, pod: Object) -> None:
    """Complete the spec, in place. ForbiddenError (runtimes, priorities)."""
    spec = pod.setdefault("spec", {})
    if not spec.get("serviceAccountName"):
        spec["serviceAccountName"] = spec.get("serviceAccount") or "default"
    spec["serviceAccount"] = spec["serviceAccountName"]
    accounts.on_create(backend, call, pod)
    runtimes.on_create(backend, call, pod)
    priorities.on_create(backend, call, pod)
    tolerations = spec.get("tolerations") or []
    for key in _LOST:
        if not any(t.get("key") in (key, None, "") and t.get("effect") in ("NoExecute", None, "") for t in tolerations):
            tolerations = [*tolerations, {"key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": _SECONDS}]
    spec["tolerations"] = tolerations
