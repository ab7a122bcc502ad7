"""Stories of rendering: ``tests/golden/render/*.in.yaml`` is an application file, ``.out.yaml`` every object made of it."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema_rs
import kubernetes_validate
import pytest
import yaml
from published import PEERS, builtin, strict

from lateen.errors import InputError
from lateen.kube.meta import Object, labels_of
from lateen.model import Application, Source, load
from lateen.render import files_needed, render, to_yaml
from lateen.render.capabilities import DEFAULT, named
from lateen.render.hidden import revealed, withheld

STORIES = Path(__file__).parents[2] / "golden" / "render"
CASES = sorted(p.name.removesuffix(".in.yaml") for p in STORIES.glob("*.in.yaml"))
FILES = {"app.conf": b"a = 1\nb = 2\n", "logo.png": b"\x89PNG\xff", "secrets/key": b"hunter2\n"}
IMAGES = {"web": "registry.example.com/team/shop/web@sha256:" + "ab" * 32}
ENVIRONMENTS = {"routes": "test"}
HAVING = {"complete": named(["keda", "vpa", "prometheus", "cert-manager", "external-secrets"])}


def application(case: str) -> Application:
    path = STORIES / f"{case}.in.yaml"
    return load([Source(path.name, path.read_text())], environment=ENVIRONMENTS.get(case, ""))


def rendered(case: str) -> list[Object]:
    images = IMAGES if case == "graph" else {}
    return render(application(case), images=images, files=FILES, having=HAVING.get(case, DEFAULT))


@pytest.mark.parametrize("case", CASES)
def test_rendering(case: str, golden: Callable[[Path, str], None]) -> None:
    objects, _ = withheld(rendered(case))
    text = to_yaml(objects)
    assert list(yaml.safe_load_all(text)) == objects, "what is written is what was meant"
    golden(STORIES / f"{case}.out.yaml", text)


@pytest.mark.parametrize("case", CASES)
def test_every_object_passes_the_published_schema(case: str) -> None:
    for obj in revealed(rendered(case)):
        if builtin(obj):
            kubernetes_validate.validate(obj, "1.37", strict=True)


@pytest.mark.skipif(not PEERS.is_dir(), reason="the schemas of other projects' kinds are not here")
@pytest.mark.parametrize("case", CASES)
def test_every_custom_object_passes_its_project_s_schema(case: str) -> None:
    known: dict[str, Any] = {}
    for name in ("keda", "vpa", "gateway-api-1.6"):
        known |= json.loads((PEERS / f"{name}.crds.json").read_text())
    for obj in rendered(case):
        if found := known.get(f"{obj['apiVersion']}/{obj['kind']}"):
            jsonschema_rs.validator_for(strict(found["schema"])).validate(obj)


@pytest.mark.parametrize("case", CASES)
def test_services_and_budgets_choose_the_pods_of_their_deployment(case: str) -> None:
    objects = rendered(case)
    pods = [o["spec"]["template"]["metadata"]["labels"] for o in objects if o["kind"] in ("Deployment", "StatefulSet")]
    for obj in objects:
        if obj["kind"] in ("Service", "PodDisruptionBudget") and not obj["metadata"]["name"].endswith(("-pods", "-public")):
            selector = obj["spec"]["selector"].get("matchLabels", obj["spec"]["selector"])
            assert [p["app.kubernetes.io/name"] for p in pods if selector.items() <= p.items()] == [obj["metadata"]["name"]]


def test_a_new_image_changes_the_deployment_only() -> None:
    app = application("graph")
    other = {"web": IMAGES["web"].replace("ab", "cd")}
    changed = [
        (a["kind"], a["metadata"]["name"])
        for a, b in zip(render(app, images=IMAGES), render(app, images=other), strict=True)
        if a != b
    ]
    assert changed == [("Deployment", "web")]


def test_changed_config_gets_a_new_name_and_keeps_the_old_object_as_it_was() -> None:
    app = application("mounts")
    old = {o["metadata"]["name"]: o for o in render(app, files=FILES) if o["kind"] == "ConfigMap"}
    new = {o["metadata"]["name"]: o for o in render(app, files=FILES | {"app.conf": b"a = 2\n"}) if o["kind"] == "ConfigMap"}
    assert len(old) == len(new) == 2
    assert set(old) & set(new) == {"api-live-config"}
    assert all(o["immutable"] for n, o in old.items() if n != "api-live-config")


def test_no_secret_is_in_clear() -> None:
    objects = rendered("mounts")
    with pytest.raises(yaml.representer.RepresenterError):
        to_yaml(objects)
    with pytest.raises(TypeError):
        json.dumps(objects)
    assert "hunter2" not in repr(objects)
    kept, names = withheld(objects)
    assert len(names) == 1
    assert len(kept) == len(objects) - 1
    assert base64.b64encode(b"hunter2").decode() in to_yaml(revealed(objects))


def test_every_object_says_whose_it_is() -> None:
    for obj in rendered("graph"):
        assert labels_of(obj)["app.kubernetes.io/part-of"] == "shop"
        assert labels_of(obj)["app.kubernetes.io/managed-by"] == "lateen"


def test_files_are_asked_for_with_their_place() -> None:
    needed = files_needed(application("mounts"))
    assert set(needed) == set(FILES)
    assert needed["app.conf"] == "mounts.in.yaml:7:23"
    with pytest.raises(InputError, match=r"app\.conf"):
        render(application("mounts"), files={})
