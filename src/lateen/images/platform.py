"""Which of an image's variants runs on this machine. Used by the store and the registry client. Pure but for uname."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from lateen.errors import FailedError

_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm", "armv6l": "arm", "i686": "386", "i386": "386"}
_VARIANTS = {"aarch64": ("v8", ""), "armv7l": ("v7", "v6", "v5", ""), "armv6l": ("v6", "v5", "")}


def architecture() -> str:
    """This machine's architecture in OCI's (Go's) words."""
    machine = os.uname().machine
    return _ARCHITECTURES.get(machine, machine)


def choose(index: Mapping[str, Any]) -> Mapping[str, Any]:
    """The descriptor for this machine in an image index. FailedError names what there is instead."""
    variants = _VARIANTS.get(os.uname().machine, ("", "v1"))
    fitting: list[tuple[int, Mapping[str, Any]]] = []
    for descriptor in index["manifests"]:
        wanted = descriptor.get("platform")
        if wanted is None and len(index["manifests"]) == 1:
            return dict(descriptor)
        wanted = wanted or {}
        variant = wanted.get("variant", "")
        if wanted.get("os") == "linux" and wanted.get("architecture") == architecture() and variant in variants:
            fitting.append((variants.index(variant), descriptor))
    if fitting:
        return min(fitting, key=lambda f: f[0])[1]
    there = ", ".join(sorted({_name(d.get("platform") or {}) for d in index["manifests"]})) or "none"
    raise FailedError(f"no match for platform linux/{architecture()} in the image: it has {there}")


def _name(platform: Mapping[str, Any]) -> str:
    return "/".join(filter(None, (platform.get("os"), platform.get("architecture"), platform.get("variant")))) or "unknown"
