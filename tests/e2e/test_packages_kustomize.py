"""The real Kustomize builds from our packages exactly what plain rendering gives."""

from __future__ import annotations

from pathlib import Path

import packages
import pytest

from lateen.kube.meta import Object
from lateen.render.targets import TARGETS, Graph

ROOT = Path(__file__).parents[2]
STORIES = ROOT / "tests" / "golden" / "render"
FILES = {"app.conf": b"a = 1\nb = 2\n", "logo.png": b"\x89PNG\xff", "secrets/key": b"hunter2\n"}
EXAMPLES = [*sorted(STORIES.glob("*.in.yaml")), *sorted((ROOT / "examples").glob("*/lateen.yaml"))]
ENVIRONMENTS = """
name: shop
defaults: {replicas: 2, ports: {http: 8080}}
services:
  web:
    image: registry.example.com/shop/web:1.0
    needs: {cart: , db: {order: ready}}
    env: {LEVEL: info, MODE: "yes", NAME: "x${env.name}"}
    routes: [{path: /}]
    config: {/etc/web.conf: {content: "level = info\\n"}, /etc/static.conf: {content: same}}
    availability: {priority: "100"}
    hooks: {migrate: {command: [migrate, up]}}
  cart:
    image: registry.example.com/shop/cart:1.0
    resources: {cpu: 100m..500m, memory: 128Mi}
    identity: {rbac: [{resources: [configmaps], verbs: [get]}]}
  legacy: {image: "legacy:1"}
resources:
  db: {type: postgres}
environments:
  dev:
    defaults: {replicas: 1}
    services: {legacy: }
  prod:
    namespace: live
    domain: example.com
    services:
      web:
        image: registry.example.com/shop/web:1.1
        resources: {cpu: 100m}
        scale: {min: 3, max: 9, cpu: 70%}
        env: {LEVEL: warn, EXTRA: "0777"}
        routes: [{host: shop.example.com, path: /}]
        config: {/etc/web.conf: {content: "level = warn\\n"}}
      cart: {replicas: 5, resources: {cpu: 200m..1, memory: 256Mi..512Mi}}
      search: {image: "search@sha256:%s", config: {/etc/s: {content: s}}}
""".replace("%s", "ab" * 32)
FOREIGN = [
    {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "x", "namespace": "elsewhere"}, "data": {"a": "on"}},
    {"apiVersion": "example.com/v1", "kind": "Cluster", "metadata": {"name": "x"}, "spec": {"n": 1}},
]


def check(graph: Graph, folder: Path) -> None:
    files = TARGETS["kustomize"].write(graph)
    packages.put(folder, files)
    for name, variant in {graph.base.app.environment: graph.base, **graph.environments}.items():
        got = packages.kustomized(folder / "overlays" / name)
        assert packages.differences(got, variant.objects) == [], name


@pytest.mark.parametrize("file", EXAMPLES, ids=lambda p: f"{p.parent.name}-{p.name}")
def test_every_story_and_example(file: Path, tmp_path: Path) -> None:
    check(packages.graph_of(file.read_text(), files=FILES), tmp_path)


@pytest.mark.parametrize("manifests", [(), FOREIGN], ids=["own", "foreign"])
def test_environments(manifests: list[Object], tmp_path: Path) -> None:
    graph = packages.graph_of(ENVIRONMENTS, manifests=manifests)
    check(graph, tmp_path)
    if not manifests:
        text = (tmp_path / "overlays/prod/kustomization.yaml").read_text()
        assert "namespace: live\n" in text
        assert "newTag: '1.1'\n" in text
        assert "count: 5\n" in text
        assert "behavior: replace\n" in text
