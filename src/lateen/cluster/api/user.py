"""Who asks: a name and groups, as authentication found them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class UserInfo:
    """An authenticated user, as in ``authentication.k8s.io/v1``."""

    name: str
    uid: str = ""
    groups: tuple[str, ...] = ()
    extra: Mapping[str, tuple[str, ...]] = field(default_factory=dict, hash=False)


ADMIN = UserInfo(name="kubernetes-admin", groups=("system:masters", "system:authenticated"))
SERVER = UserInfo(name="system:apiserver", groups=("system:masters", "system:authenticated"))
