"""YAML that other parsers read as it was meant."""

from __future__ import annotations

import pytest

from lateen.kube.yamltext import dump


@pytest.mark.parametrize("text", ["1e3", "12E-4", "0o17", "0x1F", "0b1", "y", "N", ".5e1", "yes", "null", "1_000", "~"])
def test_texts_that_other_parsers_take_for_something_else_are_quoted(text: str) -> None:
    assert dump([{"a": text}]) == f"a: '{text}'\n"


@pytest.mark.parametrize("text", ["e3", "1e", "yy", "0o8x", "a", "v1", "1.2.3", "10m"])
def test_other_texts_are_not(text: str) -> None:
    assert dump([{"a": text}]) == f"a: {text}\n"
