"""The oci runtime of one node, if this machine can have it. Called by ``cluster.boot``."""

from __future__ import annotations

import os
from pathlib import Path

from lateen.cluster.node import places
from lateen.cluster.node.runtimes.oci import engine
from lateen.cluster.node.runtimes.oci.cgroups import Cgroups
from lateen.cluster.node.runtimes.oci.runtime import OciRuntime, OciSettings
from lateen.shim.client import ShimClient


def oci_runtime(folder: Path, shim: ShimClient, *, inside: bool) -> OciRuntime | None:
    """The runtime of the node whose files are in ``folder``; None where it cannot be had. ``inside``: the shim lives in the
    cluster's namespaces, where it is root even without privileges."""
    if not possible(inside=inside):
        return None
    groups = Cgroups(places.name_of(folder))
    found = engine.find(folder / "oci" / "state", cgroups=groups.usable)
    if found is None:
        return None
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    settings = OciSettings(
        folder=folder / "oci" / "containers", seccomp=folder / "seccomp", shared=places.shared_memory(folder), memory=memory
    )
    return OciRuntime(shim, found, groups, settings)


def possible(*, inside: bool) -> bool:
    """Whether containers can be had: an engine is installed, and the shim is root at least in its own namespaces."""
    return (os.geteuid() == 0 or inside) and engine.installed()


def clean(folder: Path) -> None:
    """What a node whose processes have all ended leaves outside of its folder. Blocking."""
    Cgroups(places.name_of(folder)).remove_empty()
    places.clean(folder)
