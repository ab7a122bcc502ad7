"""The verbs, over memory storage, in process."""

from __future__ import annotations

from typing import Any

import pytest

from lateen.client.client import Client
from lateen.errors import AlreadyExistsError, ConflictError, ForbiddenError, NotFoundError
from lateen.kube.meta import Object
from lateen.kube.resources import Resource

CONFIGMAPS = Resource(group="", version="v1", kind="ConfigMap", plural="configmaps", namespaced=True)
PODS = Resource(group="", version="v1", kind="Pod", plural="pods", namespaced=True)
NAMESPACES = Resource(group="", version="v1", kind="Namespace", plural="namespaces", namespaced=False)


def config_map(name: str, **data: str) -> Object:
    return {"metadata": {"name": name, "namespace": "default"}, "data": data}


def pod(name: str, **spec: Any) -> Object:
    return {"metadata": {"name": name, "namespace": "default"}, "spec": {"containers": [{"name": "a", "image": "b"}], **spec}}


async def test_create_get_update_delete(client: Client) -> None:
    made = await client.create(CONFIGMAPS, config_map("a", x="1"))
    assert made["metadata"]["uid"] and made["kind"] == "ConfigMap"
    assert await client.get(CONFIGMAPS, "a", "default") == made
    with pytest.raises(AlreadyExistsError, match='configmaps "a" already exists'):
        await client.create(CONFIGMAPS, config_map("a"))
    changed = await client.update(CONFIGMAPS, {**made, "data": {"x": "2"}})
    assert changed["metadata"]["resourceVersion"] > made["metadata"]["resourceVersion"]
    assert changed["metadata"]["uid"] == made["metadata"]["uid"]
    with pytest.raises(ConflictError, match="the object has been modified"):
        await client.update(CONFIGMAPS, {**made, "data": {"x": "3"}})
    same = await client.update(CONFIGMAPS, changed)
    assert same["metadata"]["resourceVersion"] == changed["metadata"]["resourceVersion"]
    gone = await client.delete(CONFIGMAPS, "a", "default")
    assert gone["status"] == "Success" and gone["details"]["name"] == "a"
    with pytest.raises(NotFoundError, match='configmaps "a" not found'):
        await client.get(CONFIGMAPS, "a", "default")


async def test_missing_namespace(client: Client) -> None:
    with pytest.raises(NotFoundError, match='namespaces "nope" not found'):
        await client.create(CONFIGMAPS, {"metadata": {"name": "a", "namespace": "nope"}})


async def test_generate_name_and_merge_patch(client: Client) -> None:
    made = await client.create(
        CONFIGMAPS, {"metadata": {"generateName": "web-", "namespace": "default"}, "data": {"a": "1", "b": "2"}}
    )
    name = made["metadata"]["name"]
    assert name.startswith("web-") and len(name) == 9
    patched = await client.patch(CONFIGMAPS, name, {"data": {"a": None, "c": "3"}}, namespace="default")
    assert patched["data"] == {"b": "2", "c": "3"}


async def test_list_pages_hold_one_revision(client: Client) -> None:
    for i in range(5):
        await client.create(CONFIGMAPS, config_map(f"c{i}"))
    page = await client.list(CONFIGMAPS, "default", limit=2)
    await client.delete(CONFIGMAPS, "c3", "default")
    rest = await client.list(CONFIGMAPS, "default", limit=10, continue_token=page.continue_token)
    names = [o["metadata"]["name"] for o in (*page.items, *rest.items)]
    assert names == ["c0", "c1", "c2", "c3", "c4"]


async def test_status_is_isolated_and_generation_counts_spec(client: Client) -> None:
    made = await client.create(PODS, pod("p") | {"status": {"phase": "Running"}})
    assert made["status"]["phase"] == "Pending" and made["metadata"]["generation"] == 1
    running = await client.update_status(PODS, {**made, "status": {"phase": "Running"}, "spec": {}})
    assert running["status"]["phase"] == "Running" and running["spec"] == made["spec"]
    assert running["metadata"]["generation"] == 1
    kept = await client.update(PODS, {**running, "status": {}, "metadata": {**running["metadata"], "labels": {"a": "b"}}})
    assert kept["status"]["phase"] == "Running" and kept["metadata"]["labels"] == {"a": "b"}


async def test_pod_on_a_node_ends_gracefully(client: Client) -> None:
    await client.create(PODS, pod("p"))
    await client.create(
        PODS, {"metadata": {"name": "p", "namespace": "default"}, "target": {"kind": "Node", "name": "n1"}}, subresource="binding"
    )
    dying = await client.delete(PODS, "p", "default")
    assert dying["metadata"]["deletionGracePeriodSeconds"] == 30
    assert (await client.get(PODS, "p", "default"))["spec"]["nodeName"] == "n1"
    await client.delete(PODS, "p", "default", grace_seconds=0)
    with pytest.raises(NotFoundError):
        await client.get(PODS, "p", "default")


async def test_finalizers_hold_an_object(client: Client) -> None:
    made = await client.create(CONFIGMAPS, {"metadata": {"name": "a", "namespace": "default", "finalizers": ["x.dev/y"]}})
    held = await client.delete(CONFIGMAPS, "a", "default")
    assert held["metadata"]["deletionTimestamp"] and held["metadata"]["deletionGracePeriodSeconds"] == 0
    current = await client.get(CONFIGMAPS, "a", "default")
    assert current["metadata"]["uid"] == made["metadata"]["uid"]
    await client.patch(CONFIGMAPS, "a", {"metadata": {"finalizers": None}}, namespace="default")
    with pytest.raises(NotFoundError):
        await client.get(CONFIGMAPS, "a", "default")


async def test_namespace_ends_when_finalized(client: Client) -> None:
    await client.create(NAMESPACES, {"metadata": {"name": "shop"}})
    ending = await client.delete(NAMESPACES, "shop")
    assert ending["status"]["phase"] == "Terminating"
    with pytest.raises(ForbiddenError, match="because it is being terminated"):
        await client.create(CONFIGMAPS, {"metadata": {"name": "a", "namespace": "shop"}})
    await client.update(NAMESPACES, {**ending, "spec": {"finalizers": []}}, subresource="finalize")
    with pytest.raises(NotFoundError):
        await client.get(NAMESPACES, "shop")


async def test_watch_sees_selector_transitions(client: Client) -> None:
    first = await client.list(PODS, "default")
    stream: Any = client.watch(PODS, "default", resource_version=first.resource_version, label_selector="app=web")
    await client.create(PODS, pod("p"))
    await client.patch(PODS, "p", {"metadata": {"labels": {"app": "web"}}}, namespace="default")
    await client.patch(PODS, "p", {"metadata": {"labels": {"app": "db"}}}, namespace="default")
    seen = [await anext(stream) for _ in range(2)]
    assert [e.type for e in seen] == ["ADDED", "DELETED"]
    assert seen[1].object["metadata"]["labels"] == {"app": "web"}
    await stream.aclose()
