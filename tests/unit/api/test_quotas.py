"""ResourceQuota at the server: what is refused, in kubectl users' words, also under many writers."""

from __future__ import annotations

from typing import Any

import pytest

from lateen.aio.tasks import outcomes
from lateen.client.client import Client
from lateen.errors import ForbiddenError
from lateen.kube.meta import Object
from lateen.kube.resources import CONFIGMAPS, PODS, RESOURCEQUOTAS, SERVICES


def pod(name: str, **resources: Any) -> Object:
    return {
        "metadata": {"name": name, "namespace": "default"},
        "spec": {"containers": [{"name": "c", "image": "i", "resources": resources}]},
    }


async def quota(client: Client, **hard: str) -> None:
    spec = {"hard": {n.replace("_", "."): a for n, a in hard.items()}}
    await client.create(RESOURCEQUOTAS, {"metadata": {"name": "q", "namespace": "default"}, "spec": spec})


async def test_a_pod_must_say_and_keep_to_what_is_bounded(client: Client) -> None:
    await quota(client, cpu="1", limits_memory="1Gi")
    with pytest.raises(ForbiddenError) as refused:
        await client.create(PODS, pod("a"))
    assert refused.value.message == 'pods "a" is forbidden: failed quota: q: must specify cpu for: c; limits.memory for: c'
    half = {"requests": {"cpu": "600m"}, "limits": {"memory": "512Mi"}}
    await client.create(PODS, pod("a", **half))
    with pytest.raises(ForbiddenError) as refused:
        await client.create(PODS, pod("b", **half))
    assert refused.value.message == 'pods "b" is forbidden: exceeded quota: q, requested: cpu=600m, used: cpu=600m, limited: cpu=1'


async def test_ten_writers_at_once_do_not_get_past_it(client: Client) -> None:
    await quota(client, configmaps="4")
    made = await outcomes([client.create(CONFIGMAPS, {"metadata": {"name": f"c{i}", "namespace": "default"}}) for i in range(10)])
    assert sum(isinstance(m, ForbiddenError) for m in made) == 6
    assert len((await client.list(CONFIGMAPS, "default")).items) == 4
    await client.delete(CONFIGMAPS, "c0", "default")
    await client.create(CONFIGMAPS, {"metadata": {"name": "later", "namespace": "default"}})


async def test_a_change_may_go_over_too(client: Client) -> None:
    await quota(client, services_nodeports="0")
    service = {"metadata": {"name": "s", "namespace": "default"}, "spec": {"ports": [{"port": 80}]}}
    await client.create(SERVICES, service)
    with pytest.raises(
        ForbiddenError, match=r"requested: services.nodeports=1, used: services.nodeports=0, limited: services.nodeports=0"
    ):
        await client.patch(SERVICES, "s", {"spec": {"type": "NodePort"}}, namespace="default")
    await client.patch(SERVICES, "s", {"metadata": {"labels": {"a": "b"}}}, namespace="default")
