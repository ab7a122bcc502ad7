"""Static pods: manifests in the node's folder."""

from __future__ import annotations

import json
from typing import Any

import pytest
from pod_world import World, ready

from lateen.cluster.node.static import changes, static_pod
from lateen.errors import InputError, NotFoundError
from lateen.kube.meta import Object
from lateen.kube.resources import PODS

NODE: Object = {"metadata": {"name": "n1", "uid": "u"}}


def manifest(image: str = "x", **metadata: Any) -> Object:
    container = {"name": "app", "image": image, "command": ["run"]}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "web", **metadata}, "spec": {"containers": [container]}}


def test_a_mirror_pod() -> None:
    pod = static_pod(manifest(labels={"a": "b"}), NODE, "now")
    assert (pod["metadata"]["name"], pod["metadata"]["namespace"]) == ("web-n1", "default")
    marks = pod["metadata"]["annotations"]
    assert marks["kubernetes.io/config.mirror"] == marks["kubernetes.io/config.hash"]
    assert marks["kubernetes.io/config.source"] == "file"
    assert pod["metadata"]["ownerReferences"][0]["controller"] is True
    assert pod["spec"]["nodeName"] == "n1"
    with pytest.raises(InputError, match="must be a v1 Pod"):
        static_pod({"kind": "Service", "metadata": {"name": "x"}}, NODE, "now")


def test_what_changes() -> None:
    one, other = static_pod(manifest(), NODE, "now"), static_pod(manifest("y"), NODE, "now")
    names = ("default", "web-n1")
    assert changes({names: one}, {}) == ([one], [])
    assert changes({names: one}, {names: one}) == ([], [])
    assert changes({names: other}, {names: one}) == ([], [one])
    assert changes({}, {names: one}) == ([], [one])


async def test_from_file_to_pod_and_away(world: World) -> None:
    folder = world.agent.settings.folder / "manifests"
    folder.mkdir()
    (folder / "broken.yaml").write_text("kind: [")
    (folder / "web.json").write_text(json.dumps(manifest()))
    first = await world.until(ready, "web-n1")
    await world.client.delete(PODS, "web-n1", "default", grace_seconds=0)

    async def uid() -> str:
        try:
            return str((await world.get("web-n1"))["metadata"]["uid"])
        except NotFoundError:
            return ""

    for _ in range(100):
        if await uid() not in ("", first["metadata"]["uid"]):
            break
        await world.step(0.2)
    second = await world.until(ready, "web-n1")
    (folder / "web.json").write_text(json.dumps(manifest("y")))
    for _ in range(100):
        if await uid() not in ("", second["metadata"]["uid"]):
            break
        await world.step(0.2)
    third = await world.until(ready, "web-n1")
    assert third["spec"]["containers"][0]["image"] == "y"
    (folder / "web.json").unlink()
    await world.until_gone("web-n1")
