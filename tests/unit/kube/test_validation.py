"""Validation as golden findings: each object of tests/golden/validation/<case>.in.yaml, defaulted, and what is wrong with it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from lateen.kube import defaults, validation
from lateen.kube.meta import Object
from lateen.kube.validation import FieldError
from lateen.kube.validation.errors import INVALID, invalid, required

FOLDER = Path(__file__).parents[2] / "golden"
CASES = sorted(p.name.removesuffix(".in.yaml") for p in (FOLDER / "validation").glob("*.in.yaml"))


def defaulted(obj: Object | None) -> Object | None:
    if obj is not None:
        defaults.apply(obj)
    return obj


@pytest.mark.parametrize("case", CASES)
def test_golden(case: str, golden: Callable[[Path, str], None]) -> None:
    stories: list[dict[str, Any]] = yaml.safe_load((FOLDER / f"validation/{case}.in.yaml").read_text())
    found = {}
    for story in stories:
        new, old = defaulted(story["new"]), defaulted(story.get("old"))
        assert new is not None
        found[story["what"]] = [str(e) for e in validation.validate(new, old)]
    golden(FOLDER / f"validation/{case}.out.yaml", yaml.safe_dump(found, sort_keys=False, width=1000, allow_unicode=True))


@pytest.mark.parametrize("path", sorted((FOLDER / "defaults").glob("*.out.yaml")), ids=lambda p: p.name)
def test_sound_objects_pass_and_stay_sound(path: Path) -> None:
    obj = yaml.safe_load(path.read_text())
    assert validation.validate(obj) == []
    assert validation.validate(obj, obj) == []


def test_a_single_finding_reads_as_kubectl_shows_it() -> None:
    errors = [invalid("spec.replicas", -1, "must be greater than or equal to 0")]
    text = 'Deployment.apps "x" is invalid: spec.replicas: Invalid value: -1: must be greater than or equal to 0'
    assert validation.message("apps", "Deployment", "x", errors) == text
    assert validation.causes(errors) == [
        {"reason": INVALID, "message": "Invalid value: -1: must be greater than or equal to 0", "field": "spec.replicas"}
    ]


def test_several_findings_are_in_brackets_and_once() -> None:
    errors = [required("a"), required("a"), required("b", "why")]
    assert validation.message("", "Pod", "x", errors) == 'Pod "x" is invalid: [a: Required value, b: Required value: why]'


def test_values_are_shown_as_json() -> None:
    assert str(FieldError(INVALID, "f", "d", {"a": [True, None, "é"]})) == 'f: Invalid value: {"a":[true,null,"é"]}: d'


def test_a_status_write_is_judged_by_metadata_alone() -> None:
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p", "labels": {"a b": "c"}}, "spec": {}}
    assert {e.field for e in validation.validate(pod, pod, subresource="status")} == {"metadata.labels"}


@pytest.mark.parametrize("subresource", ["", "status"])
def test_a_crd_may_hold_finalizers_without_a_domain(subresource: str) -> None:
    crd = {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": "widgets.example.com", "finalizers": ["customresourcecleanup.apiextensions.k8s.io"]},
    }
    assert validation.validate(crd, crd, subresource=subresource) == []
