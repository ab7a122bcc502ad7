"""A namespace of a running API server becomes an application that renders to what was declared in it."""

from __future__ import annotations

from pathlib import Path

import pytest

from lateen.adopt import live
from lateen.adopt.manifests.app import adopt
from lateen.adopt.manifests.objects import key, normal
from lateen.adopt.manifests.reading import read
from lateen.client import Client
from lateen.client.discovery import Discovery
from lateen.kube.meta import Object, meta
from lateen.kube.resources import NAMESPACES
from lateen.kube.yamltext import Source, documents, dump, plain
from lateen.model import load
from lateen.render import render

STORIES = Path(__file__).parents[2] / "golden" / "adopt" / "manifests"
SECRET = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "db"}, "stringData": {"password": "x"}}


async def written(client: Client, namespace: str, case: str) -> list[Object]:
    """The story's objects of the namespace, created as their author would."""
    await client.create(NAMESPACES, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}})
    discovery, made = Discovery(client), []
    for given in read([Source(case, (STORIES / f"{case}.yaml").read_text())])[0]:
        resource = await discovery.find(given.obj["apiVersion"], given.obj["kind"])
        if resource is not None and resource.namespaced and meta(given.obj).get("namespace", namespace) == namespace:
            await client.create(resource, {**given.obj, "metadata": {**meta(given.obj), "namespace": namespace}})
            made.append(given.obj)
    return made


@pytest.mark.parametrize("case", ["guestbook", "store"])
async def test_a_namespace_comes_back(client: Client, case: str) -> None:
    declared = await written(client, case, case)
    secrets = await Discovery(client).find("v1", "Secret")
    assert secrets is not None
    await client.create(secrets, {**SECRET, "metadata": {"name": "db", "namespace": case}})
    found, losses = await live.objects(client, case)
    assert losses == []
    adopted = adopt(found, name="x", secrets=False)
    assert adopted.model["name"] == case
    assert any(loss.what == "Secret db" for loss in adopted.losses)
    beside = [plain(d) for text in adopted.files.values() for d in documents(Source("m", text))]
    rendered = {key(o): normal(o, case) for o in render(load([Source("lateen.yaml", dump([adopted.model]))]), manifests=beside)}
    for obj in declared:
        wanted = normal(obj, case)
        if any(
            g.obj["kind"] == "HorizontalPodAutoscaler" and g.obj["spec"]["scaleTargetRef"]["name"] == key(obj)[1] for g in found
        ):
            rendered[key(obj)].get("spec", {}).pop("replicas", None)
            wanted.get("spec", {}).pop("replicas", None)
        assert rendered[key(obj)] == wanted
    assert rendered.keys() - {key(o) for o in declared} == {("Namespace", case)}
    assert "uid" not in dump([adopted.model])
