"""The road into storage: one writer per key, cancelled callers, dry runs, what a delete leaves."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from lateen.aio.tasks import TaskOwner, gather
from lateen.client.client import Client
from lateen.client.inprocess import InProcessTransport
from lateen.cluster.api.call import KeyLocks
from lateen.cluster.api.server import ApiServer
from lateen.cluster.api.user import ADMIN
from lateen.cluster.api.verbs.delete import DeleteOptions, mark
from lateen.cluster.storage.sqlite import SqliteStorage
from lateen.errors import ConflictError, NotFoundError
from lateen.kube.meta import Object
from lateen.kube.resources import CONFIGMAPS, NAMESPACES, PODS, SERVICES

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def config_map(name: str, **data: str) -> Object:
    return {"metadata": {"name": name, "namespace": "default"}, "data": data}


async def test_concurrent_patches_all_count_on_a_durable_store(tmp_path: Path) -> None:
    storage = SqliteStorage.open(tmp_path / "state.db")
    async with ApiServer(storage) as api:
        client = Client(InProcessTransport(api.handler_for(ADMIN)))
        await client.create(CONFIGMAPS, config_map("a"))
        await gather([client.patch(CONFIGMAPS, "a", {"data": {f"k{i}": "v"}}, namespace="default") for i in range(50)])
        assert len((await client.get(CONFIGMAPS, "a", "default"))["data"]) == 50
    await storage.close()


async def test_a_cancelled_create_keeps_its_address(tmp_path: Path) -> None:
    storage = SqliteStorage.open(tmp_path / "state.db")
    async with ApiServer(storage) as api, TaskOwner("test") as owner:
        client = Client(InProcessTransport(api.handler_for(ADMIN)))
        service = {"metadata": {"name": "a", "namespace": "default"}, "spec": {"ports": [{"port": 80}]}}
        task = owner.start(client.create(SERVICES, service), "create")
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        second = await client.create(SERVICES, {**service, "metadata": {"name": "b", "namespace": "default"}})
        first = await client.get(SERVICES, "a", "default")
        assert first["spec"]["clusterIP"] != second["spec"]["clusterIP"]
    await storage.close()


async def test_a_cancelled_waiter_does_not_block_the_key() -> None:
    locks, order = KeyLocks(), []

    async def work(name: str) -> None:
        async with locks.hold("k"):
            order.append(name)
            await asyncio.sleep(0)

    async with TaskOwner("test") as owner:
        tasks = [owner.start(work(n), n) for n in "abc"]
        await asyncio.sleep(0)
        tasks[1].cancel()
        await asyncio.wait(tasks)
    assert order == ["a", "c"] and not locks._waiting


async def test_a_dry_run_changes_nothing(client: Client, api: ApiServer) -> None:
    revision = api.backend.storage.revision
    made = await client.create(CONFIGMAPS, config_map("a"), dry_run=True)
    assert made["metadata"]["uid"]
    with pytest.raises(NotFoundError):
        await client.get(CONFIGMAPS, "a", "default")
    assert api.backend.storage.revision == revision


async def test_preconditions(client: Client) -> None:
    made = await client.create(CONFIGMAPS, config_map("a"))
    with pytest.raises(ConflictError, match="Precondition failed: UID in precondition: wrong, UID in object meta"):
        await client.delete(CONFIGMAPS, "a", "default", uid="wrong")
    with pytest.raises(ConflictError, match="ResourceVersion in precondition: 1,"):
        await client.delete(CONFIGMAPS, "a", "default", resource_version="1")
    await client.delete(
        CONFIGMAPS, "a", "default", uid=made["metadata"]["uid"], resource_version=made["metadata"]["resourceVersion"]
    )


async def test_delete_collection_takes_what_the_selector_chooses(client: Client) -> None:
    for name, app in (("a", "x"), ("b", "y"), ("c", "x")):
        await client.create(CONFIGMAPS, {"metadata": {"name": name, "namespace": "default", "labels": {"app": app}}})
    gone = await client.delete_collection(CONFIGMAPS, "default", label_selector="app=x")
    assert [o["metadata"]["name"] for o in gone["items"]] == ["a", "c"]
    assert [o["metadata"]["name"] for o in (await client.list(CONFIGMAPS, "default")).items] == ["b"]


def pod(**meta: Any) -> Object:
    return {
        "metadata": {"name": "p", **meta},
        "spec": {"nodeName": "n", "terminationGracePeriodSeconds": 10},
        "status": {"phase": "Running"},
    }


@pytest.mark.parametrize(
    ("given", "options", "seconds", "finalizers"),
    [
        (pod(), DeleteOptions(), 10, None),
        (pod(), DeleteOptions(grace=3), 3, None),
        (pod(), DeleteOptions(propagation="Foreground"), 10, ["foregroundDeletion"]),
        (pod(finalizers=["orphan", "x/y"]), DeleteOptions(grace=0, propagation="Background"), 0, ["x/y"]),
        (pod(deletionTimestamp="2026-01-01T00:00:10Z", deletionGracePeriodSeconds=10), DeleteOptions(grace=4), 4, None),
        (pod(deletionTimestamp="2026-01-01T00:00:10Z", deletionGracePeriodSeconds=10), DeleteOptions(grace=60), 10, None),
    ],
)
async def test_marks(api: ApiServer, given: Object, options: DeleteOptions, seconds: int, finalizers: list[str] | None) -> None:
    served = api.backend.served("", "v1", "pods")
    marked = mark(served, given, options, NOW)
    assert marked is not None
    meta = marked["metadata"]
    assert (meta["deletionGracePeriodSeconds"], meta.get("finalizers")) == (seconds, finalizers)
    assert meta["deletionTimestamp"] == f"2026-01-01T00:00:{seconds:02}Z"


async def test_what_nothing_holds_goes_at_once(api: ApiServer) -> None:
    served = api.backend.served("", "v1", "pods")
    assert mark(served, pod(), DeleteOptions(grace=0), NOW) is None
    assert mark(served, {**pod(), "status": {"phase": "Failed"}}, DeleteOptions(), NOW) is None
    assert mark(served, {**pod(), "spec": {}}, DeleteOptions(), NOW) is None


async def test_unknown_fields_warn_or_fail_as_asked(client: Client) -> None:
    body = {**config_map("a"), "bogus": 1}
    path = CONFIGMAPS.path("default")
    answer = await client.raw("POST", path, body=body)
    assert answer.headers["Warning"] == '299 - "unknown field \\"bogus\\""' and "bogus" not in answer.object
    strict = {"fieldValidation": "Strict"}
    with pytest.raises(Exception, match='strict decoding error: unknown field "bogus"'):
        await client.raw("POST", path, body={**body, "metadata": {"name": "b"}}, query=strict)


async def test_names_and_kinds_must_fit_the_path(client: Client) -> None:
    with pytest.raises(Exception, match="the namespace of the provided object does not match the namespace sent on the request"):
        await client.raw("POST", CONFIGMAPS.path("default"), body={"metadata": {"name": "a", "namespace": "other"}})
    with pytest.raises(Exception, match="does not match the expected API version"):
        await client.raw(
            "POST", CONFIGMAPS.path("default"), body={"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "a"}}
        )
    with pytest.raises(Exception, match="does not allow this method"):
        await client.raw("POST", CONFIGMAPS.path(), body={"metadata": {"name": "a"}})
    with pytest.raises(Exception, match='namespaces "default" is forbidden: this namespace may not be deleted'):
        await client.delete(NAMESPACES, "default")
    with pytest.raises(Exception, match=r"field label not supported: spec\.bogus"):
        await client.list(PODS, "default", field_selector="spec.bogus=1")


async def test_a_pods_terms_select_by_its_own_labels(tmp_path: Path) -> None:
    storage = SqliteStorage.open(tmp_path / "state.db")
    async with ApiServer(storage) as api:
        client = Client(InProcessTransport(api.handler_for(ADMIN)))
        term = {
            "topologyKey": "zone",
            "labelSelector": {"matchLabels": {"app": "a"}},
            "matchLabelKeys": ["pod-template-hash", "absent"],
            "mismatchLabelKeys": ["tenant"],
        }
        affinity = {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]}}
        constraint = {"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule"}
        constraint |= {"labelSelector": {"matchLabels": {"app": "a"}}, "matchLabelKeys": ["pod-template-hash"]}
        spread = {"topologySpreadConstraints": [constraint]}
        meta = {"name": "a", "namespace": "default", "labels": {"app": "a", "pod-template-hash": "x", "tenant": "t"}}
        pod = await client.create(
            PODS, {"metadata": meta, "spec": {"containers": [{"name": "c", "image": "i"}], "affinity": affinity, **spread}}
        )
        (constraint,) = pod["spec"]["topologySpreadConstraints"]
        assert constraint["labelSelector"]["matchExpressions"] == [
            {"key": "pod-template-hash", "operator": "In", "values": ["x"]},
        ]
        (made,) = pod["spec"]["affinity"]["podAntiAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
        assert made["labelSelector"]["matchExpressions"] == [
            {"key": "pod-template-hash", "operator": "In", "values": ["x"]},
            {"key": "tenant", "operator": "NotIn", "values": ["t"]},
        ]
    await storage.close()
