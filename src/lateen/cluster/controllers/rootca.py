"""The ConfigMap ``kube-root-ca.crt`` in every namespace: how pods know the API server."""

from __future__ import annotations

from lateen.cluster.controllers.kit import Kit
from lateen.errors import AlreadyExistsError, ForbiddenError
from lateen.kube.meta import Key, key_of, meta
from lateen.kube.resources import CONFIGMAPS, NAMESPACES
from lateen.reconcile import DONE, Controller, Result, Source

NAME = "kube-root-ca.crt"


def controller(kit: Kit) -> Controller:
    """The controller, fed by Namespaces and by changes of the ConfigMap."""
    maps = kit.informer(CONFIGMAPS)
    changed = Source(
        informer=maps,
        predicate=lambda old, new: key_of(new or old or {}).name == NAME,
        keys=lambda o: (Key("", key_of(o).namespace),),
    )
    return Controller(
        name="rootca",
        reconciler=RootCaReconciler(kit),
        sources=[Source(informer=kit.informer(NAMESPACES)), changed],
        clock=kit.clock,
    )


class RootCaReconciler:
    """Makes the ConfigMap, and puts it right when somebody changed it."""

    def __init__(self, kit: Kit) -> None:
        self._kit = kit
        self._namespaces, self._maps = kit.informer(NAMESPACES), kit.informer(CONFIGMAPS)

    async def reconcile(self, key: Key) -> Result:
        namespace = self._namespaces.get(key)
        if namespace is None or meta(namespace).get("deletionTimestamp"):
            return DONE
        data = {"ca.crt": self._kit.settings.root_ca}
        found = self._maps.get(Key(key.name, NAME))
        if found is not None:
            if found.get("data") != data:
                await self._kit.client.update(CONFIGMAPS, {**found, "data": data})
            return DONE
        text = "The CA bundle that verifies the API server at its internal addresses."
        metadata = {"name": NAME, "namespace": key.name, "annotations": {"kubernetes.io/description": text}}
        made = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}
        try:
            await self._kit.client.create(CONFIGMAPS, made)
        except (AlreadyExistsError, ForbiddenError):
            return DONE  # it is there, or the namespace is on its way out
        return DONE
