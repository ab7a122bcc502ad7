"""Adopted applications in tests: read again from their texts, and compared with what they were made of."""

from __future__ import annotations

from typing import Any

from lateen.adopt.manifests.app import Adopted
from lateen.adopt.manifests.objects import key, normal
from lateen.kube.meta import Object, meta
from lateen.kube.yamltext import Source, documents, dump, plain
from lateen.model import load
from lateen.render import render


def rendering(adopted: Adopted) -> list[Object]:
    """What the application file and the files beside it render to: read again from their texts, as a user would."""
    app = load([Source("lateen.yaml", dump([adopted.model]))])
    beside = [plain(d) for text in adopted.files.values() for d in documents(Source("manifests.yaml", text))]
    return render(app, manifests=beside)


def proven(objects: list[Object], adopted: Adopted) -> None:
    """The rendering is what was given: nothing missing, nothing more, nothing changed."""
    space = adopted.model["name"]

    def known(found: list[Object]) -> dict[Any, Object]:
        return {(*key(o), meta(o).get("namespace", space)): normal(o, space) for o in found}

    wanted, got = known(objects), known(rendering(adopted))
    if ("Namespace", space, space) not in wanted:
        got.pop(("Namespace", space, space))
    assert got.keys() == wanted.keys()
    for name, obj in wanted.items():
        assert got[name] == obj, name
