"""Volumes, budgets, nodes and owners, against the real API server in process."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from lateen.aio.clock import SystemClock
from lateen.cluster.controllers import eventexpiry
from lateen.cluster.controllers.volumes import STANDARD
from lateen.errors import AlreadyExistsError, ForbiddenError, NotFoundError
from lateen.kube.claims import claim_reference
from lateen.kube.meta import Object, condition, meta, micro_timestamp, timestamp
from lateen.kube.resources import (
    CONFIGMAPS,
    DEPLOYMENTS,
    EVENTS,
    JOBS,
    LEASES,
    NAMESPACES,
    NODES,
    PDBS,
    PODS,
    PVCS,
    PVS,
    REPLICASETS,
    STORAGECLASSES,
)

World = Any  # tests/unit/controllers/conftest.py
CLOCK = SystemClock()


def claim(name: str = "data", size: str = "1Gi", **spec: Any) -> Object:
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": size}}, **spec},
    }


def volume(name: str, size: str, **spec: Any) -> Object:
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": name},
        "spec": {
            "capacity": {"storage": size},
            "accessModes": ["ReadWriteOnce"],
            "persistentVolumeReclaimPolicy": "Retain",
            "storageClassName": "manual",
            "hostPath": {"path": "/data"},
            **spec,
        },
    }


def pod(name: str, node: str = "", **spec: Any) -> Object:
    containers = [{"name": "c", "image": "x"}]
    found: Object = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": "default", "labels": {"app": "web"}},
        "spec": {"containers": containers, "terminationGracePeriodSeconds": 0, **spec},
    }
    if node:
        found["spec"]["nodeName"] = node
    return found


async def phase(world: World, name: str = "data") -> str:
    return str((await world.client.get(PVCS, name, "default"))["status"].get("phase"))


async def bound(world: World, name: str = "data") -> Object:
    async def done() -> bool:
        return await phase(world, name) == "Bound"

    await world.until(done)
    found: Object = await world.client.get(PVCS, name, "default")
    return found


async def gone(world: World, resource: Any, name: str, namespace: str = "") -> None:
    async def done() -> bool:
        try:
            await world.client.get(resource, name, namespace)
        except NotFoundError:
            return True
        return False

    await world.until(done)


async def test_a_claim_of_the_default_class_waits_for_its_pod_and_dies_with_its_data(world: World, tmp_path: Path) -> None:
    await world.client.create(PVCS, claim())
    await world.client.create(STORAGECLASSES, STANDARD)  # the default class comes later than the claim

    async def classed() -> bool:
        return bool((await world.client.get(PVCS, "data", "default"))["spec"].get("storageClassName") == "standard")

    await world.until(classed)
    assert await phase(world) != "Bound"
    chosen = {"metadata": {"annotations": {"volume.kubernetes.io/selected-node": "n1"}}}
    await world.client.patch(PVCS, "data", chosen, namespace="default")
    name = (await bound(world))["spec"]["volumeName"]
    folder = tmp_path / "volumes" / name
    assert folder.is_dir()
    (folder / "ledger").write_text("1")
    assert (await world.client.get(PVS, name))["status"]["phase"] == "Bound"

    await world.client.create(PODS, pod("user", "n1", volumes=[{"name": "v", "persistentVolumeClaim": {"claimName": "data"}}]))
    await world.client.delete(PVCS, "data", "default")
    await CLOCK.sleep(0.05)
    assert folder.is_dir()  # in use
    await world.client.delete(PODS, "user", "default")
    await gone(world, PVCS, "data", "default")
    await gone(world, PVS, name)
    assert not folder.exists()


async def told(world: World, *expected: tuple[str, str, str]) -> None:
    """Until the events (component, reason, beginning of the message) are there."""

    async def there() -> bool:
        events = (await world.client.list(EVENTS, "default")).items
        found = [(e["source"]["component"], e["reason"], e["message"]) for e in events]
        return all(any(f[:2] == e[:2] and f[2].startswith(e[2]) for f in found) for e in expected)

    await world.until(there)


async def test_claims_say_what_they_wait_for(world: World) -> None:
    ours = "persistentvolume-controller"
    foreign = {"metadata": {"name": "foreign"}, "provisioner": "example.com/disk", "volumeBindingMode": "Immediate"}
    static = {"metadata": {"name": "static"}, "provisioner": "kubernetes.io/no-provisioner", "volumeBindingMode": "Immediate"}
    await world.client.create(PVCS, claim("bare"))
    await told(world, (ours, "FailedBinding", "no persistent volumes available for this claim and no storage class is set"))
    for storage_class in (foreign, static, STANDARD):
        await world.client.create(STORAGECLASSES, storage_class)
    await world.client.create(PVCS, claim("waits"))
    await told(world, (ours, "WaitForFirstConsumer", "waiting for first consumer to be created before binding"))
    await world.client.create(PODS, pod("user", volumes=[{"name": "v", "persistentVolumeClaim": {"claimName": "waits"}}]))
    await told(world, (ours, "WaitForPodScheduled", "waiting for pod user to be scheduled"))
    chosen = {"metadata": {"annotations": {"volume.kubernetes.io/selected-node": "n1"}}}
    await world.client.patch(PVCS, "waits", chosen, namespace="default")
    provisioner = "lateen.dev/local"
    await told(
        world,
        (ours, "ExternalProvisioning", f"Waiting for a volume to be created either by the external provisioner '{provisioner}'"),
        (provisioner, "Provisioning", 'External provisioner is provisioning volume for claim "default/waits"'),
        (provisioner, "ProvisioningSucceeded", "Successfully provisioned volume pvc-"),
    )
    await world.client.create(PVCS, claim("theirs", storageClassName="foreign"))
    await told(
        world, (ours, "ExternalProvisioning", "Waiting for a volume to be created either by the external provisioner 'example")
    )
    notes = meta(await world.client.get(PVCS, "theirs", "default"))["annotations"]
    assert notes["volume.kubernetes.io/storage-provisioner"] == "example.com/disk"
    await world.client.create(PVCS, claim("none", storageClassName="static"))
    await told(world, (ours, "ProvisioningFailed", "no volume plugin matched name: kubernetes.io/no-provisioner"))
    await world.client.create(PVCS, claim("lost", storageClassName="missing"))
    await told(world, (ours, "ProvisioningFailed", 'storageclass.storage.k8s.io "missing" not found'))


async def test_a_claim_that_names_a_volume_says_why_it_cannot_have_it(world: World) -> None:
    await world.client.create(PVS, volume("small", "1Gi"))
    await world.client.create(PVS, volume("taken", "1Gi", claimRef={"namespace": "x", "name": "y", "uid": "z"}))
    for name, wanted in (("big", "small"), ("late", "taken")):
        await world.client.create(PVCS, claim(name, "5Gi", volumeName=wanted, storageClassName="manual"))
    await told(
        world,
        ("persistentvolume-controller", "VolumeMismatch", 'Cannot bind to requested volume "small": requested PV is too small'),
        ("persistentvolume-controller", "FailedBinding", 'volume "taken" already bound to a different claim.'),
    )


async def test_a_generic_ephemeral_volume_gets_a_claim_of_its_pod(world: World) -> None:
    await world.client.create(STORAGECLASSES, STANDARD | {"volumeBindingMode": "Immediate"})
    template = {"metadata": {"labels": {"for": "scratch"}}, "spec": claim()["spec"]}
    volumes = [{"name": "scratch", "ephemeral": {"volumeClaimTemplate": template}}]
    made = await world.client.create(PODS, pod("p", "n1", volumes=volumes))
    found = await bound(world, "p-scratch")
    assert meta(found)["labels"] == {"for": "scratch"}
    (owner,) = meta(found)["ownerReferences"]
    assert (owner["kind"], owner["uid"], owner["controller"]) == ("Pod", meta(made)["uid"], True)
    await world.client.create(PVCS, claim("q-scratch"))
    await world.client.create(PODS, pod("q", "n1", volumes=volumes))
    text = "ephemeral volume scratch: PVC default/q-scratch was not created for pod default/q (pod is not owner)"
    await told(world, ("ephemeral_volume", "FailedBinding", text))
    await world.client.delete(PODS, "p", "default")
    await gone(world, PVCS, "p-scratch", "default")


async def test_a_claim_grows_where_its_class_lets_it(world: World) -> None:
    larger = {"spec": {"resources": {"requests": {"storage": "7Gi"}}}}
    await world.client.create(STORAGECLASSES, STANDARD | {"volumeBindingMode": "Immediate"})
    await world.client.create(PVCS, claim())
    name = (await bound(world))["spec"]["volumeName"]
    await world.client.patch(PVCS, "data", larger, namespace="default")

    async def grown() -> bool:
        return bool((await world.client.get(PVCS, "data", "default"))["status"]["capacity"] == {"storage": "7Gi"})

    await world.until(grown)
    assert (await world.client.get(PVS, name))["spec"]["capacity"] == {"storage": "7Gi"}
    fixed = {**STANDARD, "metadata": {"name": "fixed"}, "volumeBindingMode": "Immediate", "allowVolumeExpansion": False}
    await world.client.create(STORAGECLASSES, fixed)
    await world.client.delete(PVCS, "data", "default")
    await gone(world, PVCS, "data", "default")
    await world.client.create(PVCS, claim(storageClassName="fixed"))
    await bound(world)
    with pytest.raises(ForbiddenError, match="only dynamically provisioned pvc can be resized"):
        await world.client.patch(PVCS, "data", larger, namespace="default")


async def test_static_volumes_are_bound_by_fit_and_kept(world: World) -> None:
    for name, size in (("small", "1Gi"), ("middle", "5Gi"), ("large", "50Gi")):
        await world.client.create(PVS, volume(name, size))
    await world.client.create(PVCS, claim(size="2Gi", storageClassName="manual"))
    assert (await bound(world))["spec"]["volumeName"] == "middle"
    assert (await world.client.get(PVCS, "data", "default"))["status"]["capacity"] == {"storage": "5Gi"}
    assert (await world.client.get(PVS, "small"))["status"]["phase"] == "Available"
    await world.client.delete(PVS, "middle")
    await CLOCK.sleep(0.05)
    assert meta(await world.client.get(PVS, "middle"))["deletionTimestamp"]  # protected while bound
    await world.client.delete(PVCS, "data", "default")
    await gone(world, PVS, "middle")


async def test_a_static_volume_waits_for_the_node_of_the_first_pod(world: World) -> None:
    local = {"metadata": {"name": "local"}, "provisioner": "kubernetes.io/no-provisioner"}
    await world.client.create(STORAGECLASSES, local | {"volumeBindingMode": "WaitForFirstConsumer"})
    for name in ("n1", "n2"):
        await world.client.create(NODES, {"metadata": {"name": name, "labels": {"kubernetes.io/hostname": name}}})
        expression = {"key": "kubernetes.io/hostname", "operator": "In", "values": [name]}
        affinity = {"required": {"nodeSelectorTerms": [{"matchExpressions": [expression]}]}}
        spec = {
            "capacity": {"storage": "1Gi"},
            "accessModes": ["ReadWriteOnce"],
            "storageClassName": "local",
            "nodeAffinity": affinity,
        }
        await world.client.create(PVS, {"metadata": {"name": f"disk-{name}"}, "spec": spec | {"local": {"path": "/mnt"}}})
    wanted = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}, "storageClassName": "local"}
    await world.client.create(PVCS, {"metadata": {"name": "data", "namespace": "default"}, "spec": wanted})
    await world.client.create(STORAGECLASSES, STANDARD)
    block = wanted | {"storageClassName": "standard", "volumeMode": "Block"}
    await world.client.create(PVCS, {"metadata": {"name": "raw", "namespace": "default"}, "spec": block})
    await CLOCK.sleep(0.2)
    assert not (await world.client.get(PVCS, "data", "default"))["spec"].get("volumeName")
    chosen = {"metadata": {"annotations": {"volume.kubernetes.io/selected-node": "n2"}}}
    await world.client.patch(PVCS, "raw", chosen, namespace="default")
    data = await world.client.get(PVCS, "data", "default")
    await world.client.patch(PVS, "disk-n2", {"spec": {"claimRef": claim_reference(data)}})  # as the scheduler chooses

    async def bound() -> Any:
        return (await world.client.get(PVCS, "data", "default"))["spec"].get("volumeName") == "disk-n2"

    await world.until(bound)
    await CLOCK.sleep(0.1)
    assert not (await world.client.get(PVCS, "raw", "default"))["spec"].get("volumeName")
    said = [e["message"] for e in (await world.client.list(EVENTS, "default")).items if e["reason"] == "ProvisioningFailed"]
    assert any("not block devices" in message for message in said)


async def test_a_retained_volume_is_released_and_not_given_to_a_namesake(world: World) -> None:
    await world.client.create(PVS, volume("v", "1Gi"))
    await world.client.create(PVCS, claim(storageClassName="manual"))
    await bound(world)
    await world.client.delete(PVCS, "data", "default")

    async def released() -> bool:
        return bool((await world.client.get(PVS, "v"))["status"]["phase"] == "Released")

    await world.until(released)
    await world.client.create(PVCS, claim(storageClassName="manual"))
    await CLOCK.sleep(0.05)
    assert await phase(world) != "Bound"


async def test_budgets_count(world: World) -> None:
    budget = {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": {"name": "web", "namespace": "default"},
        "spec": {"minAvailable": 2, "selector": {"matchLabels": {"app": "web"}}},
    }
    await world.client.create(PDBS, budget)
    for i in range(3):
        await world.client.create(PODS, pod(f"p{i}"))

    async def counted() -> Any:
        status = (await world.client.get(PDBS, "web", "default")).get("status") or {}
        return status if status.get("currentHealthy") == 3 else None

    status = await world.until(counted)
    assert (status["desiredHealthy"], status["disruptionsAllowed"], status["expectedPods"]) == (2, 1, 3)
    found = condition(status["conditions"], "DisruptionAllowed")
    assert found is not None
    assert found["reason"] == "SufficientPods"


async def test_percentages_count_what_owners_want(world: World) -> None:
    """By their scale subresource; owners without one leave the budget closed; pods of nobody do not count."""
    apps = {"scaled": "spread", "unscaled": "jobs", "alone": "nobody"}
    for name, app in apps.items():
        wish: Object = {"maxUnavailable": "50%", "selector": {"matchLabels": {"app": app}}}
        await world.client.create(PDBS, {"metadata": {"name": name, "namespace": "default"}, "spec": wish})
    template: Object = {"metadata": {"labels": {"app": "spread"}}, "spec": {"containers": [{"name": "c", "image": "a"}]}}
    metadata = {"name": "web", "namespace": "default"}
    size = {"replicas": 4, "selector": {"matchLabels": {"app": "spread"}}, "template": template}
    await world.client.create(REPLICASETS, {"metadata": metadata, "spec": size})
    once = {"metadata": {"labels": {"app": "jobs"}}, "spec": {**template["spec"], "restartPolicy": "Never"}}
    await world.client.create(JOBS, {"metadata": metadata, "spec": {"template": once}})
    lone = pod("lone")
    lone["metadata"]["labels"] = {"app": "nobody"}
    await world.client.create(PODS, lone)

    async def budget(name: str) -> Any:
        return (await world.client.get(PDBS, name, "default")).get("status") or {}

    async def told() -> Any:
        healthy = {n: (await budget(n)).get("currentHealthy") for n in ("scaled", "alone")}
        found = condition((await budget("unscaled")).get("conditions"), "DisruptionAllowed") or {}
        return found if healthy == {"scaled": 4, "alone": 1} and found.get("reason") == "SyncFailed" else None

    assert (await world.until(told))["message"] == "jobs.batch does not implement the scale subresource"
    counted = [(s["expectedPods"], s["disruptionsAllowed"]) for s in [await budget(n) for n in apps]]
    assert counted == [(4, 2), (0, 0), (0, 0)]

    async def said() -> Any:
        events = (await world.client.list(EVENTS, "default")).items
        found = {(e["involvedObject"]["name"], e["reason"]) for e in events if e["source"]["component"] == "controllermanager"}
        return {("unscaled", "CalculateExpectedPodCountFailed"), ("alone", "UnmanagedPods"), ("scaled", "NoPods")} <= found

    await world.until(said)


async def node(world: World, name: str) -> None:
    made = await world.client.create(NODES, {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}})
    status = {"conditions": [{"type": "Ready", "status": "True", "reason": "KubeletReady"}]}
    await world.client.update_status(NODES, {**made, "status": status})


async def leased(world: World, name: str, *, seconds: float = 0) -> None:
    """The node renews its lease now; ``seconds``: and not for as long again."""
    moment = micro_timestamp(CLOCK.now() + timedelta(seconds=seconds))
    space = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "kube-node-lease"}}
    lease = {
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {"name": name, "namespace": "kube-node-lease"},
        "spec": {"renewTime": moment},
    }
    for resource, made in ((NAMESPACES, space), (LEASES, lease)):
        try:
            await world.client.create(resource, made)
        except AlreadyExistsError:
            pass
    await world.client.patch(LEASES, name, {"spec": {"renewTime": moment}}, namespace="kube-node-lease")


async def test_where_every_node_is_silent_nobody_loses_pods(world: World) -> None:
    await node(world, "n1")
    await world.client.create(PODS, pod("stays", "n1"))

    async def taints() -> Any:
        found = ((await world.client.get(NODES, "n1")).get("spec") or {}).get("taints") or ()
        return {(t["key"], t["effect"]) for t in found}

    async def unreachable() -> Any:
        return await taints() == {("node.kubernetes.io/unreachable", "NoSchedule")}

    await world.until(unreachable)
    await CLOCK.sleep(0.5)
    assert await unreachable()
    assert "deletionTimestamp" not in (await world.client.get(PODS, "stays", "default"))["metadata"]


async def test_a_silent_node_loses_its_pods(world: World) -> None:
    for name, seconds in (("n0", 60), ("n1", 0)):
        await node(world, name)
        await leased(world, name, seconds=seconds)
    toleration = {"key": "node.kubernetes.io/unreachable", "operator": "Exists", "effect": "NoExecute"}
    await world.client.create(PODS, pod("moves", "n1", tolerations=[toleration | {"tolerationSeconds": 0}]))
    await world.client.create(PODS, pod("stays", "n1", tolerations=[toleration]))
    for _ in range(12):  # alive for longer than the grace: nothing happens
        await CLOCK.sleep(0.05)
        await leased(world, "n1")
    found = condition((await world.client.get(NODES, "n1"))["status"]["conditions"], "Ready")
    assert found is not None
    assert found["status"] == "True"

    await gone(world, PODS, "moves", "default")
    silent = await world.client.get(NODES, "n1")
    found = condition(silent["status"]["conditions"], "Ready")
    assert found is not None
    assert (found["status"], found["reason"]) == ("Unknown", "NodeStatusUnknown")
    taints = {(t["key"], t["effect"]) for t in silent["spec"]["taints"]}
    assert taints == {("node.kubernetes.io/unreachable", e) for e in ("NoSchedule", "NoExecute")}
    stays = await world.client.get(PODS, "stays", "default")
    found = condition(stays["status"]["conditions"], "Ready")
    assert found is not None
    assert (found["status"], found["reason"]) == ("False", "NodeNotReady")

    ready = {"conditions": [{"type": "Ready", "status": "True", "reason": "KubeletReady"}]}  # it comes back
    await leased(world, "n1")
    await world.client.patch(NODES, "n1", {"status": ready}, subresource="status")

    async def clean() -> bool:
        return not (await world.client.get(NODES, "n1"))["spec"].get("taints")

    await world.until(clean)


async def test_a_cordoned_node_is_tainted(world: World) -> None:
    await node(world, "n1")
    await world.client.patch(NODES, "n1", {"spec": {"unschedulable": True}})

    async def tainted() -> bool:
        taints = (await world.client.get(NODES, "n1"))["spec"].get("taints") or ()
        return "node.kubernetes.io/unschedulable" in {t["key"] for t in taints}

    await world.until(tainted)


async def test_pods_of_a_deleted_node_go(world: World) -> None:
    await node(world, "n1")
    await world.client.create(PODS, pod("p", "n1", terminationGracePeriodSeconds=30))
    held = pod("held", "n1")
    held["metadata"]["finalizers"] = ["example.com/hold"]
    await world.client.create(PODS, held)
    await world.client.delete(NODES, "n1")
    await gone(world, PODS, "p", "default")

    async def said() -> Any:
        status = (await world.client.get(PODS, "held", "default"))["status"]
        found = condition(status.get("conditions"), "DisruptionTarget") or {}
        return (found.get("reason"), status["phase"]) == ("DeletionByPodGC", "Failed")

    await world.until(said)


async def test_pods_of_a_node_out_of_service_do_not_wait_for_it(world: World) -> None:
    for name in ("n0", "n1"):
        await node(world, name)
        await leased(world, name, seconds=60)
    for name, taints in (("n0", []), ("n1", [{"key": "node.kubernetes.io/out-of-service", "effect": "NoSchedule"}])):
        held = pod(f"on-{name}", name)
        held["metadata"]["finalizers"] = ["example.com/hold"]
        await world.client.create(PODS, held)
        lost = {"conditions": [{"type": "Ready", "status": "False" if taints else "True", "reason": "x"}]}
        await world.client.patch(NODES, name, {"status": lost}, subresource="status")
        await world.client.patch(NODES, name, {"spec": {"taints": taints}})
        await world.client.delete(PODS, f"on-{name}", "default")

    async def failed() -> Any:
        return (await world.client.get(PODS, "on-n1", "default"))["status"]["phase"] == "Failed"

    await world.until(failed)
    assert (await world.client.get(PODS, "on-n0", "default"))["status"]["phase"] != "Failed"


async def test_of_too_many_finished_pods_the_evicted_and_the_oldest_go(world: World) -> None:
    world.hold_ready = True
    for name, reason in (("a", ""), ("b", ""), ("c", "Evicted"), ("d", "")):
        await world.client.create(PODS, pod(name))
        if name != "d":
            status = {"phase": "Failed", "reason": reason}
            await world.client.patch(PODS, name, {"status": status}, namespace="default", subresource="status")
    await gone(world, PODS, "c", "default")
    assert {meta(p)["name"] for p in (await world.client.list(PODS, "default")).items} == {"a", "b", "d"}


def owned(name: str, owner: Object, *, uid: str = "") -> Object:
    ref = {"apiVersion": "v1", "kind": "ConfigMap", "name": meta(owner)["name"], "uid": uid or meta(owner)["uid"]}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": "default", "ownerReferences": [ref]}}


async def test_owners_that_never_were_and_chains_of_owners(world: World) -> None:
    top = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "top", "namespace": "default"}}
    top = await world.client.create(CONFIGMAPS, top)
    middle = await world.client.create(CONFIGMAPS, owned("middle", top))
    await world.client.create(CONFIGMAPS, owned("leaf", middle))
    await world.client.create(CONFIGMAPS, owned("stranger", top, uid="not-that-one"))
    await gone(world, CONFIGMAPS, "stranger", "default")
    assert await world.client.get(CONFIGMAPS, "leaf", "default")
    await world.client.delete(CONFIGMAPS, "top", "default")
    await gone(world, CONFIGMAPS, "leaf", "default")


async def test_an_object_with_one_owner_left_stays(world: World) -> None:
    bodies = [{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": n, "namespace": "default"}} for n in ("one", "two")]
    one, two = [await world.client.create(CONFIGMAPS, b) for b in bodies]
    child = owned("child", one)
    child["metadata"]["ownerReferences"] += owned("x", two)["metadata"]["ownerReferences"]
    await world.client.create(CONFIGMAPS, child)
    await world.client.delete(CONFIGMAPS, "one", "default")

    async def let_go() -> bool:
        refs = meta(await world.client.get(CONFIGMAPS, "child", "default"))["ownerReferences"]
        return [r["name"] for r in refs] == ["two"]

    await world.until(let_go)


async def test_old_events_go(world: World) -> None:
    def event(name: str, hours: float) -> Object:
        last = timestamp(CLOCK.now() - timedelta(hours=hours))
        involved = {"kind": "Pod", "namespace": "default", "name": "p"}
        metadata = {"name": name, "namespace": "default"}
        return {"apiVersion": "v1", "kind": "Event", "metadata": metadata, "involvedObject": involved, "lastTimestamp": last}

    await world.client.create(EVENTS, event("old", 1.1))
    await world.client.create(EVENTS, event("new", 0.9))
    next(c for c in world.controllers if c.name == "eventexpiry").queue.add(eventexpiry.SWEEP)
    await gone(world, EVENTS, "old", "default")
    assert await world.client.get(EVENTS, "new", "default")


async def test_percentages_count_from_the_deployment(world: World) -> None:
    """Also in the middle of a rollout, when two ReplicaSets have pods."""
    budget = {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": {"name": "web", "namespace": "default"},
        "spec": {"maxUnavailable": "50%", "selector": {"matchLabels": {"app": "web"}}},
    }
    await world.client.create(PDBS, budget)
    template = {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "c", "image": "a"}]}}
    strategy = {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 2, "maxUnavailable": 0}}
    spec = {"replicas": 4, "selector": {"matchLabels": {"app": "web"}}, "template": template, "strategy": strategy}
    metadata = {"name": "web", "namespace": "default"}
    await world.client.create(DEPLOYMENTS, {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": spec})
    await world.rolled_out(4, "a")
    world.hold_ready = True
    image = {"spec": {"template": {"spec": {"containers": [{"name": "c", "image": "b"}]}}}}
    await world.client.patch(DEPLOYMENTS, "web", image, namespace="default")

    async def surged() -> Any:
        status = (await world.client.get(PDBS, "web", "default")).get("status") or {}
        pods = (await world.client.list(PODS, "default")).items
        return status if len(pods) == 6 and status.get("currentHealthy") == 4 else None

    status = await world.until(surged)
    assert (status["expectedPods"], status["desiredHealthy"], status["disruptionsAllowed"]) == (4, 2, 2)
