"""Environment repositories for Argo CD and Flux, and kpt packages: stories, published schemas, what the packages in them say."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
import yaml
from published import PEERS, strict

from lateen.errors import InputError
from lateen.model import Source, load
from lateen.render import render
from lateen.render.hidden import withheld
from lateen.render.targets import TARGETS, Graph, Variant

STORY = Path(__file__).parents[2] / "golden" / "gitops" / "store.in.yaml"


def variant(app: Any) -> Variant:
    objects, _ = withheld(render(app, files={}))
    return Variant(app=app, objects=tuple(objects))


def graph(text: str = "") -> Graph:
    sources = [Source(STORY.name, text or STORY.read_text())]
    names = yaml.safe_load(text or STORY.read_text()).get("environments") or {}
    return Graph(
        base=variant(load(sources, environment="")), environments={n: variant(load(sources, environment=n)) for n in names}
    )


def written(target: str, found: Graph | None = None) -> dict[str, str]:
    return dict(TARGETS[target].write(found or graph()))


@pytest.mark.parametrize("target", ["argocd", "flux", "kpt"])
def test_a_story(target: str, golden: Callable[[Path, str], None]) -> None:
    files = {p: t for p, t in written(target).items() if not p.startswith("apps/")}
    golden(STORY.with_name(f"store.{target}.yaml"), "".join(f"# {path}\n{text}" for path, text in sorted(files.items())))


@pytest.mark.skipif(not PEERS.is_dir(), reason="the schemas of other projects' kinds are not here")
@pytest.mark.parametrize("package", ["kustomize", "helm"])
def test_every_object_passes_its_project_s_schema(package: str) -> None:
    known: dict[str, Any] = {}
    for name in ("argo-cd", "flux"):
        known |= json.loads((PEERS / f"{name}.crds.json").read_text())
    text = STORY.read_text().replace("path: retail}", f"package: {package}}}")
    checked = 0
    for target in ("argocd", "flux"):
        for path, content in written(target, graph(text)).items():
            for obj in yaml.safe_load_all(content) if path.startswith(("argocd", "clusters")) else ():
                if (found := known.get(f"{obj['apiVersion']}/{obj['kind']}")) is not None:
                    jsonschema_rs.validator_for(strict(found["schema"])).validate({**obj, "metadata": {}})
                    checked += 1
    assert checked >= 3


def test_the_paths_that_the_engines_are_given_are_written() -> None:
    files = written("flux")
    for path, text in files.items():
        for obj in yaml.safe_load_all(text) if path.startswith("clusters/") else ():
            if obj["kind"] == "Kustomization":
                assert f"{obj['spec']['path'].removeprefix('./retail/')}/kustomization.yaml" in files
    files = written("argocd")
    template = yaml.safe_load(files["argocd/applicationset.yaml"])["spec"]
    for element in template["generators"][0]["list"]["elements"]:
        path = template["template"]["spec"]["source"]["path"].replace("{{.environment}}", element["environment"])
        assert f"{path.removeprefix('retail/')}/kustomization.yaml" in files


def test_what_is_promoted_by_hand_is_not_synced_by_itself() -> None:
    (found,) = yaml.safe_load(written("argocd")["argocd/applicationset.yaml"])["spec"]["generators"]
    assert {e["environment"]: e["automatic"] for e in found["list"]["elements"]} == {"staging": "true", "production": "false"}
    (_, production) = yaml.safe_load_all(written("flux")["clusters/production/store.yaml"])
    assert production["spec"]["suspend"] is True


def test_an_engine_needs_a_repository() -> None:
    text = re.sub(r"gitops: .*\n", "", STORY.read_text())
    for target in ("argocd", "flux"):
        with pytest.raises(InputError, match="where its repository is"):
            written(target, graph(text))


def applied(text: str, setters: dict[str, str]) -> str:
    """As ``apply-setters`` does: the value of a line with a comment comes from the setter that it names."""
    return re.sub(r"(?m)^(.*?: )\S+( # kpt-set: \$\{(\S+)\})$", lambda m: f"{m[1]}{setters[m[3]]}{m[2]}", text)


def test_setters_turn_one_environment_into_another() -> None:
    found = graph()
    files = written("kpt", found)
    base = {p: t for p, t in files.items() if p[0].isdigit()}
    own = yaml.safe_load(files["setters.yaml"])["data"]
    assert all(applied(text, own) == text for text in base.values()), "idempotent with its own setters"
    assert own == {"front-replicas": "2", "front-image": "registry.example.com/store/app:1"} | {
        f"{n}-image": "registry.example.com/store/app:1" for n in ("back", "nightly")
    }
    other = yaml.safe_load(files["environments/production.yaml"])["data"]
    objects = [o for text in base.values() for o in yaml.safe_load_all(applied(text, other))]
    assert next(o for o in objects if o["kind"] == "Deployment" and o["metadata"]["name"] == "front")["spec"]["replicas"] == 5


def test_a_package_without_comments_is_the_plain_one() -> None:
    found = replace(graph(), environments={})
    plain, package = written("plain", found), written("kpt", found)
    assert all(re.sub(r" # kpt-set: .*", "", package[path]) == text for path, text in plain.items())
