"""Manifests become an application that renders to the same manifests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from adopted import proven

from lateen.adopt.manifests.app import adopt
from lateen.adopt.manifests.objects import Given, key, normal
from lateen.adopt.manifests.reading import read
from lateen.errors import InputError
from lateen.kube.yamltext import Source, dump
from lateen.model import load
from lateen.render import render

ROOT = Path(__file__).parents[3]
STORIES = ROOT / "tests" / "golden" / "adopt" / "manifests"
CASES = sorted(p.stem for p in STORIES.glob("*.yaml") if not p.stem.endswith(".out"))


def given(text: str) -> list[Given]:
    return read([Source("all.yaml", text)])[0]


@pytest.mark.parametrize("case", CASES)
def test_stories(case: str, golden: Any) -> None:
    found = given((STORIES / f"{case}.yaml").read_text())
    adopted = adopt(found, name=case)
    proven([g.obj for g in found], adopted)
    losses = [loss.described() for loss in adopted.losses]
    golden(STORIES / f"{case}.out.yaml", dump([adopted.model, *([losses] if losses else [])]))


@pytest.mark.parametrize("file", sorted((ROOT / "tests/golden/render").glob("*.out.yaml")), ids=lambda p: p.stem)
def test_what_lateen_renders_is_adopted_again(file: Path) -> None:
    found = given(file.read_text())
    proven([g.obj for g in found], adopt(found, name="app"))


def test_the_shop_comes_back_with_few_patches() -> None:
    text = (ROOT / "examples/shop/lateen.yaml").read_text()
    objects = render(load([Source("lateen.yaml", text)]))
    adopted = adopt([Given(o, "") for o in objects], name="x")
    proven(objects, adopted)
    services = adopted.model["services"]
    assert set(services) == {"web", "catalog", "recommendations", "cart", "checkout", "payment", "orders"}
    assert set(services["checkout"]["needs"]) == {"cart", "catalog", "payment", "orders"}
    assert services["checkout"]["routes"] == [{"path": "/checkout"}]
    assert services["orders"]["storage"] == {"/data": {"size": "1Gi"}}
    patches = [p for s in services.values() for p in s.get("patches", ())] + adopted.model.get("patches", [])
    assert len(patches) <= 2, patches
    assert not adopted.files


def test_nothing_that_runs_is_an_error() -> None:
    with pytest.raises(InputError, match="nothing here can be a service"):
        adopt(given("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n"), name="x")


def test_what_is_no_object_is_said() -> None:
    found, losses = read([Source("a.yaml", "a: 1\n---\napiVersion: v1\nkind: Pod\nmetadata: {name: a}\n")])
    assert [key(g.obj) for g in found] == [("Pod", "a")]
    assert [loss.where for loss in losses] == ["a.yaml:1:1"]


def test_what_the_server_writes_is_dropped() -> None:
    deployment = given((STORIES / "guestbook.yaml").read_text())[1].obj
    live = normal(deployment, "default")
    live["metadata"] |= {"uid": "u", "resourceVersion": "7", "managedFields": [{}], "generation": 2, "creationTimestamp": "t"}
    live["metadata"]["annotations"] = {"deployment.kubernetes.io/revision": "1"}
    live["status"] = {"replicas": 1}
    owned = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p", "ownerReferences": [{"controller": True}]}}
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, "data": {"a": "Yg=="}}
    adopted = adopt([Given(live, "here"), Given(owned, ""), Given(secret, "there")], name="shop", secrets=False)
    assert adopted.model["services"].keys() == {"redis-leader"}
    assert "namespace: default" not in dump([adopted.model])
    assert not adopted.files
    assert [loss.what for loss in adopted.losses] == ["the namespace default", "Secret s"]


def test_ingresses_that_collide_stay_manifests() -> None:
    one = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: NAME}
spec:
  selector: {matchLabels: {app: NAME}}
  template: {metadata: {labels: {app: NAME}}, spec: {containers: [{name: NAME, image: x, ports: [{containerPort: 80}]}]}}
---
apiVersion: v1
kind: Service
metadata: {name: NAME}
spec: {selector: {app: NAME}, ports: [{port: 80}]}
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: NAME}
spec:
  rules: [{http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: NAME, port: {number: 80}}}}]}}]
"""
    found = given(one.replace("NAME", "a"))
    adopted = adopt(found, name="x")
    proven([g.obj for g in found], adopted)
    assert adopted.model["services"]["a"]["routes"] == [{"path": "/"}]
    found = given("---".join(one.replace("NAME", n) for n in "ab"))
    adopted = adopt(found, name="x")
    proven([g.obj for g in found], adopted)
    assert set(adopted.model["services"]) == {"a", "b"}
    assert adopted.files["manifests.yaml"].count("kind: Ingress") == 2
