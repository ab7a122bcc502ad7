"""Values that cannot be written down: no dumper knows the type, so a rendered secret is an error, never a leak.

``up`` reveals them on the way to the cluster; every writer of files leaves the objects that hold them out, and says so.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass, field

from lateen.kube.meta import Object


@dataclass(frozen=True, slots=True)
class Hidden:
    """The content of a secret."""

    content: bytes = field(repr=False)


def holds_secrets(found: Object) -> bool:
    """Whether an object has values that must not be written."""
    return found["kind"] == "Secret" and any(isinstance(v, Hidden) for v in found.get("data", {}).values())


def revealed(objects: Sequence[Object]) -> list[Object]:
    """The objects as a cluster wants them. For ``up`` alone: the result is in clear."""
    return [_reveal(o) if holds_secrets(o) else o for o in objects]


def withheld(objects: Sequence[Object]) -> tuple[list[Object], list[str]]:
    """The objects without those that hold secrets, and the names of the latter."""
    names = [o["metadata"]["name"] for o in objects if holds_secrets(o)]
    return [o for o in objects if not holds_secrets(o)], names


def _reveal(found: Object) -> Object:
    data = {k: base64.b64encode(v.content).decode() if isinstance(v, Hidden) else v for k, v in found["data"].items()}
    return {**found, "data": data}
