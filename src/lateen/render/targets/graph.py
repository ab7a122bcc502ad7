"""What every target is given: the application's objects in each environment, and whose each object is.

Made by whoever has read the files (``cli/package.py``); a target reads it and returns texts, it never renders again.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from lateen.kube.meta import Object
from lateen.model import Application
from lateen.render.capabilities import DEFAULT, Capabilities
from lateen.render.names import PREFIX

APPLICATION, SERVICE, RESOURCE, FOREIGN = "application", "service", "resource", "foreign"


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """The application in one environment. ``objects`` hold no secrets: they are withheld before."""

    app: Application
    objects: Sequence[Object]


@dataclass(frozen=True, slots=True, kw_only=True)
class Graph:
    """The application as a package sees it.

    ``base`` is the environment asked for, else the file alone; ``environments`` are those a package has a variant for.
    """

    base: Variant
    environments: Mapping[str, Variant] = field(default_factory=dict)
    having: Capabilities = DEFAULT

    def variants(self) -> Iterator[Variant]:
        """The base and every environment."""
        yield self.base
        yield from self.environments.values()


@dataclass(frozen=True, slots=True, order=True)
class Owner:
    """Whose an object is: a service's, a resource's, the application's, or one of the user's own manifests."""

    kind: str
    name: str = ""


def owner(found: Object, app: Application) -> Owner:
    """Whose an object is, told by its labels."""
    labels = found["metadata"].get("labels") or {}
    if labels.get(f"{PREFIX}/part-of") != app.name or labels.get(f"{PREFIX}/managed-by") != "lateen":
        return Owner(FOREIGN)
    name, component = labels.get(f"{PREFIX}/name", ""), labels.get(f"{PREFIX}/component")
    if component == "hook":
        hook = (found["metadata"].get("annotations") or {}).get("lateen.dev/hook", "")
        return Owner(SERVICE, name.removesuffix(f"-{hook}"))
    if name in app.services and component == app.services[name].role:
        return Owner(SERVICE, name)
    return Owner(RESOURCE, name) if name in app.spec.resources and component == "resource" else Owner(APPLICATION)


def by_owner(objects: Sequence[Object], app: Application) -> dict[Owner, list[Object]]:
    """The objects in groups; in a group their order stays."""
    groups: dict[Owner, list[Object]] = {}
    for found in objects:
        groups.setdefault(owner(found, app), []).append(found)
    return groups
