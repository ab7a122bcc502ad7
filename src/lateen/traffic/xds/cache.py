"""What each proxy group shall have, now. Written by the controller, read by sessions."""

from __future__ import annotations

from collections.abc import Iterable

from lateen.traffic.xds.compile import Changes
from lateen.traffic.xds.resource import Name, Resource


class Cache:
    """The resources of one group. ``serial`` grows with every change: a proxy that reached it has everything up to there."""

    def __init__(self) -> None:
        self.serial = 0
        self._resources: dict[str, dict[str, Resource]] = {}

    def apply(self, changes: Changes) -> list[Name]:
        """Take changes in; the names that they touch."""
        touched = [r.id for r in changes.put] + list(changes.drop)
        if touched:
            self.serial += 1
        for resource in changes.put:
            self._resources.setdefault(resource.id.type, {})[resource.id.name] = resource
        for name in changes.drop:
            self._resources.get(name.type, {}).pop(name.name, None)
        return touched

    def get(self, name: Name) -> Resource | None:
        """The resource, if it shall be."""
        return self._resources.get(name.type, {}).get(name.name)

    def names(self, kind: str) -> Iterable[str]:
        """Every name of a type."""
        return self._resources.get(kind, {}).keys()

    def types(self) -> Iterable[str]:
        """Every type there is."""
        return self._resources.keys()
