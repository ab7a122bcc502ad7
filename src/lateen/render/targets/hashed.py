"""Objects whose name ends in a hash of their content: packages that make such names themselves need the name before it."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from lateen.kube.meta import Object

_HASHED = re.compile(r"(.+)-[0-9a-f]{10}")


def stems(objects: Iterable[Object], *kinds: str) -> dict[str, str]:
    """Names of objects of these kinds that end in a hash, and what stands before it. Two of one stem are left as they are."""
    names = [(o["kind"], o["metadata"]["name"]) for o in objects if o["kind"] in kinds]
    found = {name: match[1] for _, name in names if (match := _HASHED.fullmatch(name))}
    taken = Counter(name for _, name in names) + Counter(found.values())
    return {name: stem for name, stem in found.items() if taken[stem] == 1}


def renamed(value: Any, names: Mapping[str, str]) -> Any:
    """A copy of the value in which every text that is one of ``names`` is replaced."""
    if isinstance(value, str):
        return names.get(value, value)
    if isinstance(value, dict):
        return {k: renamed(v, names) for k, v in value.items()}
    return [renamed(v, names) for v in value] if isinstance(value, list) else value
