"""Apply against an API server in process: order, second runs, conflicts, pruning, waiting. Controllers are played by hand."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from typing import Any

import pytest

from lateen.aio.clock import SystemClock
from lateen.aio.tasks import TaskOwner
from lateen.apply import Options, Patience, Prune, Ref, State, Verb, apply, delete, follow, plan, status
from lateen.apply.events import Applied, EventSeen, HealthChanged, Progress
from lateen.apply.inventory import read
from lateen.client import Client
from lateen.cluster.api.server import ApiServer
from lateen.errors import DeadlineError, FailedError, InputError, NotFoundError
from lateen.kube.meta import Key, Object, meta, owner_reference, timestamp
from lateen.kube.resources import CONFIGMAPS, DEPLOYMENTS, EVENTS, NAMESPACES, PODS, PVCS, REPLICASETS, SECRETS, Resource

NO_WAIT = Options(wait=False)


def config(name: str, **data: str) -> Object:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data}


def namespace(name: str) -> Object:
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}


def deployment(name: str, image: str = "a", **annotations: str) -> Object:
    labels = {"app": name}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "main", "image": image}]}}
    spec = {"replicas": 1, "selector": {"matchLabels": labels}, "template": template}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name, "annotations": annotations}, "spec": spec}


def claim(name: str) -> Object:
    spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    return {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": name}, "spec": spec}


def ref(kind: str, name: str, ns: str = "shop", group: str = "") -> Ref:
    return Ref(group, kind, ns, name)


async def versions(client: Client, *resources: Resource) -> dict[str, str]:
    lists = [await client.list(r) for r in resources]
    return {f"{meta(o)['name']}": meta(o)["resourceVersion"] for found in lists for o in found.items}


@pytest.fixture
async def shop(client: Client) -> Client:
    await client.create(NAMESPACES, namespace("shop"))
    return client


Ready = Callable[[str], Awaitable[None]]


@pytest.fixture
async def tasks() -> AsyncIterator[TaskOwner]:
    async with TaskOwner("test") as owner:
        yield owner


async def make_ready(client: Client, name: str) -> None:
    """What the Deployment controller and kubelets would do."""
    live = await client.get(DEPLOYMENTS, name, "shop")
    counts = dict.fromkeys(("replicas", "updatedReplicas", "readyReplicas", "availableReplicas"), live["spec"]["replicas"])
    await client.update_status(DEPLOYMENTS, live | {"status": {"observedGeneration": live["metadata"]["generation"], **counts}})


# writing


async def test_a_namespace_comes_before_what_lives_in_it(client: Client) -> None:
    objects = [config("a", x="1") | {"metadata": {"name": "a", "namespace": "new"}}, namespace("new")]
    done: list[str] = []

    def listen(event: Progress) -> None:
        if isinstance(event, Applied):
            done.append(f"{event.action.verb} {event.action.ref}")

    report = await apply(client, objects, on_progress=listen, options=NO_WAIT)
    assert done == ["create Namespace new", "create ConfigMap new/a"]
    assert report.count(Verb.create) == 2
    assert (await client.get(CONFIGMAPS, "a", "new"))["data"] == {"x": "1"}


async def test_a_second_run_writes_nothing(shop: Client) -> None:
    objects = [config("a", x="1"), deployment("web"), claim("data")]
    await apply(shop, objects, app="shop", namespace="shop", options=NO_WAIT)
    before = await versions(shop, CONFIGMAPS, DEPLOYMENTS, PVCS, NAMESPACES)
    report = await apply(shop, objects, app="shop", namespace="shop", options=NO_WAIT)
    assert report.writes == 0
    assert report.count(Verb.unchanged) == 3
    assert await versions(shop, CONFIGMAPS, DEPLOYMENTS, PVCS, NAMESPACES) == before


async def test_only_what_differs_is_written(shop: Client) -> None:
    await apply(shop, [config("a", x="1"), config("b", x="1")], app="shop", namespace="shop", options=NO_WAIT)
    before = await versions(shop, CONFIGMAPS)
    report = await apply(shop, [config("a", x="2"), config("b", x="1")], app="shop", namespace="shop", options=NO_WAIT)
    after = await versions(shop, CONFIGMAPS)
    assert {name for name in after if after[name] != before[name]} == {"a"}
    assert [str(c) for action in report.actions for c in action.changes] == ["~ data.x: 1 -> 2"]


async def test_a_plan_writes_nothing(shop: Client) -> None:
    before = await versions(shop, CONFIGMAPS, DEPLOYMENTS)
    found = await plan(shop, [config("a", x="1"), deployment("web")], app="shop", namespace="shop")
    assert {str(a.ref): a.verb for a in found.actions.values()} == {
        "ConfigMap shop/a": Verb.create,
        "Deployment shop/web": Verb.create,
    }
    assert await versions(shop, CONFIGMAPS, DEPLOYMENTS) == before


async def test_forty_objects(shop: Client) -> None:
    began = SystemClock().monotonic()
    await apply(shop, [config(f"c{i}", x="1") for i in range(40)], app="shop", namespace="shop", options=NO_WAIT)
    assert SystemClock().monotonic() - began < 1


# refusals


async def test_a_refusal_leaves_everything_as_it_was(shop: Client) -> None:
    bad = deployment("web")
    bad["spec"]["selector"] = {"matchLabels": {"app": "other"}}
    with pytest.raises(ExceptionGroup) as caught:
        await apply(shop, [config("a", x="1"), bad], app="shop", namespace="shop", options=NO_WAIT)
    assert isinstance(caught.value.exceptions[0], InputError)
    assert "Deployment shop/web" in str(caught.value.exceptions[0])
    with pytest.raises(NotFoundError):
        await shop.get(CONFIGMAPS, "a", "shop")
    assert (await read(shop, app="shop", namespace="shop")).entries == {}


async def test_a_field_of_another_manager_is_not_taken(shop: Client) -> None:
    await shop.apply(
        CONFIGMAPS, config("a", x="theirs") | {"metadata": {"name": "a", "namespace": "shop"}}, field_manager="someone"
    )
    with pytest.raises(ExceptionGroup) as caught:
        await apply(shop, [config("a", x="mine")], namespace="shop", options=NO_WAIT)
    error = caught.value.exceptions[0]
    assert isinstance(error, FailedError)
    assert ".data.x is owned by someone" in str(error)
    assert "--force-conflicts" in str(error)
    await apply(shop, [config("a", x="mine")], namespace="shop", options=Options(wait=False, force=True))
    assert (await shop.get(CONFIGMAPS, "a", "shop"))["data"] == {"x": "mine"}


async def test_an_unknown_kind_is_told_with_the_nearest(shop: Client) -> None:
    with pytest.raises(ExceptionGroup) as caught:
        await apply(shop, [deployment("web") | {"kind": "Deploymnt"}], namespace="shop", options=NO_WAIT)
    assert "did you mean 'Deployment'?" in str(caught.value.exceptions[0])


async def test_an_object_given_twice(shop: Client) -> None:
    with pytest.raises(ExceptionGroup, match="manifests"):
        await apply(shop, [config("a"), config("a")], namespace="shop", options=NO_WAIT)


async def test_nothing_to_apply(shop: Client) -> None:
    with pytest.raises(InputError, match="nothing to apply"):
        await apply(shop, [], app="shop", namespace="shop")


# pruning and deleting


async def test_what_is_no_longer_declared_goes(shop: Client) -> None:
    await apply(shop, [config("a"), config("b"), claim("data")], app="shop", namespace="shop", options=NO_WAIT)
    stranger = config("c") | {"metadata": {"name": "c", "namespace": "shop"}}
    await shop.create(CONFIGMAPS, stranger)
    report = await apply(shop, [config("a")], app="shop", namespace="shop", options=NO_WAIT)
    assert [(a.ref.name, a.verb) for a in report.actions] == [("a", Verb.unchanged), ("b", Verb.delete)]
    assert report.kept == (ref("PersistentVolumeClaim", "data"),)
    assert {meta(o)["name"] for o in (await shop.list(CONFIGMAPS, "shop")).items} >= {"a", "c"}
    assert set((await read(shop, app="shop", namespace="shop")).entries) == {
        ref("ConfigMap", "a"),
        ref("PersistentVolumeClaim", "data"),
    }


async def test_an_object_that_changed_hands_is_not_pruned(shop: Client) -> None:
    await apply(shop, [config("a"), config("b")], app="shop", namespace="shop", options=NO_WAIT)
    await shop.patch(CONFIGMAPS, "b", {"metadata": {"labels": {"lateen.dev/app": "other"}}}, namespace="shop")
    report = await apply(shop, [config("a")], app="shop", namespace="shop", options=NO_WAIT)
    assert report.count(Verb.delete) == 0
    assert (await shop.get(CONFIGMAPS, "b", "shop"))["metadata"]["name"] == "b"
    assert set((await read(shop, app="shop", namespace="shop")).entries) == {ref("ConfigMap", "a")}


async def test_config_of_an_older_version_stays_as_long_as_it_can_be_rolled_back_to(shop: Client) -> None:
    await apply(shop, [config("v1"), config("v2")], app="shop", namespace="shop", options=NO_WAIT)
    pod = {"containers": [{"name": "a", "image": "a", "envFrom": [{"configMapRef": {"name": "v1"}}]}]}
    labels = {"app": "web"}
    spec = {"replicas": 0, "selector": {"matchLabels": labels}, "template": {"metadata": {"labels": labels}, "spec": pod}}
    old = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "metadata": {"name": "web-1", "namespace": "shop"}, "spec": spec}
    await shop.create(REPLICASETS, old)
    report = await apply(shop, [config("v2")], app="shop", namespace="shop", options=NO_WAIT)
    assert report.kept == (ref("ConfigMap", "v1"),)
    await shop.delete(REPLICASETS, "web-1", "shop")
    report = await apply(shop, [config("v2")], app="shop", namespace="shop", options=NO_WAIT)
    assert report.count(Verb.delete) == 1


async def test_pruning_can_be_switched_off(shop: Client) -> None:
    await apply(shop, [config("a"), config("b")], app="shop", namespace="shop", options=NO_WAIT)
    report = await apply(shop, [config("a")], app="shop", namespace="shop", options=Options(wait=False, prune=Prune.none))
    assert report.count(Verb.delete) == 0
    assert len((await read(shop, app="shop", namespace="shop")).entries) == 2


async def test_delete_keeps_volumes_and_can_take_everything(shop: Client) -> None:
    await apply(shop, [config("a"), claim("data")], app="shop", namespace="shop", options=NO_WAIT)
    report = await delete(shop, app="shop", namespace="shop")
    assert [a.ref.name for a in report.actions] == ["a"]
    assert report.kept == (ref("PersistentVolumeClaim", "data"),)
    await delete(shop, app="shop", namespace="shop", everything=True)
    assert (await shop.list(PVCS, "shop")).items == []
    with pytest.raises(InputError, match="there is no application 'shop'"):
        await delete(shop, app="shop", namespace="shop")


async def test_delete_says_what_does_not_go(shop: Client) -> None:
    stuck = config("a")
    stuck["metadata"]["finalizers"] = ["example.com/never"]
    await apply(shop, [stuck], app="shop", namespace="shop", options=NO_WAIT)
    with pytest.raises(DeadlineError, match="ConfigMap shop/a"):
        await delete(shop, app="shop", namespace="shop", timeout=0.2)
    assert (await read(shop, app="shop", namespace="shop")).entries, "it is still remembered"


# waiting


async def test_waiting_ends_when_everything_is_healthy(shop: Client, tasks: TaskOwner) -> None:
    seen: list[tuple[str, State]] = []

    def listen(event: Progress) -> None:
        if isinstance(event, Applied) and event.action.ref.kind == "Deployment":
            tasks.start(make_ready(shop, event.action.ref.name), "controller")
        if isinstance(event, HealthChanged):
            seen.append((event.ref.name, event.health.state))

    report = await apply(shop, [config("a"), deployment("web")], namespace="shop", on_progress=listen, options=Options(timeout=5))
    assert report.failures == ()
    assert {r.name: h.state for r, h in report.health.items()} == {"a": State.healthy, "web": State.healthy}
    assert seen[-1] == ("web", State.healthy)


async def test_a_server_that_is_not_well_ends_the_waiting(shop: Client, api: ApiServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lateen.apply.wait._ASK_SERVER", 0.02)
    api.health.add("storage", lambda: "no space left", ready_only=True)
    with pytest.raises(FailedError, match=r"(?s)not well.*\[-\]storage failed: no space left"):
        await apply(shop, [deployment("web")], namespace="shop", options=Options(timeout=5))


async def test_an_object_waits_for_what_it_depends_on(shop: Client, tasks: TaskOwner) -> None:
    order: list[str] = []

    def listen(event: Progress) -> None:
        if isinstance(event, Applied):
            order.append(f"applied {event.action.ref.name}")
            tasks.start(make_ready(shop, event.action.ref.name), "controller")
        if isinstance(event, HealthChanged) and event.health.ok:
            order.append(f"healthy {event.ref.name}")

    depends = {"config.kubernetes.io/depends-on": "apps/namespaces/shop/Deployment/cart"}
    objects = [deployment("web", **depends), deployment("cart")]
    await apply(shop, objects, namespace="shop", on_progress=listen, options=Options(timeout=5))
    assert order == ["applied cart", "healthy cart", "applied web", "healthy web"]


async def crash(client: Client, deployed: Object, restarts: int) -> None:
    """A ReplicaSet and a pod of it that keeps crashing."""

    seen = {"observedGeneration": deployed["metadata"]["generation"], "replicas": 1, "updatedReplicas": 1}
    await client.update_status(DEPLOYMENTS, deployed | {"status": seen})

    def owned(owner: Object, name: str, **fields: Any) -> Object:
        made = {"name": name, "namespace": "shop", "labels": {"app": "web"}, "ownerReferences": [owner_reference(owner)]}
        return {"metadata": made, **fields}

    template = deployed["spec"]["template"]
    spec = {"replicas": 1, "selector": deployed["spec"]["selector"], "template": template}
    made = await client.create(REPLICASETS, owned(deployed, "web-1", apiVersion="apps/v1", kind="ReplicaSet", spec=spec))
    pod = await client.create(PODS, owned(made, "web-1-x", apiVersion="v1", kind="Pod", spec=template["spec"]))
    state = {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off"}}
    last = {"terminated": {"exitCode": 3, "reason": "Error"}}
    container = {
        "name": "main",
        "image": "a",
        "imageID": "",
        "ready": False,
        "restartCount": restarts,
        "state": state,
        "lastState": last,
    }
    await client.update_status(PODS, pod | {"status": {"phase": "Running", "containerStatuses": [container]}})


async def test_a_crashing_pod_ends_the_wait_early(shop: Client, tasks: TaskOwner) -> None:
    async def play() -> None:
        await crash(shop, await shop.get(DEPLOYMENTS, "web", "shop"), 3)

    def listen(event: Progress) -> None:
        if isinstance(event, Applied) and event.action.ref.kind == "Deployment":
            tasks.start(play(), "controller")

    objects = [deployment("web"), config("old")]
    await apply(shop, [config("old"), config("older")], app="shop", namespace="shop", options=NO_WAIT)
    report = await apply(shop, objects, app="shop", namespace="shop", on_progress=listen, options=Options(timeout=30))
    assert report.seconds < 5
    [failure] = report.failures
    assert failure.ref == ref("Deployment", "web", group="apps")
    assert "container main exits with code 3 (3 restarts)" in failure.health.message
    assert failure.health.pod == Key("shop", "web-1-x")
    assert not report.late
    assert report.count(Verb.delete) == 0, "nothing is pruned while the new state does not work"
    with pytest.raises(FailedError, match="exits with code 3"):
        report.raise_for_failure()


async def test_patience_can_be_endless(shop: Client, tasks: TaskOwner) -> None:
    async def play() -> None:
        await crash(shop, await shop.get(DEPLOYMENTS, "web", "shop"), 30)

    def listen(event: Progress) -> None:
        if isinstance(event, Applied) and event.action.ref.kind == "Deployment":
            tasks.start(play(), "controller")

    options = Options(timeout=0.3, patience=Patience(crashes=float("inf")))
    report = await apply(shop, [deployment("web")], namespace="shop", on_progress=listen, options=options)
    assert report.late
    assert "exits with code 3 (30 restarts)" in report.failures[0].health.message
    with pytest.raises(DeadlineError, match="not healthy after"):
        report.raise_for_failure()


async def test_events_about_an_object_are_told(shop: Client, tasks: TaskOwner) -> None:
    told: list[EventSeen] = []

    async def play() -> None:
        live = await shop.get(DEPLOYMENTS, "web", "shop")
        for name, uid in (("about-web", live["metadata"]["uid"]), ("about-other", "somebody-else")):
            about = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web", "namespace": "shop", "uid": uid}
            fields = {"involvedObject": about, "type": "Warning", "reason": "Sad", "message": name, "count": 1}
            made = {"apiVersion": "v1", "kind": "Event", "metadata": {"name": name, "namespace": "shop"}, **fields}
            await shop.create(EVENTS, made | {"lastTimestamp": timestamp(SystemClock().now())})
        await make_ready(shop, "web")

    def listen(event: Progress) -> None:
        if isinstance(event, Applied):
            tasks.start(play(), "controller")
        if isinstance(event, EventSeen):
            told.append(event)

    await apply(shop, [deployment("web")], namespace="shop", on_progress=listen, options=Options(timeout=5))
    assert told == [EventSeen(ref=ref("Deployment", "web", group="apps"), type="Warning", reason="Sad", message="about-web")]


async def test_status_can_be_followed(shop: Client) -> None:
    await apply(shop, [config("a"), deployment("web")], app="shop", namespace="shop", options=NO_WAIT)
    async with aclosing(follow(shop, app="shop", namespace="shop")) as states:
        assert not (await anext(states)).ok
        await make_ready(shop, "web")
        assert (await anext(states)).ok


async def test_status_tells_what_is_missing(shop: Client) -> None:
    await apply(shop, [config("a"), deployment("web")], app="shop", namespace="shop", options=NO_WAIT)
    await shop.delete(CONFIGMAPS, "a", "shop")
    found = await status(shop, app="shop", namespace="shop")
    assert {r.name: h.state for r, h in found.health.items()} == {"a": State.missing, "web": State.progressing}
    assert not found.ok


async def test_status_of_nothing(shop: Client) -> None:
    with pytest.raises(InputError, match="there is no application 'shop'"):
        await status(shop, app="shop", namespace="shop")


async def test_secrets_are_applied(shop: Client) -> None:
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, "data": {"k": "aHVudGVyMg=="}}
    await apply(shop, [secret], namespace="shop", options=NO_WAIT)
    assert (await shop.get(SECRETS, "s", "shop"))["data"] == {"k": "aHVudGVyMg=="}


async def test_an_object_of_a_kind_that_comes_with_it(shop: Client, tasks: TaskOwner) -> None:
    names = {"kind": "Widget", "plural": "widgets", "singular": "widget"}
    shape = {"openAPIV3Schema": {"type": "object", "properties": {"spec": {"type": "object"}}}}
    version = {"name": "v1", "served": True, "storage": True, "schema": shape}
    definition = {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": "widgets.example.com"},
        "spec": {"group": "example.com", "names": names, "scope": "Namespaced", "versions": [version]},
    }
    widget = {"apiVersion": "example.com/v1", "kind": "Widget", "metadata": {"name": "w"}, "spec": {}}
    report = await apply(shop, [widget, definition], namespace="shop", options=Options(timeout=10))
    assert [(a.ref.kind, a.ref.namespace) for a in report.actions] == [("CustomResourceDefinition", ""), ("Widget", "shop")]
    assert all(h.ok for h in report.health.values())
