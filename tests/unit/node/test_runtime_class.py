"""RuntimeClasses: admission completes the pod, the node asks the runtime for the handler."""

from __future__ import annotations

import pytest
from pod_world import World, ready

from lateen.errors import ForbiddenError
from lateen.kube.meta import Object
from lateen.kube.resources import NODES, RUNTIMECLASSES

SMALL: Object = {
    "metadata": {"name": "small"},
    "handler": "runc",
    "overhead": {"podFixed": {"memory": "64Mi"}},
    "scheduling": {"nodeSelector": {"kvm": "yes"}, "tolerations": [{"key": "kvm", "operator": "Exists"}]},
}


async def test_overhead_selector_and_handler(world: World) -> None:
    await world.client.create(RUNTIMECLASSES, SMALL)
    await world.client.patch(NODES, "n1", {"metadata": {"labels": {"kvm": "yes"}}})
    await world.pod(runtimeClassName="small", overhead={"memory": "65536Ki"})
    pod = await world.until(ready)
    assert pod["spec"]["overhead"] == {"memory": "64Mi"}
    assert pod["spec"]["nodeSelector"] == {"kvm": "yes"}
    assert {"key": "kvm", "operator": "Exists"} in pod["spec"]["tolerations"]
    assert next(iter(world.runtime.specs.values())).pod["spec"]["runtimeClassName"] == "runc"
    assert pod["spec"]["runtimeClassName"] == "small"


async def test_a_pod_for_another_node_fails(world: World) -> None:
    await world.pod(nodeSelector={"kvm": "yes"})
    pod = await world.until(lambda p: p["status"].get("phase") == "Failed")
    assert (pod["status"]["reason"], world.runtime.specs) == ("NodeAffinity", {})
    assert pod["status"]["message"].startswith("Pod was rejected: Predicate NodeAffinity failed")
    assert await world.events("NodeAffinity")


@pytest.mark.parametrize(
    ("spec", "why"),
    [
        ({"runtimeClassName": "none"}, 'pod rejected: RuntimeClass "none" not found'),
        ({"overhead": {"cpu": "1"}}, "Pod Overhead set without corresponding RuntimeClass defined Overhead"),
        ({"runtimeClassName": "small", "overhead": {"cpu": "1"}}, "Pod's Overhead doesn't match RuntimeClass's defined Overhead"),
        (
            {"runtimeClassName": "small", "nodeSelector": {"kvm": "no"}},
            r"conflict: runtimeClass.scheduling.nodeSelector\[kvm\] = yes; pod.spec.nodeSelector\[kvm\] = no",
        ),
    ],
)
async def test_what_admission_refuses(world: World, spec: Object, why: str) -> None:
    await world.client.create(RUNTIMECLASSES, SMALL)
    with pytest.raises(ForbiddenError, match=why):
        await world.pod(**spec)
