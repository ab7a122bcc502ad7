"""Manifests that Kubernetes could not read are refused at the place that is wrong."""

from __future__ import annotations

import pytest

from lateen.adopt.manifests.reading import read
from lateen.errors import InputError
from lateen.kube.yamltext import Source

POD = "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec:\n  containers:\n"


@pytest.mark.parametrize(
    ("text", "where", "what"),
    [
        ("  - {name: c, image: [i]}\n", "f.yaml:6:22", "cannot unmarshal array"),
        ("  - 5\n", "f.yaml:6:5", "cannot unmarshal number"),
        ("  - {image: i}\n", "f.yaml:6:5", "name: Required value"),
        ("  -\n", "f.yaml:6", "Required value"),
    ],
)
def test_it_is_refused_where_it_is_wrong(text: str, where: str, what: str) -> None:
    with pytest.raises(InputError, match=what) as found:
        read([Source("f.yaml", POD + text)])
    assert found.value.where.startswith(where)


def test_what_is_no_object_is_lost_not_refused() -> None:
    objects, losses = read([Source("f.yaml", "a: 1\n---\n[1]\n---\nkind: X\nmetadata: [1]\napiVersion: v1\n")])
    assert (objects, len(losses)) == ([], 3)
