"""The controllers together, against the real API server in process, with a hand that plays the kubelet."""

from typing import Any

from lateen.aio.clock import SystemClock
from lateen.kube.meta import Object, condition, meta
from lateen.kube.resources import (
    CLUSTERROLES,
    CONFIGMAPS,
    CONTROLLERREVISIONS,
    CRONJOBS,
    DEPLOYMENTS,
    ENDPOINTS,
    ENDPOINTSLICES,
    JOBS,
    NAMESPACES,
    PODS,
    PVCS,
    REPLICASETS,
    REPLICATIONCONTROLLERS,
    RESOURCEQUOTAS,
    SERVICEACCOUNTS,
    SERVICES,
    STATEFULSETS,
)

World = Any  # tests/unit/controllers/conftest.py
CLOCK = SystemClock()


def deployment(image: str = "a", replicas: int = 3, **spec: Any) -> Object:
    template = {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "c", "image": image}]}}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "web", "namespace": "default"},
        "spec": {
            "replicas": replicas,
            "progressDeadlineSeconds": 600,
            "selector": {"matchLabels": {"app": "web"}},
            "template": template,
            **spec,
        },
    }


async def test_a_deployment_rolls_out_updates_and_keeps_its_history(world: World) -> None:
    await world.client.create(DEPLOYMENTS, deployment())
    first = await world.rolled_out(3, "a")
    assert meta(first)["annotations"]["deployment.kubernetes.io/revision"] == "1"
    await world.client.patch(
        DEPLOYMENTS, "web", {"spec": {"template": {"spec": {"containers": [{"name": "c", "image": "b"}]}}}}, namespace="default"
    )
    second = await world.rolled_out(3, "b")
    assert meta(second)["annotations"]["deployment.kubernetes.io/revision"] == "2"
    progressing = condition(second["status"]["conditions"], "Progressing")
    assert progressing is not None
    assert progressing["reason"] == "NewReplicaSetAvailable"
    sets = (await world.client.list(REPLICASETS, "default")).items
    assert sorted(s["spec"]["replicas"] for s in sets) == [0, 3]


async def test_a_set_that_somebody_edited_is_replaced(world: World) -> None:
    await world.client.create(DEPLOYMENTS, deployment())
    await world.rolled_out(3, "a")
    (old,) = (await world.client.list(REPLICASETS, "default")).items
    edited = {"spec": {"template": {"spec": {"containers": [{"name": "c", "image": "edited"}]}}}}
    await world.client.patch(REPLICASETS, meta(old)["name"], edited, namespace="default", kind="strategic")

    async def replaced() -> Any:
        sets = (await world.client.list(REPLICASETS, "default")).items
        return [s for s in sets if s["spec"]["template"]["spec"]["containers"][0]["image"] == "a" and s["spec"]["replicas"] == 3]

    await world.until(replaced)
    found = await world.client.get(DEPLOYMENTS, "web", "default")
    assert found["status"]["collisionCount"] == 1


async def test_a_stuck_update_keeps_the_old_pods(world: World) -> None:
    strategy = {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}}
    await world.client.create(DEPLOYMENTS, deployment(strategy=strategy))
    await world.rolled_out(3, "a")
    world.hold_ready = True
    await world.client.patch(
        DEPLOYMENTS, "web", {"spec": {"template": {"spec": {"containers": [{"name": "c", "image": "b"}]}}}}, namespace="default"
    )

    async def surged() -> bool:
        return len((await world.client.list(PODS, "default")).items) == 4

    await world.until(surged)
    await CLOCK.sleep(0.2)
    assert await surged()
    assert (await world.deployment())["status"]["availableReplicas"] == 3


async def test_scaling_and_deletion_leave_nothing(world: World) -> None:
    await world.client.create(DEPLOYMENTS, deployment(replicas=2))
    await world.rolled_out(2, "a")
    await world.client.patch(DEPLOYMENTS, "web", {"spec": {"replicas": 5}}, namespace="default")
    await world.rolled_out(5, "a")
    await world.client.patch(DEPLOYMENTS, "web", {"spec": {"replicas": 1}}, namespace="default")
    await world.rolled_out(1, "a")
    await world.client.delete(DEPLOYMENTS, "web", "default")

    async def gone() -> bool:
        return not (await world.client.list(PODS, "default")).items and not (await world.client.list(REPLICASETS, "default")).items

    await world.until(gone)


async def test_foreground_deletion_waits_for_dependents(world: World) -> None:
    await world.client.create(DEPLOYMENTS, deployment(replicas=2))
    await world.rolled_out(2, "a")
    await world.client.delete(DEPLOYMENTS, "web", "default", propagation="Foreground")

    async def gone() -> bool:
        return not (await world.client.list(DEPLOYMENTS, "default")).items

    await world.until(gone)
    assert not (await world.client.list(PODS, "default")).items


async def test_orphaned_dependents_stay(world: World) -> None:
    await world.client.create(DEPLOYMENTS, deployment(replicas=1))
    await world.rolled_out(1, "a")
    await world.client.delete(DEPLOYMENTS, "web", "default", propagation="Orphan")

    async def gone() -> bool:
        return not (await world.client.list(DEPLOYMENTS, "default")).items

    await world.until(gone)
    await CLOCK.sleep(0.1)
    sets = (await world.client.list(REPLICASETS, "default")).items
    assert len(sets) == 1
    assert not meta(sets[0]).get("ownerReferences")


async def test_slices_follow_pods(world: World) -> None:
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "web", "namespace": "default"},
        "spec": {"selector": {"app": "web"}, "ports": [{"name": "http", "port": 80, "targetPort": 8080}]},
    }
    await world.client.create(SERVICES, service)
    await world.client.create(DEPLOYMENTS, deployment(replicas=2))

    async def two() -> Any:
        slices = (await world.client.list(ENDPOINTSLICES, "default", label_selector="kubernetes.io/service-name=web")).items
        endpoints = [e for s in slices for e in s.get("endpoints") or ()]
        return slices if len(endpoints) == 2 and all(e["conditions"]["ready"] for e in endpoints) else None

    slices = await world.until(two)
    assert slices[0]["ports"] == [{"name": "http", "port": 8080, "protocol": "TCP"}]


async def test_namespaces_are_furnished_and_emptied(world: World) -> None:
    await world.client.create(NAMESPACES, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "n"}})

    async def furnished() -> bool:
        await world.client.get(SERVICEACCOUNTS, "default", "n")
        return bool((await world.client.get(CONFIGMAPS, "kube-root-ca.crt", "n"))["data"]["ca.crt"] == "CA")

    await world.until(furnished)
    await world.client.delete(NAMESPACES, "n")

    async def gone() -> bool:
        return all(meta(n)["name"] != "n" for n in (await world.client.list(NAMESPACES)).items)

    await world.until(gone)


async def test_undo_takes_the_old_set_back(world: World) -> None:
    await world.client.create(DEPLOYMENTS, deployment())
    await world.rolled_out(3, "a")
    for image in ("b", "a"):
        template = {"spec": {"containers": [{"name": "c", "image": image}]}}
        await world.client.patch(DEPLOYMENTS, "web", {"spec": {"template": template}}, namespace="default")
        last = await world.rolled_out(3, image)
    assert meta(last)["annotations"]["deployment.kubernetes.io/revision"] == "3"
    sets = (await world.client.list(REPLICASETS, "default")).items
    assert len(sets) == 2
    notes = next(meta(s)["annotations"] for s in sets if s["spec"]["replicas"])
    assert notes["deployment.kubernetes.io/revision"] == "3"
    assert notes["deployment.kubernetes.io/revision-history"] == "1"


async def test_recreate_never_runs_both_versions(world: World) -> None:
    await world.client.create(DEPLOYMENTS, deployment(strategy={"type": "Recreate"}))
    await world.rolled_out(3, "a")
    images: list[set[str]] = []

    def watch(_: Object | None, __: Object | None) -> None:
        images.append({p["spec"]["containers"][0]["image"] for p in world.informers.informer(PODS).list("default")})

    world.informers.informer(PODS).subscribe(watch)
    template = {"spec": {"containers": [{"name": "c", "image": "b"}]}}
    await world.client.patch(DEPLOYMENTS, "web", {"spec": {"template": template}}, namespace="default")
    await world.rolled_out(3, "b")
    assert {"a"} in images
    assert {"a", "b"} not in images


async def test_a_paused_deployment_scales_but_does_not_roll(world: World) -> None:
    await world.client.create(DEPLOYMENTS, deployment(replicas=2))
    await world.rolled_out(2, "a")
    template = {"spec": {"containers": [{"name": "c", "image": "b"}]}}
    patch = {"spec": {"paused": True, "replicas": 3, "template": template}}
    await world.client.patch(DEPLOYMENTS, "web", patch, namespace="default")

    async def three() -> bool:
        pods = (await world.client.list(PODS, "default")).items
        return [p["spec"]["containers"][0]["image"] for p in pods] == ["a"] * 3

    await world.until(three)
    found = condition((await world.deployment())["status"]["conditions"], "Progressing")
    assert found is not None
    assert found["reason"] == "DeploymentPaused"
    await world.client.patch(DEPLOYMENTS, "web", {"spec": {"paused": False}}, namespace="default")
    await world.rolled_out(3, "b")


async def test_a_pod_whose_labels_change_is_let_go_and_replaced(world: World) -> None:
    await world.client.create(DEPLOYMENTS, deployment(replicas=1))
    await world.rolled_out(1, "a")
    (pod,) = (await world.client.list(PODS, "default")).items
    await world.client.patch(PODS, meta(pod)["name"], {"metadata": {"labels": {"app": "other"}}}, namespace="default")

    async def replaced() -> bool:
        pods = (await world.client.list(PODS, "default")).items
        free = [p for p in pods if not meta(p).get("ownerReferences")]
        return len(pods) == 2 and [meta(p)["name"] for p in free] == [meta(pod)["name"]]

    await world.until(replaced)
    await world.client.patch(PODS, meta(pod)["name"], {"metadata": {"labels": {"app": "web"}}}, namespace="default")

    async def one() -> bool:  # taken back, and one too many goes
        return len((await world.client.list(PODS, "default")).items) == 1

    await world.until(one)


async def test_many_pods_and_never_one_too_many(world: World) -> None:
    most = 0

    def watch(_: Object | None, __: Object | None) -> None:
        nonlocal most
        most = max(most, len(world.informers.informer(PODS).list("default")))

    world.informers.informer(PODS).subscribe(watch)
    await world.client.create(DEPLOYMENTS, deployment(replicas=120))
    await world.rolled_out(120, "a")
    assert most == 120


async def test_large_services_are_cut_in_slices_that_stay(world: World) -> None:
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "web", "namespace": "default"},
        "spec": {"selector": {"app": "web"}, "ports": [{"port": 80, "targetPort": 8080}]},
    }
    await world.client.create(SERVICES, service)
    await world.client.create(DEPLOYMENTS, deployment(replicas=120))
    await world.rolled_out(120, "a")

    def endpoints() -> list[list[str]]:
        slices = world.informers.informer(ENDPOINTSLICES).list("default")
        mine = [s for s in slices if meta(s)["labels"].get("kubernetes.io/service-name") == "web"]
        return sorted(([e["targetRef"]["name"] for e in s.get("endpoints") or ()] for s in mine), key=len)

    async def all_there() -> bool:
        return sum(map(len, endpoints())) == 120

    await world.until(all_there)
    small, large = endpoints()
    assert (len(small), len(large)) == (20, 100)
    assert not set(small) & set(large)
    await world.client.delete(PODS, small[0], "default")

    async def replaced() -> bool:
        return sum(map(len, endpoints())) == 120 and small[0] not in endpoints()[0]

    await world.until(replaced)
    assert endpoints()[1] == large


def stateful_set(image: str = "a", replicas: int = 3, **spec: Any) -> Object:
    made = deployment(image, replicas)
    made["kind"] = "StatefulSet"
    claim = {
        "metadata": {"name": "data"},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
    }
    del made["spec"]["progressDeadlineSeconds"]
    made["spec"] |= {"serviceName": "web", "volumeClaimTemplates": [claim], **spec}
    return made


async def test_a_stateful_set_grows_updates_goes_back_and_shrinks(world: World) -> None:
    async def settled(replicas: int, image: str) -> Any:
        found = await world.client.get(STATEFULSETS, "web", "default")
        status = found.get("status") or {}
        pods = (await world.client.list(PODS, "default")).items
        images = {p["spec"]["containers"][0]["image"] for p in pods}
        same = status.get("currentRevision") == status.get("updateRevision")
        counts = {status.get(k, 0) for k in ("replicas", "readyReplicas", "updatedReplicas", "availableReplicas")}
        fresh = status.get("observedGeneration") == meta(found)["generation"]
        return found if fresh and same and counts == {replicas} and images == {image} and len(pods) == replicas else None

    def image(name: str) -> Object:
        return {"spec": {"template": {"spec": {"containers": [{"name": "c", "image": name}]}}}}

    await world.client.create(STATEFULSETS, stateful_set(persistentVolumeClaimRetentionPolicy={"whenScaled": "Delete"}))
    first = await world.until(lambda: settled(3, "a"))
    assert sorted(meta(c)["name"] for c in (await world.client.list(PVCS, "default")).items) == [f"data-web-{i}" for i in range(3)]
    await world.client.patch(STATEFULSETS, "web", image("b"), namespace="default")
    second = await world.until(lambda: settled(3, "b"))
    assert second["status"]["currentRevision"] != first["status"]["currentRevision"]
    await world.client.patch(STATEFULSETS, "web", image("a"), namespace="default")
    third = await world.until(lambda: settled(3, "a"))
    assert third["status"]["currentRevision"] == first["status"]["currentRevision"]
    revisions = (await world.client.list(CONTROLLERREVISIONS, "default")).items
    assert sorted(r["revision"] for r in revisions) == [2, 3]
    await world.client.patch(STATEFULSETS, "web", {"spec": {"replicas": 1}}, namespace="default")
    await world.until(lambda: settled(1, "a"))

    async def one_claim() -> bool:
        return len((await world.client.list(PVCS, "default")).items) == 1

    await world.until(one_claim)
    await world.client.delete(STATEFULSETS, "web", "default")

    async def nothing() -> bool:
        return not [o for r in (PODS, STATEFULSETS, CONTROLLERREVISIONS) for o in (await world.client.list(r, "default")).items]

    await world.until(nothing)
    assert await one_claim()


async def end(world: World, pod: Object, phase: str, code: int) -> None:
    ended = {"exitCode": code, "finishedAt": "2026-01-01T00:00:00Z"}
    status = {"phase": phase, "containerStatuses": [{"name": "c", "state": {"terminated": ended}}]}
    patch = {"status": status}
    await world.client.patch(PODS, meta(pod)["name"], patch, namespace="default", subresource="status", kind="merge")


def batch_job(name: str, **spec: Any) -> Object:
    template = {"spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "a"}]}}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {"template": template, **spec},
    }


async def test_a_job_counts_each_pod_once_and_ends(world: World) -> None:
    async def running(count: int) -> Any:
        pods = [p for p in (await world.client.list(PODS, "default")).items if p["status"].get("phase") == "Running"]
        return pods if len(pods) == count else None

    async def closed(name: str, kind: str) -> Any:
        found = await world.client.get(JOBS, name, "default")
        conditions = (found.get("status") or {}).get("conditions")
        return found if (condition(conditions, kind) or {}).get("status") == "True" else None

    await world.client.create(JOBS, batch_job("ok", completions=3, parallelism=2, completionMode="Indexed"))
    for left in (2, 2, 1):
        pods = await world.until(lambda left=left: running(left))
        await end(world, pods[0], "Succeeded", 0)
    done = await world.until(lambda: closed("ok", "Complete"))
    assert (done["status"]["succeeded"], done["status"]["completedIndexes"]) == (3, "0-2")
    assert done["status"]["uncountedTerminatedPods"] == {}
    assert not any(meta(p).get("finalizers") for p in (await world.client.list(PODS, "default")).items)

    await world.client.create(JOBS, batch_job("bad", backoffLimit=0, parallelism=2, completions=2))
    pods = await world.until(lambda: running(2))
    await end(world, pods[0], "Failed", 1)
    failed = await world.until(lambda: closed("bad", "Failed"))
    assert failed["status"]["failed"] == 2
    assert [c["reason"] for c in failed["status"]["conditions"]] == ["BackoffLimitExceeded"] * 2

    await world.client.create(JOBS, batch_job("gone", ttlSecondsAfterFinished=0))
    (pod,) = await world.until(lambda: running(1))
    await end(world, pod, "Succeeded", 0)

    async def gone() -> bool:
        return not any(meta(j)["name"] == "gone" for j in (await world.client.list(JOBS, "default")).items)

    await world.until(gone)


async def test_a_cron_job_makes_a_job_and_follows_it(world: World) -> None:
    spec = {"schedule": "@every 1s", "jobTemplate": {"spec": batch_job("x")["spec"]}, "concurrencyPolicy": "Forbid"}
    made = {"apiVersion": "batch/v1", "kind": "CronJob", "metadata": {"name": "c", "namespace": "default"}, "spec": spec}
    await world.client.create(CRONJOBS, made)

    async def running() -> Any:
        pods = (await world.client.list(PODS, "default")).items
        return pods if pods and pods[0]["status"].get("phase") == "Running" else None

    async def status() -> Any:
        return (await world.client.get(CRONJOBS, "c", "default")).get("status") or {}

    (pod,) = await world.until(running)
    assert len((await status())["active"]) == 1
    await end(world, pod, "Succeeded", 0)

    async def followed() -> Any:
        return "lastSuccessfulTime" in await status()

    await world.until(followed)


async def test_a_replication_controller_keeps_its_pods(world: World) -> None:
    template = {"metadata": {"labels": {"app": "old"}}, "spec": {"containers": [{"name": "c", "image": "a"}]}}
    spec = {"replicas": 2, "selector": {"app": "old"}, "template": template}
    made = {"apiVersion": "v1", "kind": "ReplicationController", "metadata": {"name": "rc", "namespace": "default"}, "spec": spec}
    await world.client.create(REPLICATIONCONTROLLERS, made)

    async def ready(count: int) -> Any:
        found = await world.client.get(REPLICATIONCONTROLLERS, "rc", "default")
        pods = (await world.client.list(PODS, "default")).items
        return (pods,) if (found.get("status") or {}).get("readyReplicas", 0) == count == len(pods) else None

    (pods,) = await world.until(lambda: ready(2))
    await world.client.delete(PODS, meta(pods[0])["name"], "default")
    await world.until(lambda: ready(2))
    await world.client.patch(REPLICATIONCONTROLLERS, "rc", {"spec": {"replicas": 0}}, namespace="default")
    await world.until(lambda: ready(0))


async def test_a_quota_shows_what_is_used(world: World) -> None:
    hard = {"pods": "3", "count/deployments.apps": "2", "requests.cpu": "1"}
    await world.client.create(RESOURCEQUOTAS, {"metadata": {"name": "q", "namespace": "default"}, "spec": {"hard": hard}})

    async def used(expected: Object) -> Any:
        return ((await world.client.get(RESOURCEQUOTAS, "q", "default")).get("status") or {}).get("used") == expected

    await world.until(lambda: used({"pods": "0", "count/deployments.apps": "0", "requests.cpu": "0"}))
    made = deployment(replicas=4)
    made["spec"]["template"]["spec"]["containers"][0]["resources"] = {"requests": {"cpu": "100m"}}
    await world.client.create(DEPLOYMENTS, made)
    await world.until(lambda: used({"pods": "3", "count/deployments.apps": "1", "requests.cpu": "300m"}))

    async def refused() -> Any:
        failure = condition((await world.deployment()).get("status", {}).get("conditions"), "ReplicaFailure")
        return failure is not None and "exceeded quota: q, requested: pods=1, used: pods=3, limited: pods=3" in failure["message"]

    await world.until(refused)
    await world.client.delete(DEPLOYMENTS, "web", "default")
    await world.until(lambda: used({"pods": "0", "count/deployments.apps": "0", "requests.cpu": "0"}))


async def test_roles_show_what_they_aggregate(world: World) -> None:
    async def rules(name: str) -> list[Any]:
        return (await world.client.get(CLUSTERROLES, name)).get("rules") or []

    async def stacked() -> Any:
        view, edit, admin = [await rules(n) for n in ("view", "edit", "admin")]
        return view and all(r in edit for r in view) and all(r in admin for r in edit) and len(admin) > len(edit) > len(view)

    await world.until(stacked)
    extra = {"verbs": ["get"], "apiGroups": ["shop.example"], "resources": ["carts"]}
    labels = {"rbac.authorization.k8s.io/aggregate-to-view": "true"}
    await world.client.create(CLUSTERROLES, {"metadata": {"name": "carts", "labels": labels}, "rules": [extra]})

    async def extended() -> Any:
        return extra in await rules("admin")

    await world.until(extended)
    await world.client.delete(CLUSTERROLES, "carts")

    async def forgotten() -> Any:
        return extra not in await rules("admin")

    await world.until(forgotten)


async def test_endpoints_of_a_service_without_selector_are_mirrored(world: World) -> None:
    await world.client.create(SERVICES, {"metadata": {"name": "db", "namespace": "default"}, "spec": {"ports": [{"port": 5432}]}})
    subset = {
        "addresses": [{"ip": "10.9.0.1"}, {"ip": "fd00::1"}],
        "notReadyAddresses": [{"ip": "10.9.0.2"}],
        "ports": [{"port": 5432}],
    }
    made = {"metadata": {"name": "db", "namespace": "default", "labels": {"team": "data"}}, "subsets": [subset]}
    await world.client.create(ENDPOINTS, made)

    async def slices() -> list[Any]:
        found = (await world.client.list(ENDPOINTSLICES, "default", label_selector="kubernetes.io/service-name=db")).items
        return sorted(found, key=lambda s: str(s["addressType"]))

    async def both() -> Any:
        return found if len(found := await slices()) == 2 else None

    four, six = await world.until(both)
    ready = [(e["addresses"], e["conditions"]["ready"]) for e in four["endpoints"]]
    assert ready == [(["10.9.0.1"], True), (["10.9.0.2"], False)]
    assert six["endpoints"][0]["addresses"] == ["fd00::1"]
    assert meta(four)["labels"]["endpointslice.kubernetes.io/managed-by"] == "endpointslicemirroring-controller.k8s.io"
    assert meta(four)["labels"]["team"] == "data"
    assert (four["ports"][0]["port"], four["ports"][0]["name"]) == (5432, "")
    changed = [{"addresses": [{"ip": "10.9.0.3"}], "ports": [{"port": 5433}]}]
    await world.client.patch(ENDPOINTS, "db", {"subsets": changed}, namespace="default")

    async def moved() -> Any:
        found = await slices()
        return [(s["endpoints"][0]["addresses"], s["ports"][0]["port"]) for s in found] == [(["10.9.0.3"], 5433)]

    await world.until(moved)
    await world.client.patch(
        ENDPOINTS, "db", {"metadata": {"labels": {"endpointslice.kubernetes.io/skip-mirror": "true"}}}, namespace="default"
    )

    async def gone() -> Any:
        return not await slices()

    await world.until(gone)
