"""Priority classes: the number of a pod is its class's, and one class may be the default."""

from __future__ import annotations

from typing import Any

import pytest

from lateen.client.client import Client
from lateen.errors import ForbiddenError, InvalidError
from lateen.kube.meta import Object
from lateen.kube.resources import PODS
from lateen.kube.resources import PRIORITYCLASSES as CLASSES


def pod(name: str, **spec: Any) -> Object:
    return {"metadata": {"name": name, "namespace": "default"}, "spec": {"containers": [{"name": "c", "image": "i"}], **spec}}


def named(name: str, value: int, **more: Any) -> Object:
    return {"metadata": {"name": name}, "value": value, **more}


async def test_a_pod_has_the_number_of_its_class(client: Client) -> None:
    await client.create(CLASSES, named("high", 1000, preemptionPolicy="Never"))
    made = (await client.create(PODS, pod("a", priorityClassName="high")))["spec"]
    assert (made["priority"], made["preemptionPolicy"]) == (1000, "Never")
    assert (await client.create(PODS, pod("b")))["spec"]["priority"] == 0
    assert (await client.create(PODS, pod("c", priorityClassName="system-node-critical")))["spec"]["priority"] == 2000001000
    assert (await client.create(PODS, pod("d", priorityClassName="high", priority=1000)))["spec"]["priority"] == 1000
    with pytest.raises(ForbiddenError) as refused:
        await client.create(PODS, pod("e", priority=5))
    assert refused.value.message == (
        'pods "e" is forbidden: the integer value of priority (5) must not be provided in pod spec; '
        "priority admission controller computed 0 from the given PriorityClass name"
    )
    with pytest.raises(ForbiddenError, match="no PriorityClass with name nope was found"):
        await client.create(PODS, pod("f", priorityClassName="nope"))


async def test_one_default(client: Client) -> None:
    await client.create(CLASSES, named("usual", 7, globalDefault=True))
    with pytest.raises(ForbiddenError, match=r"PriorityClass usual is already marked as default. Only one default can exist"):
        await client.create(CLASSES, named("other", 8, globalDefault=True))
    made = (await client.create(PODS, pod("a")))["spec"]
    assert (made["priority"], made["priorityClassName"]) == (7, "usual")


async def test_what_a_class_may_be(client: Client) -> None:
    with pytest.raises(InvalidError, match="maximum allowed value of a user defined priority is 1000000000"):
        await client.create(CLASSES, named("huge", 1000000001))
    with pytest.raises(InvalidError, match="'system-' prefix are reserved for system use only"):
        await client.create(CLASSES, named("system-mine", 5))
    await client.create(CLASSES, named("fixed", 5))
    with pytest.raises(InvalidError, match=r"value: Forbidden: may not be changed in an update."):
        await client.patch(CLASSES, "fixed", {"value": 6})
