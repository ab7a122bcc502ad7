"""ResourceQuotas: ``status.hard`` and ``status.used``, counted anew whenever something that counts comes, goes or changes.

The API server does not read ``status.used`` to refuse (see ``api.admission.quotas``); people do.
"""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction

from lateen.client.informer import Informer
from lateen.cluster.controllers.kit import Kit, spec_of, status_of
from lateen.kube import quota as rules
from lateen.kube.meta import Key, Object, key_of, meta
from lateen.kube.resources import PODS, PVCS, RESOURCEQUOTAS, SERVICES, Resource
from lateen.reconcile import DONE, Controller, Result, Source

_SETTLE = 0.1  # seconds: many objects that come together are counted once
_RESYNC = 300.0


def controller(kit: Kit) -> Controller:
    """The controller, fed by quotas and whatever they count."""
    quotas = kit.informer(RESOURCEQUOTAS)

    def beside(obj: Object) -> Iterable[Key]:
        return [key_of(q) for q in quotas.list(key_of(obj).namespace)]

    reconciler = QuotaReconciler(kit)
    counted = [Source(informer=kit.informer(r), keys=beside, predicate=_counts, delay=_SETTLE) for r in (PODS, SERVICES, PVCS)]
    made = Controller(
        name="resourcequota", reconciler=reconciler, sources=[Source(informer=quotas), *counted], clock=kit.clock, workers=2
    )

    def follow(informer: Informer) -> None:
        def handle(old: Object | None, new: Object | None) -> None:
            if (old is None) != (new is None):
                for key in beside(new or old or {}):
                    made.queue.add_after(key, _SETTLE)

        informer.subscribe(handle)

    reconciler.follow = follow
    return made


def _counts(old: Object | None, new: Object | None) -> bool:
    """Whether the change may matter: not each status write of a running pod does."""
    if old is None or new is None:
        return True
    return (
        old.get("spec") != new.get("spec")
        or status_of(old).get("phase") != status_of(new).get("phase")
        or meta(old).get("deletionTimestamp") != meta(new).get("deletionTimestamp")
    )


class QuotaReconciler:
    """One quota's status."""

    def __init__(self, kit: Kit) -> None:
        self._kit = kit
        self._quotas = kit.informer(RESOURCEQUOTAS)
        self._informers: dict[str, Informer] = {r.plural: kit.informer(r) for r in (PODS, SERVICES, PVCS)}
        self.follow = _nobody  # set once, by ``controller``

    async def reconcile(self, key: Key) -> Result:
        quota = self._quotas.get(key)
        if quota is None:
            return DONE
        hard = spec_of(quota).get("hard") or {}
        used: rules.Amounts = dict.fromkeys(hard, Fraction(0))
        for resource in {rules.resource_of(name) for name in hard}:
            informer = await self._informer(resource)
            if informer is not None:
                found = rules.total(resource, informer.list(key.namespace), quota, self._kit.clock.now())
                used |= {name: amount for name, amount in found.items() if name in hard}
        status = {"hard": hard, "used": {name: rules.text(name, used[name]) for name in sorted(used)}}
        if status != status_of(quota):
            await self._kit.client.update_status(RESOURCEQUOTAS, {**quota, "status": status})
        return Result(_RESYNC)

    async def _informer(self, name: str) -> Informer | None:
        """The informer of a counted resource, followed from the first time on; None: nobody serves it."""
        known = self._informers.get(name)
        if known is not None:
            return known
        served = await self._kit.discovery.preferred()
        resource: Resource | None = next((r for r in served if r.group_resource == name and r.namespaced), None)
        if resource is None:
            return None
        informer = self._kit.informer(resource)
        await informer.synced()
        self._informers[name] = informer
        self.follow(informer)
        return informer


def _nobody(informer: Informer) -> None:
    """Until ``controller`` says who follows."""
