"""The real Kustomize builds from our packages exactly what plain rendering gives."""

from __future__ import annotations

from pathlib import Path

import packages
import pytest

from lateen.kube.meta import Object
from lateen.render.targets import TARGETS, Graph


def check(graph: Graph, folder: Path) -> None:
    files = TARGETS["kustomize"].write(graph)
    packages.put(folder, files)
    for name, variant in {graph.base.app.environment: graph.base, **graph.environments}.items():
        got = packages.kustomized(folder / "overlays" / name)
        assert packages.differences(got, variant.objects) == [], name


@pytest.mark.parametrize("file", packages.EXAMPLES, ids=lambda p: f"{p.parent.name}-{p.name}")
def test_every_story_and_example(file: Path, tmp_path: Path) -> None:
    check(packages.graph_of(file.read_text(), files=packages.FILES), tmp_path)


@pytest.mark.parametrize("manifests", [(), packages.FOREIGN], ids=["own", "foreign"])
def test_environments(manifests: list[Object], tmp_path: Path) -> None:
    graph = packages.graph_of(packages.ENVIRONMENTS, manifests=manifests)
    check(graph, tmp_path)
    if not manifests:
        text = (tmp_path / "overlays/prod/kustomization.yaml").read_text()
        assert "namespace: live\n" in text
        assert "newTag: '1.1'\n" in text
        assert "count: 5\n" in text
        assert "behavior: replace\n" in text
