"""ResourceQuota: refuses what would take a namespace above its bounds. The last step before a write, around it.

Follows plugin/pkg/admission/resourcequota, but for one thing: what is used is counted from storage while the namespace's quotas are
held, so neither a quota just made nor ten writers at once get past it. ``status.used`` is the quota controller's part.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from fractions import Fraction

from lateen.cluster.api import statuses
from lateen.cluster.api.call import Backend, Call
from lateen.kube import quota as rules
from lateen.kube.meta import Object

_UPDATED = frozenset(("pods", "services", "persistentvolumeclaims"))  # what a change may make larger


@asynccontextmanager
async def within(backend: Backend, call: Call, new: Object, old: Object | None) -> AsyncIterator[None]:
    """Around one write. ForbiddenError when it goes over a quota."""
    namespace = new["metadata"].get("namespace") or ""
    resource = call.served.resource.group_resource
    prefix = f"core/resourcequotas/{namespace}/"
    if not namespace or not backend.storage.count(prefix) or (old is not None and not _grows(call, resource)):
        yield
        return
    async with backend.locks.hold(prefix):
        _check(backend, call, new, old)
        yield


def _grows(call: Call, resource: str) -> bool:
    return resource in _UPDATED and call.path.subresource in ("", "resize")


def _check(backend: Backend, call: Call, new: Object, old: Object | None) -> None:
    resource, now = call.served.resource.group_resource, backend.clock.now()
    before = rules.usage(resource, old, now) if old is not None else {}
    delta = {n: a - before.get(n, Fraction(0)) for n, a in rules.usage(resource, new, now).items()}
    for quota in list(backend.objects("", "v1", "resourcequotas", new["metadata"]["namespace"])):
        hard = rules.hard_of(quota)
        if not rules.covers(quota, resource, new) or all(rules.resource_of(n) != resource for n in hard):
            continue
        missing = rules.unsaid(hard, new) if resource == "pods" and old is None else ""
        why = f"failed quota: {quota['metadata']['name']}: must specify {missing}" if missing else ""
        why = why or _over(backend, call, quota, hard, {n: a for n, a in delta.items() if n in hard and a})
        if why:
            raise statuses.forbidden(call.served.resource, new["metadata"].get("name") or "", why)


def _over(backend: Backend, call: Call, quota: Object, hard: rules.Amounts, more: rules.Amounts) -> str:
    """How ``more`` goes over the quota, in the server's words; empty: it does not."""
    if not more:
        return ""
    served, meta = call.served, quota["metadata"]
    records = backend.storage.list(served.prefix(meta["namespace"])).records
    used = rules.total(served.resource.group_resource, (r.obj for r in records), quota, backend.clock.now())
    names = rules.over(hard, used, more)
    if not names:
        return ""
    amounts = (rules.listed(names, kind) for kind in (more, used, hard))
    return "exceeded quota: {}, requested: {}, used: {}, limited: {}".format(meta["name"], *amounts)
