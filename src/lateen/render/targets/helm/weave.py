"""One template for the versions of an object: what environments share stays YAML, where they differ values come in."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lateen.kube.yamltext import dump
from lateen.render.targets.helm import values
from lateen.render.targets.helm.holes import Holes, escaped, is_hole, quoted, reference

Path = tuple[str, ...]
Versions = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Weaver:
    """Where the differing parts of an object go: ``place`` maps a path in the object to one below ``root`` in the values.

    ``trees`` are the values of each environment, which it fills. What is at one of ``always`` is a value even if it never differs.
    """

    holes: Holes
    trees: Mapping[str, values.Tree]
    root: Path
    variable: str
    place: Callable[[Path], Path]
    always: Collection[Path] = ()

    def weave(self, versions: Versions, path: Path = ()) -> Any:
        """The common form of the versions, by environment."""
        found = list(versions.values())
        if self.place(path) in self.always and path:
            return self._hole(path, versions)
        if all(isinstance(v, dict) for v in found):
            return self._maps(versions, path)
        if all(v == found[0] and type(v) is type(found[0]) for v in found):
            return found[0]
        if all(isinstance(v, list) for v in found) and (names := _order(found)) is not None:
            return [self._item(versions, name, path) for name in names]
        return self._hole(path, versions)

    def _maps(self, versions: Versions, path: Path) -> dict[str, Any]:
        if any(is_hole(key) for v in versions.values() for key in v if not all(key in other for other in versions.values())):
            versions = {e: self.holes.without(v, e) for e, v in versions.items()}  # the code differs, not only its values
        result: dict[str, Any] = {}
        for key in _merged([list(v) for v in versions.values()]) or dict.fromkeys(k for v in versions.values() for k in v):
            have = {e: v[key] for e, v in versions.items() if key in v}
            if len(have) == len(versions):
                result[key] = self.weave(have, (*path, key))
            else:
                result[self._optional(key, have, (*path, key))] = None
        return result

    def _hole(self, path: Path, versions: Versions) -> str:
        raw = {e: self.holes.without(v, e) for e, v in versions.items()}
        place = self.place(path)
        for environment, value in raw.items():
            values.put(self.trees[environment], (*self.root, *place), value)
        code = reference(self.variable, place)
        if all(isinstance(v, dict) for v in raw.values()) or all(isinstance(v, list) for v in raw.values()):
            return self.holes.block(code)
        return self.holes.value(code, "quote" if all(isinstance(v, str) for v in raw.values()) else "toJson")

    def _optional(self, key: str, have: Versions, path: Path) -> str:
        """A field that some environments have not: there its value is not there either."""
        place, found = self.place(path), list(have.values())
        if _switchable(found):
            for environment, tree in self.trees.items():
                values.put(tree, (*self.root, *place, "enabled"), environment in have)
            condition, inner = reference(self.variable, (*place, "enabled")), self.weave(have, path)
        else:
            for tree in self.trees.values():
                values.ensure(tree, (*self.root, *place[:-1]))
            condition, inner = self._has(place), self._hole(path, have)
        return self.holes.lines(f"{{{{- if {condition} }}}}\n{escaped(dump([{key: inner}]))}{{{{- end }}}}")

    def _has(self, place: Path) -> str:
        parent = reference(self.variable, place[:-1]) if place[:-1] else self.variable
        return f"hasKey {parent} {quoted(place[-1])}"

    def _item(self, versions: Versions, name: str, path: Path) -> Any:
        """An item of a list, known by its name; one that some environments have not depends on a switch."""
        if all(name in v for v in versions.values()):
            return name  # code
        have = {e: i for e, v in versions.items() for i in v if not isinstance(i, str) and i["name"] == name}
        woven = self.weave(have, (*path, name))
        if len(have) == len(versions):
            return woven
        place = self.place((*path, name))
        if place[0] == "env" and all(is_hole(i.get("value")) for i in have.values()):
            condition = self._has(place)
        else:
            place = ("variables", *place[1:]) if place[0] == "env" else place
            for environment, tree in self.trees.items():
                values.put(tree, (*self.root, *place, "enabled"), environment in have)
            condition = reference(self.variable, (*place, "enabled"))
        return self.holes.lines(f"{{{{- if {condition} }}}}\n{escaped(dump([[woven]]))}{{{{- end }}}}")


def _switchable(found: Sequence[Any]) -> bool:
    """Whether a field can stay in the template, behind a switch: it has parts of its own, or is the same wherever it is."""
    if all(isinstance(v, dict) for v in found):
        return not any("enabled" in v for v in found)
    return all(isinstance(v, list) and v == found[0] for v in found)


def _order(lists: Sequence[list[Any]]) -> list[str] | None:
    """The names of all items, in an order that every list keeps; None where there is none. Items of code are their own names."""
    if not any(lists) or not all(
        isinstance(i, str) or (isinstance(i, dict) and isinstance(i.get("name"), str)) for v in lists for i in v
    ):
        return None
    names = [[i if isinstance(i, str) else i["name"] for i in v] for v in lists]
    if any(isinstance(i, str) and not is_hole(i) for v in lists for i in v):
        return None
    return _merged(names) if all(len(set(n)) == len(n) for n in names) else None


def _merged(orders: Sequence[Iterable[str]]) -> list[str] | None:
    """One order of all names that agrees with every given one; None when they contradict each other."""
    left = [list(order) for order in orders]
    result: list[str] = []
    while any(left):
        free = next((o[0] for o in left if o and not any(o[0] in other[1:] for other in left)), None)
        if free is None:
            return None
        result.append(free)
        left = [o[1:] if o and o[0] == free else o for o in left]
    return result
