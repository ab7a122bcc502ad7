"""The list of what belongs to an application, kept in the cluster beside it: a ConfigMap in the application's namespace.

It is widened before anything is written and narrowed only when an object is seen to be gone, so that nothing is ever forgotten.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import orjson

from lateen.apply.refs import APP_LABEL, Ref, group_of
from lateen.client import Client
from lateen.errors import InputError, NotFoundError
from lateen.kube.meta import Object
from lateen.kube.resources import CONFIGMAPS

INVENTORY_LABEL = "lateen.dev/inventory"
_KEY = "objects"


@dataclass(frozen=True, slots=True, kw_only=True)
class Inventory:
    """``entries`` maps each object to the API version it was last applied in."""

    app: str
    namespace: str
    entries: Mapping[Ref, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The ConfigMap's name."""
        return f"lateen-inventory-{self.app}"

    def with_entries(self, entries: Mapping[Ref, str]) -> Inventory:
        """The same inventory with other entries."""
        return Inventory(app=self.app, namespace=self.namespace, entries=dict(sorted(entries.items())))

    def to_object(self) -> Object:
        """The ConfigMap."""
        items = [{"apiVersion": v, "kind": r.kind, "namespace": r.namespace, "name": r.name} for r, v in self.entries.items()]
        labels = {APP_LABEL: self.app, INVENTORY_LABEL: self.app, "app.kubernetes.io/managed-by": "lateen"}
        metadata = {"name": self.name, "namespace": self.namespace, "labels": labels}
        return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {_KEY: orjson.dumps(items).decode()}}


def parse(obj: Object, inventory: Inventory) -> Inventory:
    """The inventory that a ConfigMap holds."""
    items = orjson.loads((obj.get("data") or {}).get(_KEY) or "[]")
    return inventory.with_entries(
        {Ref(group_of(i["apiVersion"]), i["kind"], i["namespace"], i["name"]): i["apiVersion"] for i in items}
    )


async def read(client: Client, *, app: str, namespace: str) -> Inventory:
    """The application's inventory, an empty one if there is none."""
    empty = Inventory(app=app, namespace=namespace)
    try:
        return parse(await client.get(CONFIGMAPS, empty.name, namespace), empty)
    except NotFoundError:
        return empty


async def existing(client: Client, *, app: str, namespace: str) -> Inventory:
    """The application's inventory. InputError if it has none."""
    found = await read(client, app=app, namespace=namespace)
    if not found.entries:
        raise InputError(f"there is no application {app!r} in namespace {namespace!r}", hint="bring it up with lateen up")
    return found


async def write(client: Client, inventory: Inventory) -> None:
    """Store it."""
    await client.apply(CONFIGMAPS, inventory.to_object(), force=True)


async def remove(client: Client, inventory: Inventory) -> None:
    """Delete it, when nothing is left in it."""
    try:
        await client.delete(CONFIGMAPS, inventory.name, inventory.namespace)
    except NotFoundError:
        pass
