"""Who asks: a name and groups, as authentication found them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class UserInfo:
    """An authenticated user, as in ``authentication.k8s.io/v1``. ``inside`` marks what is part of the cluster's own process: the
    ``server`` asks nobody about its writes, a ``node`` nobody about its Node and Lease; else a webhook that does not answer could
    keep a cluster from starting, and so from being mended."""

    name: str
    uid: str = ""
    groups: tuple[str, ...] = ()
    extra: Mapping[str, tuple[str, ...]] = field(default_factory=dict, hash=False)
    inside: str = ""


ADMIN = UserInfo(name="kubernetes-admin", groups=("system:masters", "system:authenticated"))
SERVER = UserInfo(name="system:apiserver", groups=("system:masters", "system:authenticated"), inside="server")
