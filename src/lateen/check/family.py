"""Which workloads are one service: those behind one Service (versions side by side), and those of one image (web and worker)."""

from __future__ import annotations

import re
from collections.abc import Sequence

from lateen.check.workload import Workload
from lateen.check.world import World


def repository(image: str) -> str:
    """The image without tag and digest."""
    return re.sub(r":[^/:]*$", "", image.partition("@")[0])


def same(world: World, a: Workload, b: Workload) -> bool:
    """Whether two workloads are parts of one service."""
    if {id(s) for s in world.fronts(a)} & {id(s) for s in world.fronts(b)}:
        return True
    images = [{repository(c.image) for c in w.main if c.image} for w in (a, b)]
    return bool(images[0] & images[1])


def services(world: World, workloads: Sequence[Workload]) -> list[Workload]:
    """One workload per service, in order."""
    found: list[Workload] = []
    for w in workloads:
        if not any(w is f or same(world, w, f) for f in found):
            found.append(w)
    return found
