"""YAML that other parsers read as it was meant."""

from __future__ import annotations

import pytest

from lateen.kube.yamltext import Mark, Source, dump


@pytest.mark.parametrize("text", ["1e3", "12E-4", "0o17", "0x1F", "0b1", "y", "N", ".5e1", "yes", "null", "1_000", "~"])
def test_texts_that_other_parsers_take_for_something_else_are_quoted(text: str) -> None:
    assert dump([{"a": text}]) == f"a: '{text}'\n"


@pytest.mark.parametrize("text", ["e3", "1e", "yy", "0o8x", "a", "v1", "1.2.3", "10m"])
def test_other_texts_are_not(text: str) -> None:
    assert dump([{"a": text}]) == f"a: {text}\n"


def test_of_a_long_line_the_part_around_the_place_is_shown() -> None:
    text = "a: [" + "x, " * 300 + "here" + ", y" * 300 + "]"
    column = text.index("here")
    line, caret = Mark(Source("f", text), 0, column, 4).excerpt().split("\n")
    assert len(line) < 180
    assert line[caret.index("^") - 2 :].startswith("here")
