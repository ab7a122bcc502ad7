"""Defaults as golden objects: tests/golden/defaults/<case>.in.yaml becomes <case>.out.yaml."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from lateen.kube import defaults
from lateen.kube.meta import edit

FOLDER = Path(__file__).parents[2] / "golden/defaults"
CASES = sorted(p.name.removesuffix(".in.yaml") for p in FOLDER.glob("*.in.yaml"))


def read(case: str) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((FOLDER / f"{case}.in.yaml").read_text())
    return found


@pytest.mark.parametrize("case", CASES)
def test_golden(case: str, golden: Callable[[Path, str], None]) -> None:
    obj = read(case)
    defaults.apply(obj)
    golden(FOLDER / f"{case}.out.yaml", yaml.safe_dump(obj, sort_keys=False, width=120, allow_unicode=True))


@pytest.mark.parametrize("case", CASES)
def test_applying_twice_is_applying_once(case: str) -> None:
    obj = read(case)
    defaults.apply(obj)
    again = edit(obj)
    defaults.apply(again)
    assert again == obj


def test_template_pods_get_no_requests_from_limits() -> None:
    obj = read("deployment")
    defaults.apply(obj)
    assert obj["spec"]["template"]["spec"]["containers"][0]["resources"] == {"limits": {"cpu": "1"}}


@pytest.mark.parametrize(
    ("image", "policy"),
    [("a", "Always"), ("a:latest", "Always"), ("a:1", "IfNotPresent"), ("host:5000/a", "Always"), ("a@sha256:0", "IfNotPresent")],
)
def test_pull_policy_follows_the_tag(image: str, policy: str) -> None:
    obj = {"apiVersion": "v1", "kind": "Pod", "spec": {"containers": [{"name": "a", "image": image}]}}
    defaults.apply(obj)
    assert obj["spec"]["containers"][0]["imagePullPolicy"] == policy  # type: ignore[index]


def test_kinds_without_defaults_stay_as_they_are() -> None:
    obj = {"apiVersion": "example.com/v1", "kind": "Pod", "spec": {}}
    defaults.apply(obj)
    assert obj == {"apiVersion": "example.com/v1", "kind": "Pod", "spec": {}}
