"""Admission webhooks over real TLS connections: who is asked, what is shown, what comes of the answer."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from extension import Extension, behind_service, extension

from lateen.aio.tasks import TaskOwner
from lateen.aio.turns import Turns
from lateen.client.client import Client
from lateen.client.inprocess import InProcessTransport
from lateen.cluster.api.server import ApiServer
from lateen.cluster.api.user import ADMIN, UserInfo
from lateen.errors import ApiError, InvalidError, ServerError
from lateen.kube.meta import Object
from lateen.kube.resources import CONFIGMAPS, DEPLOYMENTS, HPAS, NAMESPACES, NODES, PODS, SERVICES, Resource

GROUP = "admissionregistration.k8s.io"
VALIDATING = Resource(
    group=GROUP, version="v1", kind="ValidatingWebhookConfiguration", plural="validatingwebhookconfigurations", namespaced=False
)
MUTATING = Resource(
    group=GROUP, version="v1", kind="MutatingWebhookConfiguration", plural="mutatingwebhookconfigurations", namespaced=False
)
Answer = dict[str, Any]
IGNORE = [{"op": "replace", "path": "/webhooks/0/failurePolicy", "value": "Ignore"}]


def allow(_: Any) -> Answer:
    return {"allowed": True}


class Hooks:
    """The webhook server: by path a function from the request to the response. It remembers what it was shown."""

    def __init__(self) -> None:
        self.seen: list[Any] = []
        self.answers: dict[str, Callable[[Any], Answer]] = {}
        self.delay = 0.0

    async def __call__(self, request: web.Request) -> web.Response:
        review = await request.json()
        self.seen.append(review["request"])
        await asyncio.sleep(self.delay)
        answer = self.answers.get(request.path, allow)(review["request"])
        found = {"uid": review["request"]["uid"], **answer}
        return web.json_response({"kind": "AdmissionReview", "apiVersion": "admission.k8s.io/v1", "response": found})


@pytest.fixture
async def hooks() -> Hooks:
    return Hooks()


@pytest.fixture
async def ext(tmp_path: Path, hooks: Hooks, client: Client) -> AsyncIterator[Extension]:
    async with extension(tmp_path, hooks) as found:
        await behind_service(client, found.port)
        yield found


def rule(*resources: str, group: str = "", operations: tuple[str, ...] = ("*",), version: str = "v1") -> Any:
    return {"operations": list(operations), "apiGroups": [group], "apiVersions": [version], "resources": list(resources)}


def hook(ext: Extension, *rules: Any, path: str = "/", name: str = "one.example.com", **more: Any) -> Any:
    service = {"namespace": "default", "name": "ext", "path": path}
    client = {"service": service, "caBundle": ext.bundle}
    base = {"name": name, "clientConfig": client, "sideEffects": "None", "admissionReviewVersions": ["v1"], "rules": list(rules)}
    return base | more


async def configure(client: Client, resource: Resource, *webhooks: Any, name: str = "hooks") -> Object:
    return await client.create(resource, {"metadata": {"name": name}, "webhooks": list(webhooks)})


def patches(*operations: Any) -> Answer:
    text = base64.b64encode(json.dumps(operations).encode()).decode()
    return {"allowed": True, "patchType": "JSONPatch", "patch": text}


def config_map(name: str = "a", labels: Any = None, **data: str) -> Object:
    return {"metadata": {"name": name, "namespace": "default", "labels": labels or {}}, "data": data}


async def test_a_refusal_in_the_servers_words(client: Client, ext: Extension, hooks: Hooks) -> None:
    hooks.answers["/"] = lambda _: {"allowed": False, "status": {"message": "not here", "code": 403, "reason": "Forbidden"}}
    made = await configure(client, VALIDATING, hook(ext, rule("configmaps")))
    assert made["webhooks"][0]["failurePolicy"] == "Fail" and made["webhooks"][0]["timeoutSeconds"] == 10
    assert made["webhooks"][0]["matchPolicy"] == "Equivalent" and made["webhooks"][0]["rules"][0]["scope"] == "*"
    with pytest.raises(ApiError, match=r'admission webhook "one[.]example[.]com" denied the request: not here') as refused:
        await client.create(CONFIGMAPS, config_map())
    assert (refused.value.status["code"], refused.value.status["reason"]) == (403, "Forbidden")
    hooks.answers["/"] = lambda _: {"allowed": False}
    with pytest.raises(ApiError, match="denied the request without explanation") as refused:
        await client.create(CONFIGMAPS, config_map())
    assert refused.value.status["code"] == 400
    await client.delete(VALIDATING, "hooks")
    await client.create(CONFIGMAPS, config_map())


async def test_what_a_webhook_is_shown(client: Client, ext: Extension, hooks: Hooks) -> None:
    await configure(client, VALIDATING, hook(ext, rule("configmaps")))
    made = await client.create(CONFIGMAPS, config_map(x="1"))
    await client.patch(CONFIGMAPS, "a", {"data": {"x": "2"}}, namespace="default")
    await client.delete(CONFIGMAPS, "a", "default")
    create, update, delete = hooks.seen
    assert [r["operation"] for r in hooks.seen] == ["CREATE", "UPDATE", "DELETE"]
    assert create["kind"] == create["requestKind"] == {"group": "", "version": "v1", "kind": "ConfigMap"}
    assert create["resource"] == {"group": "", "version": "v1", "resource": "configmaps"}
    assert (create["name"], create["namespace"], create["dryRun"]) == ("a", "default", False)
    assert create["object"]["metadata"]["uid"] == made["metadata"]["uid"] and create["oldObject"] is None
    assert create["userInfo"] == {"username": "kubernetes-admin", "groups": ["system:masters", "system:authenticated"]}
    assert create["options"] == {"kind": "CreateOptions", "apiVersion": "meta.k8s.io/v1", "fieldManager": "lateen"}
    assert update["object"]["data"] == {"x": "2"} and update["oldObject"]["data"] == {"x": "1"}
    assert update["options"]["kind"] == "PatchOptions"
    assert delete["object"] is None and delete["oldObject"]["data"] == {"x": "2"} and delete["options"]["kind"] == "DeleteOptions"


async def test_patches_defaults_and_the_name_that_is_not_there_yet(client: Client, ext: Extension, hooks: Hooks) -> None:
    sidecar = {"name": "sidecar", "image": "proxy:1"}
    hooks.answers["/"] = lambda _: patches({"op": "add", "path": "/spec/containers/-", "value": sidecar})
    await configure(client, MUTATING, hook(ext, rule("pods", operations=("CREATE",))))
    container = {"name": "app", "image": "app:1"}
    made = await client.create(
        PODS, {"metadata": {"generateName": "p-", "namespace": "default"}, "spec": {"containers": [container]}}
    )
    assert [c["name"] for c in made["spec"]["containers"]] == ["app", "sidecar"]
    assert made["spec"]["containers"][1]["terminationMessagePath"] == "/dev/termination-log"  # it got defaults
    assert "name" not in hooks.seen[0] and "name" not in hooks.seen[0]["object"]["metadata"]
    fields = next(m for m in made["metadata"]["managedFields"] if m["manager"] == "lateen")["fieldsV1"]
    assert 'k:{"name":"sidecar"}' in fields["f:spec"]["f:containers"]


async def test_reinvocation_lets_an_earlier_one_see_later_changes(client: Client, ext: Extension, hooks: Hooks) -> None:
    def count(request: Any) -> Answer:
        if not request["object"].get("data", {}).get("late"):
            return {"allowed": True}
        return patches({"op": "add", "path": "/data/seen", "value": "yes"})

    hooks.answers = {"/first": count, "/second": lambda _: patches({"op": "add", "path": "/data/late", "value": "1"})}
    first = hook(ext, rule("configmaps"), path="/first", name="first.example.com", reinvocationPolicy="IfNeeded")
    await configure(client, MUTATING, first, hook(ext, rule("configmaps"), path="/second", name="second.example.com"))
    made = await client.create(CONFIGMAPS, config_map(x="1"))
    assert made["data"] == {"x": "1", "late": "1", "seen": "yes"} and len(hooks.seen) == 3
    changed = await client.patch(CONFIGMAPS, "a", {"data": {"late": None}}, namespace="default")
    assert changed["data"]["late"] == "1"


async def test_selectors_and_conditions_choose(client: Client, ext: Extension, hooks: Hooks) -> None:
    no = {"allowed": False, "status": {"message": "no"}}
    hooks.answers["/"] = lambda _: no
    chosen = hook(
        ext,
        rule("configmaps"),
        namespaceSelector={"matchLabels": {"strict": "yes"}},
        objectSelector={"matchExpressions": [{"key": "skip", "operator": "DoesNotExist"}]},
        matchConditions=[{"name": "user", "expression": "request.userInfo.username != 'jane' && object.data.x == '1'"}],
    )
    await configure(client, VALIDATING, chosen)
    await client.create(CONFIGMAPS, config_map("unlabelled", x="1"))
    await client.patch(NAMESPACES, "default", {"metadata": {"labels": {"strict": "yes"}}})
    await client.create(CONFIGMAPS, config_map("skipped", {"skip": "1"}, x="1"))
    await client.create(CONFIGMAPS, config_map("other", x="2"))
    with pytest.raises(ApiError, match="denied the request: no"):
        await client.create(CONFIGMAPS, config_map("chosen", x="1"))
    with pytest.raises(ApiError, match="no such key: x"):  # the condition fails, and so does the request
        await client.create(CONFIGMAPS, config_map("broken"))
    await client.patch(
        VALIDATING, "hooks", [{"op": "replace", "path": "/webhooks/0/failurePolicy", "value": "Ignore"}], kind="json"
    )
    await client.create(CONFIGMAPS, config_map("broken"))


async def test_a_webhook_that_does_not_answer(client: Client, ext: Extension, hooks: Hooks) -> None:
    hooks.delay = 3.0
    await configure(client, VALIDATING, hook(ext, rule("configmaps"), timeoutSeconds=1))
    words = 'failed calling webhook "one.example.com": failed to call webhook: Post "https://ext.default.svc:443/.timeout=1s": '
    with pytest.raises(ServerError, match=f"Internal error occurred: {words}context deadline exceeded"):
        await client.create(CONFIGMAPS, config_map())
    await client.delete(SERVICES, "ext", "default")
    with pytest.raises(ServerError, match=f'{words}service/ext in "default" is not present'):
        await client.create(CONFIGMAPS, config_map())
    await client.patch(
        VALIDATING, "hooks", [{"op": "replace", "path": "/webhooks/0/failurePolicy", "value": "Ignore"}], kind="json"
    )
    await client.create(CONFIGMAPS, config_map())


async def test_equivalent_versions(client: Client, ext: Extension, hooks: Hooks) -> None:
    old = rule("horizontalpodautoscalers", group="autoscaling", version="v1")
    await configure(client, VALIDATING, hook(ext, old))
    target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}
    body = {"metadata": {"name": "web", "namespace": "default"}, "spec": {"scaleTargetRef": target, "maxReplicas": 3}}
    await client.create(HPAS, body)
    assert hooks.seen[0]["kind"]["version"] == "v1" and hooks.seen[0]["requestKind"]["version"] == "v2"
    assert hooks.seen[0]["object"]["apiVersion"] == "autoscaling/v1"
    exact = hook(ext, old, matchPolicy="Exact")
    await client.update(VALIDATING, {**(await client.get(VALIDATING, "hooks")), "webhooks": [exact]})
    await client.patch(HPAS, "web", {"spec": {"maxReplicas": 4}}, namespace="default")
    assert len(hooks.seen) == 1


async def test_subresources(client: Client, ext: Extension, hooks: Hooks) -> None:
    labels = {"a": "b"}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "a", "image": "b"}]}}
    spec = {"replicas": 1, "selector": {"matchLabels": labels}, "template": template}
    await client.create(DEPLOYMENTS, {"metadata": {"name": "web", "namespace": "default"}, "spec": spec})
    await client.create(PODS, {"metadata": {"name": "p", "namespace": "default"}, "spec": template["spec"]})
    await configure(
        client, VALIDATING, hook(ext, rule("deployments/scale", group="apps"), rule("pods/eviction", "pods/status", "pods/exec"))
    )
    await client.patch(DEPLOYMENTS, "web", {"spec": {"replicas": 2}}, namespace="default", subresource="scale")
    await client.patch(DEPLOYMENTS, "web", {"spec": {"replicas": 3}}, namespace="default")
    await client.patch(PODS, "p", {"status": {"message": "x"}}, namespace="default", subresource="status")
    with pytest.raises(ApiError):
        await client.raw("POST", "/api/v1/namespaces/default/pods/p/exec", query={"command": ("sh", "-c"), "stdout": "true"})
    eviction = {"metadata": {"name": "p", "namespace": "default"}}
    await client.raw("POST", "/api/v1/namespaces/default/pods/p/eviction", body=eviction)
    seen = [(r["operation"], r["kind"]["kind"], r["subResource"]) for r in hooks.seen]
    assert seen == [
        ("UPDATE", "Scale", "scale"),
        ("UPDATE", "Pod", "status"),
        ("CONNECT", "PodExecOptions", "exec"),
        ("CREATE", "Eviction", "eviction"),
    ]
    assert hooks.seen[0]["object"]["spec"] == {"replicas": 2} and hooks.seen[2]["object"]["command"] == ["sh", "-c"]


async def test_warnings_dry_run_and_the_exempt(api: ApiServer, client: Client, ext: Extension, hooks: Hooks) -> None:
    hooks.answers["/"] = lambda r: {"allowed": True, "warnings": [f"dry: {r['dryRun']}"]}
    everything = {"operations": ["*"], "apiGroups": ["*"], "apiVersions": ["*"], "resources": ["*/*"]}
    await configure(client, VALIDATING, hook(ext, everything))
    request = {"metadata": {"name": "a", "namespace": "default"}}
    path = "/api/v1/namespaces/default/configmaps"
    answer = await client.raw("POST", path, body=request, query={"dryRun": "All"})
    assert answer.headers["Warning"] == '299 - "dry: True"'
    hooks.seen.clear()
    await configure(client, VALIDATING, name="more")
    await client.delete(VALIDATING, "hooks")
    assert (not hooks.seen and not api.backend.gate.busy) or api.backend.gate.concerned is not None
    quiet = Client(InProcessTransport(api.handler_for(ADMIN)))
    await quiet.raw("POST", path, body=request)
    assert not hooks.seen


async def test_what_cannot_be_is_refused(client: Client, ext: Extension) -> None:
    bad = hook(ext, rule("pods"), name="short", sideEffects="Some", matchConditions=[{"name": "x", "expression": "1 +"}])
    with pytest.raises(InvalidError) as refused:
        await configure(client, VALIDATING, bad | {"timeoutSeconds": 60})
    fields = [c["field"].partition("webhooks[0].")[2] for c in refused.value.status["details"]["causes"]]
    assert fields == ["name", "sideEffects", "timeoutSeconds", "matchConditions[0].expression"]


async def test_a_slow_webhook_holds_up_nobody_else(api: ApiServer, client: Client, ext: Extension, hooks: Hooks) -> None:
    shared = Turns(1)
    slow, quick = (Client(InProcessTransport(api.handler_for(ADMIN), turns=shared, flow=flow)) for flow in "ab")
    await configure(client, VALIDATING, hook(ext, rule("configmaps")))
    hooks.delay = 0.2
    async with TaskOwner("test") as owner:
        creating = owner.start(slow.create(CONFIGMAPS, config_map()), "create")
        while not hooks.seen:
            await asyncio.sleep(0.005)
        await quick.list(CONFIGMAPS, "default")
        assert not creating.done()
        await creating


async def test_what_is_part_of_the_cluster_asks_nobody(api: ApiServer, client: Client, ext: Extension, hooks: Hooks) -> None:
    hooks.answers["/"] = lambda _: {"allowed": False}
    everything = {"operations": ["*"], "apiGroups": ["*"], "apiVersions": ["*"], "resources": ["*/*"]}
    await configure(client, VALIDATING, hook(ext, everything))
    groups = ("system:masters",)
    server, node = (
        Client(InProcessTransport(api.handler_for(UserInfo(name="x", groups=groups, inside=i)))) for i in ("server", "node")
    )
    await server.create(CONFIGMAPS, config_map())
    await node.create(NODES, {"metadata": {"name": "node-0"}})
    with pytest.raises(ApiError, match="denied"):
        await node.create(CONFIGMAPS, config_map("b"))
