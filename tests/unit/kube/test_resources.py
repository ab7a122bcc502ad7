"""The resource constants are literals, so that nobody waits for a file: they must say what the extract says."""

from __future__ import annotations

import pytest

from lateen.kube import resources
from lateen.kube.resources import Resource

CONSTANTS = {name: value for name, value in vars(resources).items() if isinstance(value, Resource)}
BUILTIN = {(r.group, r.version, r.plural): r for r in resources.builtin()}


@pytest.mark.parametrize("name", [n for n, r in CONSTANTS.items() if r.group != "gateway.networking.k8s.io"])
def test_a_constant_says_what_the_extract_says(name: str) -> None:
    found = CONSTANTS[name]
    full = BUILTIN[found.group, found.version, found.plural]
    assert (found.kind, found.namespaced, found.singular, found.short_names) == (
        full.kind,
        full.namespaced,
        full.singular,
        full.short_names,
    )
    assert set(full.subresources) <= set(found.subresources)


def test_every_resource_is_known_once() -> None:
    assert len(BUILTIN) == len(resources.builtin()) > 90
