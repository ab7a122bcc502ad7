"""The quick writer writes what PyYAML writes."""

from __future__ import annotations

from typing import Any

import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from lateen.kube import yamlwrite

WORDS = [
    "on",
    "y",
    "1e3",
    "",
    "~",
    "=",
    "<<",
    "a\nb",
    "a\n",
    "\n",
    " a\n b",
    "a \nb",
    "é",
    "\x85",
    "😀",
    "- a",
    "a: b",
    "a #",
    "2020-01-01",
    "\t",
    "x" * 150,
]
TEXTS = st.one_of(st.sampled_from(WORDS), st.text(max_size=8), st.text(alphabet="abcONnull.-/_:#\n 0123456789'\"{}[]", max_size=12))
SCALARS = st.one_of(TEXTS, st.none(), st.booleans(), st.integers(), st.floats())
DATA = st.recursive(
    SCALARS, lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(TEXTS, inner, max_size=3)), max_leaves=12
)


@settings(max_examples=400, deadline=None)
@given(st.one_of(DATA, st.dictionaries(TEXTS, DATA, max_size=4)))
def test_it_writes_what_pyyaml_writes(data: Any) -> None:
    assert yamlwrite.dump([data, data]) == yamlwrite._slowly(data) + "---\n" + yamlwrite._slowly(data)


@settings(max_examples=200, deadline=None)
@given(st.dictionaries(st.text(alphabet="abcyn01", min_size=1, max_size=3), TEXTS, max_size=4))
def test_what_is_written_is_read_again(data: Any) -> None:
    assert yaml.safe_load(yamlwrite.dump([data])) == data
