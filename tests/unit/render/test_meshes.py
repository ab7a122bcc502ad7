"""What each mesh is told: stories in ``tests/golden/meshes``, the published schemas of the meshes, and what must hold for all."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema_rs
import kubernetes_validate
import pytest
import yaml
from published import PEERS, builtin, strict

from lateen.kube.meta import Object
from lateen.model import Application, Source, load
from lateen.render import render
from lateen.render.hidden import withheld
from lateen.render.targets import TARGETS, Graph, Variant

STORIES = Path(__file__).parents[2] / "golden" / "meshes"
MESHES = ("istio", "linkerd", "consul", "gamma")
SCHEMAS = ("istio", "linkerd", "consul", "gateway-api-1.6")
CASES = [*STORIES.glob("*.in.yaml"), STORIES.parent / "render" / "complete.in.yaml"]


def application(path: Path) -> Application:
    return load([Source(path.name, path.read_text())])


def graph(path: Path) -> Graph:
    app = application(path)
    objects, _ = withheld(render(app, files={}))
    return Graph(base=Variant(app=app, objects=tuple(objects)))


def package(path: Path, mesh: str) -> list[Object]:
    return [o for text in TARGETS[mesh].write(graph(path)).values() for o in yaml.safe_load_all(text)]


def plain(path: Path) -> set[tuple[str, str]]:
    return {(o["kind"], o["metadata"]["name"]) for o in graph(path).base.objects}


def own(path: Path, mesh: str) -> list[Object]:
    """What the mesh adds."""
    known = plain(path)
    return [o for o in package(path, mesh) if (o["kind"], o["metadata"]["name"]) not in known]


@pytest.mark.parametrize("mesh", MESHES)
def test_a_story_for_each_mesh(mesh: str, golden: Callable[[Path, str], None]) -> None:
    path = STORIES / "callers.in.yaml"
    notes = "".join(f"# {note}\n" for note in TARGETS[mesh].notes(graph(path)))
    golden(STORIES / f"callers.{mesh}.yaml", notes + yaml.safe_dump_all(own(path, mesh), sort_keys=False))


@pytest.mark.parametrize("mesh", MESHES)
@pytest.mark.parametrize("path", CASES, ids=lambda p: p.name.partition(".")[0])
def test_nothing_of_the_application_is_lost(path: Path, mesh: str) -> None:
    assert plain(path) <= {(o["kind"], o["metadata"]["name"]) for o in package(path, mesh)}


@pytest.mark.skipif(not PEERS.is_dir(), reason="the schemas of other projects' kinds are not here")
@pytest.mark.parametrize("mesh", MESHES)
@pytest.mark.parametrize("path", CASES, ids=lambda p: p.name.partition(".")[0])
def test_every_object_passes_its_project_s_schema(path: Path, mesh: str) -> None:
    known: dict[str, Any] = {}
    for name in SCHEMAS:
        known |= json.loads((PEERS / f"{name}.crds.json").read_text())
    for obj in own(path, mesh):
        if builtin(obj):
            kubernetes_validate.validate(obj, "1.37", strict=True)
        else:
            schema = known[f"{obj['apiVersion']}/{obj['kind']}"]["schema"]
            jsonschema_rs.validator_for(strict(schema)).validate(
                {k: v for k, v in obj.items() if k in schema["properties"] and k != "metadata"}
            )


def rules(objects: list[Object], name: str) -> list[Any]:
    return next(o["spec"]["rules"] for o in objects if o["kind"] == "AuthorizationPolicy" and o["metadata"]["name"] == name)


def test_istio_lets_in_declared_callers_only() -> None:
    objects = own(STORIES / "callers.in.yaml", "istio")
    callers = {
        p.rpartition("/")[2] for rule in rules(objects, "goods") for f in rule.get("from", ()) for p in f["source"]["principals"]
    }
    assert callers == {"front", "back", "batch"}
    narrow = [r for r in rules(objects, "ledger") if r["from"][0]["source"]["principals"] == ["*/ns/market/sa/front"]]
    assert narrow[0]["to"][0]["operation"] == {"ports": ["9000"], "methods": ["POST"], "paths": ["/ledger.v1/*"]}


def test_every_pod_joins_but_those_on_the_host_s_network() -> None:
    for mesh, mark in (("istio", "sidecar.istio.io/inject"), ("linkerd", "linkerd.io/inject"), ("consul", "connect-inject")):
        for obj in package(STORIES / "callers.in.yaml", mesh):
            spec = obj["spec"]["jobTemplate"]["spec"] if obj["kind"] == "CronJob" else obj.get("spec") or {}
            if obj["kind"] in ("Deployment", "StatefulSet", "CronJob"):
                assert mark in json.dumps(spec["template"]["metadata"]), (mesh, obj["metadata"]["name"])


def test_linkerd_names_who_may_use_a_part() -> None:
    objects = own(STORIES / "callers.in.yaml", "linkerd")
    names = {o["metadata"]["name"]: o["spec"] for o in objects if o["kind"] == "MeshTLSAuthentication"}
    assert [r["name"] for r in names["ledger-rpc-part-0"]["identityRefs"]] == ["back", "front"]
    assert [r["name"] for r in names["ledger-rpc-rest"]["identityRefs"]] == ["back"]


def test_consul_refuses_everybody_else() -> None:
    found = [o for o in own(STORIES / "callers.in.yaml", "consul") if o["kind"] == "ServiceIntentions"]
    assert found and all(o["spec"]["sources"][-1] == {"name": "*", "action": "deny"} for o in found)
