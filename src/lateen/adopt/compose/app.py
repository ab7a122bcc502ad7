"""A Compose file as an application tree."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from lateen.adopt.compose import calls
from lateen.adopt.compose.files import Files
from lateen.adopt.compose.mounts import Shared
from lateen.adopt.compose.service import DEFAULTS, Around, service
from lateen.adopt.compose.values import items, mapping, text, truth
from lateen.adopt.nodes import Imported, Loss, made
from lateen.adopt.world import World
from lateen.kube.yamltext import Node, Source, fault
from lateen.model import overlay
from lateen.model.problems import nearest
from lateen.model.types import slug

_FINISHED = "service_completed_successfully"


def read(sources: Sequence[Source], world: World, *, folder: str, profiles: Sequence[str] = ()) -> Imported:
    """The application in ``sources``, each laid over the ones before. ``folder`` names it, where the file does not.

    ``profiles`` are active beside those of COMPOSE_PROFILES. InputError, with the place in the file.
    """
    files = Files(world)
    tree = files.tree(sources)
    active = {*profiles, *(p for p in world.variables.get("COMPOSE_PROFILES", "").split(",") if p)}
    losses = [Loss(str(n.mark), f"${{{v}}}", "the variable is not set: empty text stands for it") for v, n in files.missing.items()]
    chosen = _active(mapping(tree.get("services")), active)
    names = _names(chosen, losses)
    found = _services(tree, chosen, names, world, losses)
    result: dict[str, Any] = {"name": _project(tree, folder, world), "defaults": DEFAULTS, "services": found.services}
    if version := text(tree.get("x-version")):
        result["version"] = version
    result["policies"] = {"network": "open", **({"security": "privileged"} if found.privileged else {})}
    losses += _networks(tree, chosen)
    whole = made(result, tree)
    if (extension := tree.get("x-lateen")) is not None and extension.data is not None:
        whole = replace(overlay.lay(overlay.as_written(extension), whole), mark=whole.mark)
    return Imported(replace(whole, key=None), losses)


def _project(tree: Node, folder: str, world: World) -> Any:
    name = tree.get("name")
    if name is not None and name.data is not None:
        return replace(name, data=_usable(text(name)), text=_usable(text(name)))
    return _usable(world.variables.get("COMPOSE_PROJECT_NAME") or folder)


def _usable(name: str) -> str:
    fixed = slug(name)[:50].rstrip("-")
    return fixed if fixed[:1].isalpha() else f"app-{fixed}"


def _active(services: dict[str, Node], active: set[str]) -> dict[str, Node]:
    """Services without profiles, or with an active one; and what these need."""
    chosen: list[str] = []

    def take(name: str) -> None:
        if name not in chosen and name in services:
            chosen.append(name)

    for name, node in services.items():
        profiles = {text(p) for p in items(node.get("profiles"))}
        if not profiles or "*" in active or profiles & active:
            take(name)
    return {n: services[n] for n in services if n in chosen}


def _names(services: Iterable[str], losses: list[Loss]) -> dict[str, str]:
    """Names of services as DNS takes them."""
    result: dict[str, str] = {}
    for name in services:
        fixed = _usable(name) if not re.fullmatch(r"[a-z]([-a-z0-9]{0,61}[a-z0-9])?", name) else name
        result[name] = fixed
    return result


class _Found:
    def __init__(self) -> None:
        self.services: dict[str, Node] = {}
        self.privileged = False


def _services(tree: Node, chosen: dict[str, Node], names: dict[str, str], world: World, losses: list[Loss]) -> _Found:
    found = _Found()
    shared = Shared({v: (names[n], p) for v, (n, p) in Shared.of(chosen).owner.items()})
    around = Around(tree, names, calls.called(chosen, tree, world), _jobs(chosen), shared, world)
    for name, node in chosen.items():
        one = service(name, node, around)
        losses += one.losses
        found.privileged |= one.privileged
        if names[name] != name:
            losses.append(
                Loss(str(node.key or node.mark), f"the name {name}", f"no name of a Service; it is reached as {names[name]}")
            )
        found.services[names[name]] = replace(made(one.fields, node), key=node.key)
    _needs(found.services, chosen, around, losses)
    for name, node in chosen.items():
        if (extension := node.get("x-lateen")) is not None and extension.data is not None:
            own = found.services[names[name]]
            laid = overlay.lay(overlay.as_written(extension), own)
            found.services[names[name]] = replace(laid, mark=own.mark, key=own.key)
    return found


def _dependencies(node: Node) -> dict[str, Node]:
    """What a service waits for, and how: ``depends_on`` and ``links``."""
    links = {text(n).partition(":")[0]: n for n in items(node.get("links"))}
    depends = node.get("depends_on")
    if depends is None or depends.data is None:
        return links
    listed = mapping(depends) if isinstance(depends.data, dict) else {text(n): n for n in items(depends)}
    return links | listed


def _jobs(services: dict[str, Node]) -> frozenset[str]:
    """Services that another one waits for to end."""
    waits = (d for node in services.values() for d in _dependencies(node).items())
    return frozenset(n for n, d in waits if isinstance(d.data, dict) and text(d.get("condition")) == _FINISHED)


def _needs(made_services: dict[str, Node], chosen: dict[str, Node], around: Around, losses: list[Loss]) -> None:
    names = around.names
    for name, node in chosen.items():
        own, needs = names[name], {}
        for other, how in _dependencies(node).items():
            if other not in chosen:
                if other in names or not (isinstance(how.data, dict) and not truth(how.get("required"), default=True)):
                    raise fault(
                        f"service {name} depends on {other!r}, which is not a service here",
                        how.key or how.mark,
                        nearest(other, chosen),
                    )
                continue
            target = made_services[names[other]]
            if target.get("ports") is None:
                kind = target.get("kind")
                what = "is a job" if kind is not None and kind.data == "job" else "has no port that this file names"
                why = f"{other} {what}: {own} starts at once, and is started again until it works"
                losses.append(Loss(str(how.key or how.mark), f"services.{own}.depends_on: {other}", why))
                continue
            needs[names[other]] = made({}, how)
        for other in calls.mentioned(node, chosen, around.tree, around.world):
            if other != name and names[other] not in needs and made_services[names[other]].get("ports") is not None:
                needs[names[other]] = made({"order": "none"}, node)
        if needs:
            service_node = made_services[own]
            made_services[own] = replace(service_node, data={**service_node.data, "needs": made(needs, node)})


def _networks(tree: Node, services: dict[str, Node]) -> list[Loss]:
    """Said where networks keep services apart: here they all reach each other."""
    sets = {n: {text(x) for x in items(s.get("networks"))} or {"default"} for n, s in services.items()}
    apart = [(a, b) for a in sets for b in sets if a < b and not sets[a] & sets[b]]
    networks = tree.get("networks")
    found = []
    if apart:
        place = networks or tree
        a, b = apart[0]
        why = f"services reach each other ({a} and {b}, too); declare needs and policies: {{network: deny}} under x-lateen"
        found.append(Loss(str(place.key or place.mark), "networks that keep services apart", why))
    for name, service_node in services.items():
        for network in mapping(service_node.get("networks")).values() if _is_map(service_node.get("networks")) else ():
            aliases = items(network.get("aliases")) if isinstance(network.data, dict) else ()
            found += [
                Loss(str(alias.mark), f"services.{name}: alias {text(alias)}", "a service has the one name") for alias in aliases
            ]
    return found


def _is_map(node: Node | None) -> bool:
    return node is not None and isinstance(node.data, dict)
