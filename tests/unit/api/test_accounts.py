"""ServiceAccount admission: accounts must exist; the token volume comes unless declined."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from lateen.client.client import Client
from lateen.cluster.api.server import ApiServer
from lateen.errors import ForbiddenError
from lateen.kube.meta import Object
from lateen.kube.resources import NAMESPACES, PODS, SERVICEACCOUNTS

PATH = "/var/run/secrets/kubernetes.io/serviceaccount"


def account(name: str = "default", **more: object) -> Object:
    return {"metadata": {"name": name, "namespace": "default"}, **more}


def pod(name: str = "p", **spec: object) -> Object:
    containers = [{"name": "a", "image": "b"}, {"name": "c", "image": "b", "volumeMounts": [{"name": "own", "mountPath": PATH}]}]
    volumes = [{"name": "own", "emptyDir": {}}]
    return {"metadata": {"name": name, "namespace": "default"}, "spec": {"containers": containers, "volumes": volumes, **spec}}


@pytest.fixture
def client(api: ApiServer, client: Client) -> Client:
    api.backend.account_admission = True
    return client


async def test_the_token_is_projected_into_containers_without_their_own(client: Client) -> None:
    await client.create(SERVICEACCOUNTS, account(imagePullSecrets=[{"name": "registry"}]))
    spec = (await client.create(PODS, pod()))["spec"]
    assert spec["serviceAccountName"] == "default"
    assert spec["imagePullSecrets"] == [{"name": "registry"}]
    added = spec["volumes"][1]
    assert added["name"].startswith("kube-api-access-") and len(added["name"]) == 21
    sources = added["projected"]["sources"]
    assert sources[0] == {"serviceAccountToken": {"expirationSeconds": 3607, "path": "token"}}
    assert [next(iter(s)) for s in sources] == ["serviceAccountToken", "configMap", "downwardAPI"]
    assert added["projected"]["defaultMode"] == 420
    first, second = spec["containers"]
    assert first["volumeMounts"] == [{"name": added["name"], "mountPath": PATH, "readOnly": True}]
    assert [m["name"] for m in second["volumeMounts"]] == ["own"]


@pytest.mark.parametrize(("on_pod", "on_account", "mounted"), [(None, False, False), (True, False, True), (False, True, False)])
async def test_the_pod_decides_before_the_account(client: Client, on_pod: bool | None, on_account: bool, mounted: bool) -> None:
    await client.create(SERVICEACCOUNTS, account(automountServiceAccountToken=on_account))
    more: dict[str, Any] = {} if on_pod is None else {"automountServiceAccountToken": on_pod}
    made = await client.create(PODS, pod(**more))
    assert (len(made["spec"]["volumes"]) == 2) is mounted


async def test_a_missing_account_is_refused(client: Client) -> None:
    with pytest.raises(ForbiddenError) as refused:
        await client.create(PODS, pod(serviceAccountName="web"))
    assert refused.value.message == (
        'pods "p" is forbidden: error looking up service account default/web: serviceaccount "web" not found'
    )


async def test_the_account_of_a_new_namespace_is_waited_for(client: Client) -> None:
    await client.create(NAMESPACES, {"metadata": {"name": "new"}})
    made, late = pod(), account()
    made["metadata"]["namespace"] = late["metadata"]["namespace"] = "new"
    async with asyncio.TaskGroup() as tasks:
        waiting = tasks.create_task(client.create(PODS, made))
        await asyncio.sleep(0.02)
        assert not waiting.done()
        await client.create(SERVICEACCOUNTS, late)
    assert waiting.result()["spec"]["volumes"][1]["projected"]
