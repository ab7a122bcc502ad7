"""What the server serves: every resource of every served version, built in and custom. Verbs look a ``Served`` up and read it.

A resource that several versions serve is stored once, in its storage version; ``Served.to_storage`` and ``from_storage`` convert.
Built-in alpha and beta versions are off, as in a Kubernetes that nobody configured.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from lateen.cluster.api.tables.base import Column
from lateen.kube.meta import Object
from lateen.kube.resources import Resource
from lateen.kube.schemas import SchemaNode
from lateen.kube.validation.errors import FieldError

if TYPE_CHECKING:
    from lateen.cluster.api.outward.post import Place

Convert = Callable[[Object], Object]
Validate = Callable[[Object, Object | None], Iterable[FieldError]]
_STABLE = re.compile(r"^v\d+$")


def _same(obj: Object) -> Object:
    return obj


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """One resource in one served version. ``collection`` is its place in storage.

    ``converts`` says whether stored objects differ from served ones; ``node`` is a custom
    resource's type (built-in ones come from ``kube.schemas``), ``validate`` its validation, ``columns`` its printer columns. With a
    ``webhook`` only that can convert (``converting``).
    """

    resource: Resource
    stored: Resource
    collection: str
    converts: bool = False
    to_storage: Convert = _same
    from_storage: Convert = _same
    custom: bool = False
    node: SchemaNode | None = None
    validate: Validate | None = None
    columns: tuple[Column, ...] = ()
    scale: Mapping[str, str] | None = None
    selectable: tuple[str, ...] = ()
    deprecation: str = ""
    list_kind_name: str = ""
    terminating: bool = False
    webhook: Place | None = None

    @property
    def id(self) -> str:
        """``apps/deployments``: the same for every version."""
        return self.collection

    @property
    def list_kind(self) -> str:
        """``PodList``."""
        return self.list_kind_name or f"{self.resource.kind}List"

    def key(self, namespace: str, name: str) -> str:
        """The storage key of one object."""
        return f"{self.collection}/{namespace}/{name}" if self.resource.namespaced else f"{self.collection}/{name}"

    def prefix(self, namespace: str = "") -> str:
        """The storage prefix of all objects (of a namespace)."""
        return f"{self.collection}/{namespace}/" if namespace and self.resource.namespaced else f"{self.collection}/"


class Registry:
    """Served resources by (group, version, plural). ``generation`` moves when the set changes (CRDs): discovery caches watch it."""

    def __init__(
        self, builtin: Iterable[Resource], *, conversions: Mapping[tuple[str, str, str], tuple[str, Convert, Convert]] | None = None
    ) -> None:
        self._served: dict[tuple[str, str, str], Served] = {}
        self.generation = 0
        resources = {(r.group, r.version, r.plural): r for r in builtin if _STABLE.match(r.version)}
        for resource in resources.values():
            self._served[resource.group, resource.version, resource.plural] = _builtin(resource, resources, conversions or {})

    def find(self, group: str, version: str, plural: str) -> Served | None:
        """The served resource, None if there is none."""
        return self._served.get((group, version, plural))

    def by_kind(self, group: str, kind: str, version: str = "") -> Served | None:
        """The served resource of a kind (any version if ``version`` is empty)."""
        for served in self._served.values():
            r = served.resource
            if r.kind == kind and r.group == group and version in ("", r.version):
                return served
        return None

    def builtin(self, group: str, version: str, plural: str) -> Served:
        """A resource that is always there (KeyError otherwise)."""
        return self._served[group, version, plural]

    def __iter__(self) -> Iterator[Served]:
        return iter(self._served.values())

    def add(self, served: Served) -> None:
        """Serve a custom resource version (again)."""
        r = served.resource
        self._served[r.group, r.version, r.plural] = served
        self.generation += 1

    def touch(self) -> None:
        """Say that something beside the registry changed what is served (extension API servers)."""
        self.generation += 1

    def remove(self, group: str, version: str, plural: str) -> None:
        """Stop serving. Idempotent."""
        if self._served.pop((group, version, plural), None) is not None:
            self.generation += 1


def _builtin(
    resource: Resource,
    resources: Mapping[tuple[str, str, str], Resource],
    conversions: Mapping[tuple[str, str, str], tuple[str, Convert, Convert]],
) -> Served:
    """``conversions`` maps (group, version, plural) to (api version it is stored in, to storage, from storage)."""
    plain = Served(resource=resource, stored=resource, collection=f"{resource.group or 'core'}/{resource.plural}")
    found = conversions.get((resource.group, resource.version, resource.plural))
    if found is None:
        return plain
    stored_version, to_storage, from_storage = found
    group, _, version = stored_version.rpartition("/")
    stored = resources.get((group, version, resource.plural))
    if stored is None:
        return plain
    collection = f"{stored.group or 'core'}/{stored.plural}"
    return replace(plain, stored=stored, collection=collection, converts=True, to_storage=to_storage, from_storage=from_storage)
