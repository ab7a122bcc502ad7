"""Request paths: ``/apis/apps/v1/namespaces/default/deployments/web/scale`` taken apart. Pure; used by ``server``."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache


@dataclass(frozen=True, slots=True, kw_only=True)
class ResourcePath:
    """What a path names. ``name`` is empty for a collection; ``rest`` is what follows a subresource (proxy paths)."""

    group: str
    version: str
    plural: str
    namespace: str = ""
    name: str = ""
    subresource: str = ""
    rest: str = ""


@lru_cache(maxsize=8192)
def parse_path(path: str) -> ResourcePath | None:
    """The resource that ``path`` names, None if it names none (discovery, health, nonsense)."""
    parts = [p for p in path.split("/") if p]
    if len(parts) >= 3 and parts[0] == "api":
        group, version, tail = "", parts[1], parts[2:]
    elif len(parts) >= 4 and parts[0] == "apis":
        group, version, tail = parts[1], parts[2], parts[3:]
    else:
        return None
    namespace = ""
    if tail[0] == "namespaces" and len(tail) >= 3 and not _of_namespace(group, tail):
        namespace, tail = tail[1], tail[2:]
    plural, name, subresource, *rest = [*tail, "", "", ""][: max(3, len(tail))]
    return ResourcePath(
        group=group,
        version=version,
        plural=plural,
        namespace=namespace,
        name=name,
        subresource=subresource,
        rest="/".join(r for r in rest if r),
    )


def _of_namespace(group: str, tail: list[str]) -> bool:
    """Whether the third part is a subresource of the Namespace object itself."""
    return group == "" and len(tail) == 3 and tail[2] in ("status", "finalize")
