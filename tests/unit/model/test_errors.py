"""Stories of bad input: ``tests/golden/model/*.in.yaml`` is a bad application file, ``.out.txt`` what its author is told."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from lateen.errors import InputError
from lateen.model import Source, load

STORIES = Path(__file__).parents[2] / "golden" / "model"
CASES = sorted(p.name.removesuffix(".in.yaml") for p in STORIES.glob("*.in.yaml"))


def told(*texts: str, environment: str = "") -> str:
    sources = [Source(f"{n}.yaml", text) for n, text in zip(("lateen", "over"), texts, strict=False)]
    with pytest.raises(ExceptionGroup) as caught:
        load(sources, environment=environment)
    assert all(isinstance(e, InputError) for e in caught.value.exceptions)
    return "".join(f"{e}\n" for e in caught.value.exceptions)


@pytest.mark.parametrize("case", CASES)
def test_bad_input(case: str, golden: Callable[[Path, str], None]) -> None:
    golden(STORIES / f"{case}.out.txt", told((STORIES / f"{case}.in.yaml").read_text()))


def test_the_overlay_is_blamed_for_what_it_says() -> None:
    text = told("name: shop\nservices: {web: {image: a}}\n", "services:\n  web:\n    imge: b\n")
    assert text.startswith("over.yaml:3:5: services.web has no field 'imge'")
    assert "did you mean 'image'?" in text


def test_a_fault_in_defaults_is_told_once() -> None:
    text = told("name: shop\ndefaults: {replicas: many}\nservices: {a: {image: a}, b: {image: b}}\n")
    assert text.count("expected a whole number") == 1
    assert text.startswith("lateen.yaml:2:22: defaults.replicas")


def test_unknown_environment() -> None:
    text = told("name: shop\nservices: {a: {image: a}}\nenvironments: {staging: }\n", environment="stagng")
    assert "did you mean 'staging'?" in text


def test_an_environment_that_starts_from_itself() -> None:
    file = "name: shop\nservices: {a: {image: a}}\nenvironments: {a: {from: b}, b: {from: a}}\n"
    assert "starts from itself" in told(file, environment="a")


def test_an_alias_of_itself_ends() -> None:
    assert "too many values" in told("name: shop\nservices: &a\n  x: *a\n")


def test_an_alias_bomb_ends() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"] + [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 9)]
    assert "too many values" in told("\n".join(lines))
