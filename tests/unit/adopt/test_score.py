"""Score files: two workloads as one application, and faults with their places."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from lateen.adopt.nodes import Imported
from lateen.adopt.score import read
from lateen.adopt.world import Memory
from lateen.errors import InputError
from lateen.kube.yamltext import Source, dump, plain
from lateen.model import load
from lateen.render import files_needed, render

STORIES = Path(__file__).parents[2] / "golden" / "adopt" / "score"
HEAD = "apiVersion: score.dev/v1b1\nmetadata: {name: a}\n"


def imported(*texts: str) -> Imported:
    world = Memory({"raw.conf": b"${x}"}, {"REGION": "north"})
    return read([Source(f"{i}.yaml", text) for i, text in enumerate(texts)], world, folder="shop")


def test_the_story(golden: Any) -> None:
    found = imported(*((STORIES / f"{n}.score.yaml").read_text() for n in ("orders", "cart")))
    golden(STORIES / "shop.lateen.yaml", dump([plain(found.tree), [loss.described() for loss in found.losses]]))
    app = load([found.tree])
    kinds = {(o["kind"], o["metadata"]["name"]) for o in render(app, files=dict.fromkeys(files_needed(app), b"x"))}
    assert kinds >= {("StatefulSet", "orders"), ("Deployment", "cart"), ("StatefulSet", "db")}


def test_one_file_is_an_application_of_its_name() -> None:
    found = plain(imported(HEAD + "containers: {m: {image: i}}").tree)
    assert found == {"name": "a", "services": {"a": {"image": "i"}}}


@pytest.mark.parametrize(
    ("text", "at", "said"),
    [
        ("apiVersion: score.dev/v1\nmetadata: {name: a}", "1:13", "score.dev/v1b1"),
        (HEAD + "container: {}", "3:1", "no field 'container'"),
        (HEAD + "containers: {m: {images: i}}", "3:18", "no field 'images'"),
        (HEAD + "containers: {m: {image: i, variables: {A: '${resources.x.y}'}}}", "3:43", "refers to nothing"),
        (HEAD + "containers: {m: {image: i, variables: {A: '${metadata.x}'}}}", "3:43", "there is no metadata.x"),
        (HEAD + "containers: {m: {image: i, files: {/a: {source: no}}}}", "3:49", "no file 'no'"),
        (HEAD + "containers: {m: {image: i, volumes: {/a: {source: no}}}}", "3:42", "no resource 'no'"),
    ],
)
def test_errors_point_into_the_file(text: str, at: str, said: str) -> None:
    with pytest.raises(InputError, match=said) as caught:
        imported(text)
    assert caught.value.where == f"0.yaml:{at}"
