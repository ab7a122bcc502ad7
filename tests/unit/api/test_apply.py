"""Server-side apply and ownership, through the API server in process."""

from typing import Any

import pytest

from lateen.client.client import Client
from lateen.errors import ConflictError, InvalidError
from lateen.kube.meta import Object
from lateen.kube.resources import CONFIGMAPS, DEPLOYMENTS


def config(**data: str) -> Object:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "m", "namespace": "default"}, "data": data}


def deployment(replicas: int | None = None, **containers: str) -> Object:
    spec: dict[str, Any] = {
        "selector": {"matchLabels": {"a": "b"}},
        "template": {
            "metadata": {"labels": {"a": "b"}},
            "spec": {"containers": [{"name": n, "image": i} for n, i in containers.items()]},
        },
    }
    if replicas is not None:
        spec["replicas"] = replicas
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d", "namespace": "default"}, "spec": spec}


async def test_apply_creates_updates_and_removes_what_it_no_longer_says(client: Client) -> None:
    first = await client.apply(CONFIGMAPS, config(a="1", b="2"), field_manager="x")
    assert first["data"] == {"a": "1", "b": "2"}
    second = await client.apply(CONFIGMAPS, config(a="3"), field_manager="x")
    assert second["data"] == {"a": "3"}


async def test_applying_the_same_again_writes_nothing(client: Client) -> None:
    first = await client.apply(DEPLOYMENTS, deployment(2, c="i"), field_manager="x")
    again = await client.apply(DEPLOYMENTS, deployment(2, c="i"), field_manager="x")
    assert again["metadata"]["resourceVersion"] == first["metadata"]["resourceVersion"]


async def test_a_field_of_another_manager_is_a_conflict_unless_forced(client: Client) -> None:
    await client.apply(DEPLOYMENTS, deployment(2, c="i"), field_manager="x")
    with pytest.raises(ConflictError) as caught:
        await client.apply(DEPLOYMENTS, deployment(3, c="i"), field_manager="y")
    assert caught.value.message == 'Apply failed with 1 conflict: conflict with "x": .spec.replicas'
    assert caught.value.details["causes"][0]["reason"] == "FieldManagerConflict"
    forced = await client.apply(DEPLOYMENTS, deployment(3, c="i"), field_manager="y", force=True)
    assert forced["spec"]["replicas"] == 3
    # Now y owns it alone: x may leave it out without removing it.
    assert (await client.apply(DEPLOYMENTS, deployment(None, c="i"), field_manager="x"))["spec"]["replicas"] == 3


async def test_two_managers_share_lists_by_key(client: Client) -> None:
    await client.apply(DEPLOYMENTS, deployment(1, main="i"), field_manager="x")
    both = await client.apply(DEPLOYMENTS, deployment(1, side="s"), field_manager="y")
    assert [c["name"] for c in both["spec"]["template"]["spec"]["containers"]] == ["main", "side"]
    less = await client.apply(DEPLOYMENTS, deployment(1, other="o"), field_manager="y")
    assert sorted(c["name"] for c in less["spec"]["template"]["spec"]["containers"]) == ["main", "other"]


async def test_an_ordinary_write_takes_its_fields_over(client: Client) -> None:
    await client.apply(DEPLOYMENTS, deployment(2, c="i"), field_manager="x")
    await client.patch(DEPLOYMENTS, "d", {"spec": {"replicas": 5}}, namespace="default", field_manager="kubectl")
    with pytest.raises(ConflictError, match=r'conflict with "kubectl" using apps/v1'):
        await client.apply(DEPLOYMENTS, deployment(2, c="i"), field_manager="x")


async def test_status_belongs_to_whoever_writes_it(client: Client) -> None:
    made = await client.create(DEPLOYMENTS, deployment(1, c="i"))
    await client.update_status(DEPLOYMENTS, {**made, "status": {"replicas": 1}})
    entries = (await client.get(DEPLOYMENTS, "d", "default"))["metadata"]["managedFields"]
    assert {e.get("subresource", ""): list(e["fieldsV1"]) for e in entries} == {"": ["f:spec"], "status": ["f:status"]}


async def test_json_and_strategic_patches(client: Client) -> None:
    await client.create(DEPLOYMENTS, deployment(1, a="i", b="j"))
    patched = await client.patch(
        DEPLOYMENTS,
        "d",
        {"spec": {"template": {"spec": {"containers": [{"name": "b", "image": "new"}]}}}},
        namespace="default",
        kind="strategic",
    )
    assert [c["image"] for c in patched["spec"]["template"]["spec"]["containers"]] == ["i", "new"]
    operations = [{"op": "test", "path": "/spec/replicas", "value": 1}, {"op": "replace", "path": "/spec/replicas", "value": 4}]
    assert (await client.patch(DEPLOYMENTS, "d", operations, namespace="default", kind="json"))["spec"]["replicas"] == 4
    with pytest.raises(InvalidError, match="testing value /spec/replicas failed"):
        await client.patch(DEPLOYMENTS, "d", operations, namespace="default", kind="json")
