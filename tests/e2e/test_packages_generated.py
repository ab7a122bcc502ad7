"""Two hundred generated applications: the real Helm, the real Kustomize and plain rendering give the same objects."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import models
import packages
import pytest
from hypothesis import HealthCheck, Phase, assume, event, given, settings

from lateen.kube.meta import Object
from lateen.render.targets import TARGETS, Graph

pytest.importorskip("helm_python", reason="helm-python-sdk has no wheel for this machine")
COUNT = 200


def graph_of(model: dict[str, Any]) -> Graph | None:
    try:
        return packages.graph_of(json.dumps(model, ensure_ascii=False))
    except ExceptionGroup as group:
        event(str(group.exceptions[0])[:80])
        return None


def kustomized(graph: Graph, folder: Path) -> dict[str, list[Object]]:
    """Both overlays in one run, told apart by their namespace."""
    packages.put(folder, TARGETS["kustomize"].write(graph))
    names = {graph.base.app.environment: graph.base, **graph.environments}
    resources = [f"../overlays/{name}" for name in names]
    packages.put(folder, {"all/kustomization.yaml": json.dumps({"resources": resources})})
    found: dict[str, list[Object]] = {v.app.namespace: [] for v in names.values()}
    for one in packages.kustomized(folder / "all"):
        space = one["metadata"].get("namespace") or one["metadata"]["name"]
        space = next(n for n in sorted(found, key=len, reverse=True) if space == n or space.startswith(f"{n}-"))
        found[space].append(one)
    return found


@pytest.mark.timeout(400)
@settings(
    max_examples=COUNT,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)
@given(models.applications())
def test_helm_kustomize_and_plain_give_the_same(model: dict[str, Any]) -> None:
    graph = graph_of(model)
    assume(graph is not None)
    assert graph is not None
    with tempfile.TemporaryDirectory() as folder:
        chart = packages.put(Path(folder) / "chart", TARGETS["helm"].write(graph))
        built = kustomized(graph, Path(folder) / "kustomize")
        for name, variant in {"": graph.base, **graph.environments}.items():
            helmed = packages.helmed(chart, variant.app, name)
            assert packages.differences(helmed, variant.objects, packages.released) == [], f"helm {name}"
            assert packages.differences(built[variant.app.namespace], variant.objects) == [], f"kustomize {name}"
