"""Scale, eviction, binding, status, tokens, logs."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from lateen.client.client import Client
from lateen.cluster.api.server import ApiServer
from lateen.cluster.api.subresources.log import PodLogOptions
from lateen.errors import BadRequestError, ConflictError, InvalidError, NotFoundError, TooManyRequestsError
from lateen.kube.meta import Object, condition_true
from lateen.kube.resources import DEPLOYMENTS, PDBS, PODS, SERVICEACCOUNTS


def deployment(name: str, replicas: int) -> Object:
    labels = {"app": name}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
    spec = {"replicas": replicas, "selector": {"matchLabels": labels}, "template": template}
    return {"metadata": {"name": name, "namespace": "default"}, "spec": spec}


def pod(name: str, *names: str, **labels: str) -> Object:
    containers = [{"name": n, "image": "i"} for n in names or ("c",)]
    return {"metadata": {"name": name, "namespace": "default", "labels": labels}, "spec": {"containers": containers}}


async def bind(client: Client, name: str) -> None:
    body = {"metadata": {"name": name, "namespace": "default"}, "target": {"kind": "Node", "name": "n"}}
    await client.create(PODS, body, subresource="binding")


async def test_scale_shows_and_sets_replicas(client: Client) -> None:
    await client.create(DEPLOYMENTS, deployment("web", 2))
    scale = await client.get(DEPLOYMENTS, "web", "default", subresource="scale")
    assert (scale["kind"], scale["spec"], scale["status"]) == ("Scale", {"replicas": 2}, {"replicas": 0, "selector": "app=web"})
    scaled = await client.update(DEPLOYMENTS, {**scale, "spec": {"replicas": 5}}, subresource="scale")
    assert scaled["spec"]["replicas"] == 5
    changed = await client.get(DEPLOYMENTS, "web", "default")
    assert changed["spec"]["replicas"] == 5 and changed["metadata"]["generation"] == 2
    with pytest.raises(ConflictError):
        await client.update(DEPLOYMENTS, {**scale, "spec": {"replicas": 7}}, subresource="scale")
    with pytest.raises(InvalidError, match="must be greater than or equal to 0"):
        await client.patch(DEPLOYMENTS, "web", {"spec": {"replicas": -1}}, namespace="default", subresource="scale")


async def test_binding_happens_once(client: Client) -> None:
    await client.create(PODS, pod("p"))
    await bind(client, "p")
    bound = await client.get(PODS, "p", "default")
    assert bound["spec"]["nodeName"] == "n" and condition_true(bound, "PodScheduled")
    with pytest.raises(ConflictError, match='already assigned to node "n"'):
        await bind(client, "p")


async def test_eviction_spends_the_budget(client: Client) -> None:
    budget = {
        "metadata": {"name": "b", "namespace": "default"},
        "spec": {"minAvailable": 1, "selector": {"matchLabels": {"app": "w"}}},
    }
    made = await client.create(PDBS, budget)
    status = {"disruptionsAllowed": 1, "currentHealthy": 2, "desiredHealthy": 1, "expectedPods": 2, "observedGeneration": 1}
    await client.update_status(PDBS, {**made, "status": status})
    for name in ("p1", "p2"):
        await client.create(PODS, pod(name, app="w"))
        await bind(client, name)
        ready = {"status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}}
        await client.patch(PODS, name, ready, namespace="default", subresource="status")
    eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "p1", "namespace": "default"}}
    await client.create(PODS, eviction, subresource="eviction")
    evicted = await client.get(PODS, "p1", "default")
    assert evicted["metadata"]["deletionTimestamp"]
    target = [c for c in evicted["status"]["conditions"] if c["type"] == "DisruptionTarget"]
    assert [(c["status"], c["reason"]) for c in target] == [("True", "EvictionByEvictionAPI")]
    spent = (await client.get(PDBS, "b", "default"))["status"]
    assert spent["disruptionsAllowed"] == 0 and "p1" in spent["disruptedPods"]
    with pytest.raises(TooManyRequestsError, match="Cannot evict pod as it would violate the pod's disruption budget"):
        await client.create(PODS, {**eviction, "metadata": {"name": "p2", "namespace": "default"}}, subresource="eviction")


async def test_tokens_are_bound_and_bounded(client: Client, api: ApiServer) -> None:
    await client.create(SERVICEACCOUNTS, {"metadata": {"name": "robot", "namespace": "default"}})
    body: dict[str, Any] = {"metadata": {"name": "robot", "namespace": "default"}, "spec": {"expirationSeconds": 3600}}
    issued = await client.create(SERVICEACCOUNTS, body, subresource="token")
    user = api.accounts.user(issued["status"]["token"])
    assert user is not None and user.name == "system:serviceaccount:default:robot"
    with pytest.raises(InvalidError, match="may not specify a duration less than 10 minutes"):
        await client.create(SERVICEACCOUNTS, {**body, "spec": {"expirationSeconds": 5}}, subresource="token")
    ref = {"apiVersion": "v1", "kind": "Pod", "name": "gone"}
    with pytest.raises(NotFoundError, match='pods "gone" not found'):
        await client.create(SERVICEACCOUNTS, {**body, "spec": {"boundObjectRef": ref}}, subresource="token")


async def test_logs_come_from_the_node(client: Client, api: ApiServer) -> None:
    asked: list[PodLogOptions] = []

    async def source(pod: Object, options: PodLogOptions) -> AsyncIterator[bytes]:
        asked.append(options)
        yield b"one\n"
        yield b"two\n"

    api.read_logs_from(source)
    await client.create(PODS, pod("p", "a", "b"))
    path = "/api/v1/namespaces/default/pods/p/log"
    with pytest.raises(BadRequestError, match=r"a container name must be specified for pod p, choose one of: \[a b\]"):
        await client.raw("GET", path)
    with pytest.raises(BadRequestError, match="container nope is not valid for pod p"):
        await client.raw("GET", path, query={"container": "nope"})
    with pytest.raises(BadRequestError, match="does not have a host assigned"):
        await client.raw("GET", path, query={"container": "a"})
    await bind(client, "p")
    answer = await client.raw("GET", path, query={"container": "a", "tailLines": "5", "follow": "true"})
    assert answer.stream is not None
    assert b"".join([c async for c in answer.stream]) == b"one\ntwo\n"
    assert (asked[0].container, asked[0].tail, asked[0].follow) == ("a", 5, True)
