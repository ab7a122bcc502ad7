"""The extension API servers that are known now, by group version, and what they said of themselves. Filled by the strategy of
APIServices and by the ``keeper``; read by the server for every request, by discovery and by OpenAPI."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from lateen.cluster.api.aggregation.services import Remote

Key = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Described:
    """What an extension API server answers to discovery: its APIResourceList, and the hash of its OpenAPI document ('': none)."""

    resources: Mapping[str, Any]
    openapi: str = ""


@dataclass(slots=True)
class Remotes:
    """``by_key`` is empty where nobody aggregates: then a request pays for one look at it."""

    by_key: dict[Key, Remote] = field(default_factory=dict)
    described: dict[Key, Described] = field(default_factory=dict)

    def find(self, path: str) -> Remote | None:
        """Who serves a path: a resource, a group version's discovery, or its OpenAPI document."""
        parts = path.split("/", 6)[1:]
        if parts[:2] == ["openapi", "v3"]:
            parts = parts[2:]
        if len(parts) < 3 or parts[0] != "apis":
            return None
        return self.by_key.get((parts[1], parts[2]))

    def set(self, key: Key, remote: Remote | None) -> bool:
        """Who serves a group version now; whether that changed."""
        before = self.by_key.pop(key, None)
        if remote is not None:
            self.by_key[key] = remote
        else:
            self.described.pop(key, None)
        return before != remote
