"""Stories of rendering: ``tests/golden/render/*.in.yaml`` is an application file, ``.out.yaml`` every object made of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import kubernetes_validate
import pytest
import yaml

from lateen.errors import InputError
from lateen.kube.meta import Object, labels_of
from lateen.model import Application, Source, load
from lateen.render import files_needed, render, to_yaml

STORIES = Path(__file__).parents[2] / "golden" / "render"
CASES = sorted(p.name.removesuffix(".in.yaml") for p in STORIES.glob("*.in.yaml"))
FILES = {"app.conf": b"a = 1\nb = 2\n", "logo.png": b"\x89PNG\xff", "secrets/key": b"hunter2\n"}
IMAGES = {"web": "registry.example.com/team/shop/web@sha256:" + "ab" * 32}
ENVIRONMENTS = {"routes": "test"}


def application(case: str) -> Application:
    path = STORIES / f"{case}.in.yaml"
    return load([Source(path.name, path.read_text())], environment=ENVIRONMENTS.get(case, ""))


def rendered(case: str) -> list[Object]:
    images = IMAGES if case == "graph" else {}
    return render(application(case), images=images, files=FILES)


@pytest.mark.parametrize("case", CASES)
def test_rendering(case: str, golden: Callable[[Path, str], None]) -> None:
    text = to_yaml(rendered(case))
    assert list(yaml.safe_load_all(text)) == rendered(case), "what is written is what was meant"
    golden(STORIES / f"{case}.out.yaml", text)


@pytest.mark.parametrize("case", CASES)
def test_every_object_passes_the_published_schema(case: str) -> None:
    for obj in rendered(case):
        if not obj["apiVersion"].startswith("gateway."):
            kubernetes_validate.validate(obj, "1.37", strict=True)


@pytest.mark.parametrize("case", CASES)
def test_services_and_budgets_choose_the_pods_of_their_deployment(case: str) -> None:
    objects = rendered(case)
    pods = [o["spec"]["template"]["metadata"]["labels"] for o in objects if o["kind"] == "Deployment"]
    for obj in objects:
        if obj["kind"] in ("Service", "PodDisruptionBudget"):
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
    assert "hunter2" not in to_yaml(rendered("mounts"))


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
