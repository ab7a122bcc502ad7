"""The oci runtime of one node, if this machine can have it. Called by ``cluster.boot``."""

from __future__ import annotations

import hashlib
import os
import shutil
from pathlib import Path

from lateen.cluster.node.runtimes.oci import engine
from lateen.cluster.node.runtimes.oci.cgroups import Cgroups
from lateen.cluster.node.runtimes.oci.runtime import OciRuntime, OciSettings
from lateen.shim.client import ShimClient

_MEMORY = Path("/dev/shm")  # noqa: S108 - POSIX shared memory has its place


def oci_runtime(folder: Path, shim: ShimClient, *, inside: bool) -> OciRuntime | None:
    """The runtime of the node whose files are in ``folder``; None where it cannot be had. ``inside``: the shim lives in the
    cluster's namespaces, where it is root even without privileges."""
    if not possible(inside=inside):
        return None
    groups = Cgroups(_name(folder))
    found = engine.find(folder / "oci" / "state", cgroups=groups.usable)
    if found is None:
        return None
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    settings = OciSettings(
        folder=folder / "oci" / "containers", seccomp=folder / "seccomp", shared=_MEMORY / _name(folder), memory=memory
    )
    return OciRuntime(shim, found, groups, settings)


def possible(*, inside: bool) -> bool:
    """Whether containers can be had: an engine is installed, and the shim is root at least in its own namespaces."""
    return (os.geteuid() == 0 or inside) and engine.installed()


def clean(folder: Path) -> None:
    """What a node whose processes have all ended leaves outside of its folder. Blocking."""
    Cgroups(_name(folder)).remove_empty()
    shutil.rmtree(_MEMORY / _name(folder), ignore_errors=True)


def _name(folder: Path) -> str:
    return "lateen-" + hashlib.sha256(str(folder).encode()).hexdigest()[:12]
