"""The ServiceAccount ``default`` in every namespace."""

from __future__ import annotations

from lateen.cluster.controllers.kit import Kit
from lateen.errors import AlreadyExistsError, ForbiddenError
from lateen.kube.meta import Key, key_of, meta
from lateen.kube.resources import NAMESPACES, SERVICEACCOUNTS
from lateen.reconcile import DONE, Controller, Result, Source


def controller(kit: Kit) -> Controller:
    """The controller, fed by Namespaces and by the end of ServiceAccounts."""
    accounts = kit.informer(SERVICEACCOUNTS)
    return Controller(
        name="serviceaccount",
        reconciler=ServiceAccountReconciler(kit),
        sources=[
            Source(informer=kit.informer(NAMESPACES)),
            Source(informer=accounts, predicate=lambda _, new: new is None, keys=lambda o: (Key("", key_of(o).namespace),)),
        ],
        clock=kit.clock,
    )


class ServiceAccountReconciler:
    """Makes what is missing."""

    def __init__(self, kit: Kit) -> None:
        self._kit = kit
        self._namespaces, self._accounts = kit.informer(NAMESPACES), kit.informer(SERVICEACCOUNTS)

    async def reconcile(self, key: Key) -> Result:
        namespace = self._namespaces.get(key)
        if namespace is None or meta(namespace).get("deletionTimestamp") or self._accounts.get(Key(key.name, "default")):
            return DONE
        account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default", "namespace": key.name}}
        try:
            await self._kit.client.create(SERVICEACCOUNTS, account)
        except (AlreadyExistsError, ForbiddenError):
            return DONE  # it is there, or the namespace is on its way out
        return DONE
