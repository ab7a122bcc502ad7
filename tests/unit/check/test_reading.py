"""Places of fields: found by lines alone they are those that the YAML parser gives; what lines do not tell is left to it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lateen.check.manifest import Path as Steps
from lateen.check.pointing import Lines
from lateen.check.reading import _composed, read
from lateen.kube.yamltext import Source

STORIES = Path(__file__).parent / "stories"
ODD = """\
# comment
kind: Pod

metadata:
  # inside
  name: "quoted"   # after
  labels: {a: b}
spec:
  text: |
    kind: Wrong
  folded: one
    two
  list:
  - a
  - - deep
  - b: 1
    c:
    - d: 2

    # comment
      e: 3
  -
    f: 4
  none:
  last: it's # here
"""


def paths(data: Any, at: Steps = ()) -> Iterator[Steps]:
    """Every path of the data, and one beside each that does not exist."""
    yield at
    if isinstance(data, dict):
        yield (*at, "absent")
        yield (*at, "absent", "more")
        for key, value in data.items():
            yield from paths(value, (*at, str(key)))
    elif isinstance(data, list):
        yield (*at, 99)
        for i, value in enumerate(data):
            yield from paths(value, (*at, i))


def documents() -> list[str]:
    parts = [
        p for f in sorted(STORIES.glob("*.in.yaml")) for p in f.read_text().split("---\n") if not f.name.startswith("LT-OBJ-253")
    ]
    return [ODD, ODD.replace("\n", "\n\n"), *parts]


def test_lines_give_the_places_of_the_parser() -> None:
    answered = asked = 0
    for text in documents():
        lines = Lines.of(text)
        for manifest in (*read(Source("x", text)).objects, *read(Source("x", text)).others):
            for path in paths(dict(manifest.data)):
                asked += 1
                found = lines.find(path) if lines and path else None
                answered += found is not None
                assert found is None or found == _composed(text, path), (path, text)
    assert answered > 0.75 * asked, "the fast way is taken nearly always"


@pytest.mark.parametrize("text", ["a: &x 1\n", "a: !!str 1\n", "\ta: 1\n", "? a\n: b\n", "<<: {}\n"])
def test_what_lines_do_not_tell_is_left_to_the_parser(text: str) -> None:
    assert Lines.of(text) is None


def test_dates_stay_text_and_a_key_twice_is_broken() -> None:
    found = read(Source("x", "apiVersion: v1\nkind: A\nat: 2020-01-01\n---\na: 1\na: 2\n"))
    assert found.objects[0].data["at"] == "2020-01-01"
    (broken,) = found.broken
    assert "'a' is given twice" in broken[1].message
    assert broken[1].where == "x:6:1"
