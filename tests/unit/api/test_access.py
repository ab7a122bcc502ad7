"""Authorization through the server: refusals in Kubernetes' words, grants, escalation, reviews, impersonation."""

from __future__ import annotations

import pytest

from lateen.client.client import Client
from lateen.client.inprocess import InProcessTransport
from lateen.client.seam import Request
from lateen.cluster.api.server import ApiServer
from lateen.cluster.api.user import ADMIN, UserInfo
from lateen.errors import BadRequestError, ForbiddenError, InvalidError, NotFoundError
from lateen.kube.meta import Object
from lateen.kube.resources import (
    CLUSTERROLEBINDINGS,
    CLUSTERROLES,
    CONFIGMAPS,
    NAMESPACES,
    PODS,
    ROLEBINDINGS,
    ROLES,
    SECRETS,
    Resource,
)

JANE = UserInfo(name="jane", groups=("system:authenticated",))
RBAC = "rbac.authorization.k8s.io"
LOCAL_REVIEWS = Resource(
    group="authorization.k8s.io", version="v1", kind="LocalSubjectAccessReview", plural="localsubjectaccessreviews", namespaced=True
)
PODTEMPLATES = Resource(group="", version="v1", kind="PodTemplate", plural="podtemplates", namespaced=True)
RULES_REVIEWS = Resource(
    group="authorization.k8s.io", version="v1", kind="SelfSubjectRulesReview", plural="selfsubjectrulesreviews", namespaced=False
)


def as_user(api: ApiServer, user: UserInfo) -> Client:
    return Client(InProcessTransport(api.handler_for(user)))


def binding(name: str, role: str, user: str = "jane", *, kind: str = "ClusterRole", namespace: str = "default") -> Object:
    return {
        "metadata": {"name": name} | ({"namespace": namespace} if namespace else {}),
        "roleRef": {"apiGroup": RBAC, "kind": kind, "name": role},
        "subjects": [{"apiGroup": RBAC, "kind": "User", "name": user}],
    }


async def test_refusals_say_who_cannot_what_where(api: ApiServer) -> None:
    jane = as_user(api, JANE)
    with pytest.raises(ForbiddenError) as refused:
        await jane.list(PODS, "default")
    assert refused.value.message == (
        'pods is forbidden: User "jane" cannot list resource "pods" in API group "" in the namespace "default"'
    )
    assert refused.value.status["details"] == {"kind": "pods"}
    with pytest.raises(ForbiddenError) as refused:
        await jane.get(CLUSTERROLES, "view")
    assert refused.value.message == (
        f'clusterroles.{RBAC} "view" is forbidden: User "jane" cannot get resource "clusterroles" '
        f'in API group "{RBAC}" at the cluster scope'
    )
    anonymous = UserInfo(name="system:anonymous", groups=("system:unauthenticated",))
    assert (await api.handle(Request(method="GET", path="/version"), anonymous)).status == 200
    answer = await api.handle(Request(method="GET", path="/metrics"), anonymous)
    assert answer.status == 403
    assert answer.obj["message"] == 'forbidden: User "system:anonymous" cannot get path "/metrics"'


async def test_a_binding_grants_in_its_namespace_and_ends_with_it(api: ApiServer, client: Client) -> None:
    jane = as_user(api, JANE)
    await client.create(NAMESPACES, {"metadata": {"name": "other"}})
    await client.create(ROLEBINDINGS, binding("jane", "view"))
    assert (await jane.list(PODS, "default")).items == []
    assert (await jane.get(NAMESPACES, "default"))["metadata"]["name"] == "default"
    for attempt in (
        jane.list(PODS, "other"),
        jane.list(PODS),
        jane.list(SECRETS, "default"),
        jane.get(NAMESPACES, "other"),
        jane.create(CONFIGMAPS, {"metadata": {"name": "a", "namespace": "default"}}),
    ):
        with pytest.raises(ForbiddenError):
            await attempt
    await client.delete(ROLEBINDINGS, "jane", "default")
    with pytest.raises(ForbiddenError):
        await jane.list(PODS, "default")


async def test_nobody_grants_more_than_they_have(api: ApiServer, client: Client) -> None:
    jane = as_user(api, JANE)
    await client.create(ROLEBINDINGS, binding("jane", "admin"))
    await jane.create(ROLEBINDINGS, binding("joe", "edit", "joe"))
    with pytest.raises(ForbiddenError) as refused:
        await jane.create(
            ROLES,
            {
                "metadata": {"name": "more", "namespace": "default"},
                "rules": [{"apiGroups": ["", "x.dev"], "resources": ["pods", "things"], "verbs": ["get", "list"]}],
            },
        )
    assert refused.value.message == (
        f'roles.{RBAC} "more" is forbidden: user "jane" (groups=["system:authenticated"]) is attempting to grant RBAC permissions '
        'not currently held:\n{APIGroups:[""], Resources:["things"], Verbs:["get" "list"]}\n'
        '{APIGroups:["x.dev"], Resources:["pods"], Verbs:["get" "list"]}\n'
        '{APIGroups:["x.dev"], Resources:["things"], Verbs:["get" "list"]}'
    )
    with pytest.raises(ForbiddenError, match="not currently held"):
        await jane.create(ROLEBINDINGS, binding("boss", "cluster-admin"))
    bind = {"apiGroups": [RBAC], "resources": ["clusterroles"], "verbs": ["bind"], "resourceNames": ["cluster-admin"]}
    await client.create(CLUSTERROLES, {"metadata": {"name": "binder"}, "rules": [bind]})
    await client.create(CLUSTERROLEBINDINGS, binding("binder", "binder", namespace=""))
    await jane.create(ROLEBINDINGS, binding("boss", "cluster-admin"))


async def test_a_labelled_role_extends_view_and_only_the_mighty_aggregate(api: ApiServer, client: Client) -> None:
    await client.create(ROLEBINDINGS, binding("jane", "edit"))
    await client.create(CLUSTERROLEBINDINGS, binding("maker", "maker", namespace=""))
    every = {"apiGroups": [RBAC], "resources": ["clusterroles"], "verbs": ["create"]}
    await client.create(CLUSTERROLES, {"metadata": {"name": "maker"}, "rules": [every]})
    jane = as_user(api, JANE)
    with pytest.raises(ForbiddenError):
        await jane.list(PODTEMPLATES, "default")
    labels = {f"{RBAC}/aggregate-to-view": "true"}
    rules = [{"apiGroups": [""], "resources": ["podtemplates"], "verbs": ["list"]}]
    await client.create(CLUSTERROLES, {"metadata": {"name": "more", "labels": labels}, "rules": rules})
    assert (await jane.list(PODTEMPLATES, "default")).items == []
    aggregation = {"clusterRoleSelectors": [{"matchLabels": {"any": "thing"}}]}
    role = {"metadata": {"name": "all"}, "aggregationRule": aggregation}
    with pytest.raises(ForbiddenError, match="must have cluster-admin privileges to use the aggregationRule"):
        await jane.create(CLUSTERROLES, role)
    await client.create(CLUSTERROLES, role)


async def test_reviews(api: ApiServer, client: Client) -> None:
    await client.create(ROLEBINDINGS, binding("jane", "view"))
    wanted = {"verb": "list", "resource": "pods", "namespace": "default"}
    review: Object = {"metadata": {"namespace": "default"}, "spec": {"user": "jane", "resourceAttributes": wanted}}
    assert (await client.create(LOCAL_REVIEWS, review))["status"]["allowed"] is True
    review["spec"]["resourceAttributes"] = {**wanted, "verb": "delete"}
    assert (await client.create(LOCAL_REVIEWS, review))["status"]["allowed"] is False
    review["spec"]["resourceAttributes"] = {**wanted, "namespace": "kube-system"}
    with pytest.raises(BadRequestError):
        await client.create(LOCAL_REVIEWS, review)
    jane = as_user(api, JANE)
    found = (await jane.create(RULES_REVIEWS, {"metadata": {}, "spec": {"namespace": "default"}}))["status"]["resourceRules"]
    assert any("pods" in r["resources"] for r in found)
    await client.delete(ROLEBINDINGS, "jane", "default")
    found = (await jane.create(RULES_REVIEWS, {"metadata": {}, "spec": {"namespace": "default"}}))["status"]["resourceRules"]
    assert not any("pods" in r["resources"] for r in found)


async def test_impersonation_needs_the_right(api: ApiServer) -> None:
    names = {"Impersonate-User": "joe"}
    assert api.impersonate(ADMIN, names, ["devs"]) == UserInfo(name="joe", groups=("devs", "system:authenticated"))
    account = api.impersonate(ADMIN, {"Impersonate-User": "system:serviceaccount:shop:web"}, [])
    assert account.groups == ("system:serviceaccounts", "system:serviceaccounts:shop", "system:authenticated")
    with pytest.raises(ForbiddenError) as refused:
        api.impersonate(JANE, names, [])
    assert refused.value.message == (
        'users "joe" is forbidden: User "jane" cannot impersonate resource "users" in API group "" at the cluster scope'
    )


async def test_a_binding_of_a_role_that_is_not_there(api: ApiServer, client: Client) -> None:
    await client.create(ROLEBINDINGS, binding("jane", "admin"))
    with pytest.raises(NotFoundError):
        await as_user(api, JANE).create(ROLEBINDINGS, binding("x", "nothing", kind="Role"))


async def test_a_binding_without_a_role_or_with_another_is_invalid(api: ApiServer, client: Client) -> None:
    made = await client.create(ROLEBINDINGS, binding("jane", "view"))
    with pytest.raises(InvalidError, match="cannot change roleRef"):
        await client.update(ROLEBINDINGS, {**made, "roleRef": {**made["roleRef"], "name": "cluster-admin"}})
    with pytest.raises(InvalidError):
        await client.create(ROLEBINDINGS, {"metadata": {"name": "none", "namespace": "default"}})


async def test_one_named_object_may_be_watched_and_patched_but_not_made(api: ApiServer, client: Client) -> None:
    rule = {"apiGroups": [""], "resources": ["configmaps"], "verbs": ["list", "watch", "patch"], "resourceNames": ["one"]}
    await client.create(ROLES, {"metadata": {"name": "one", "namespace": "default"}, "rules": [rule]})
    await client.create(ROLEBINDINGS, binding("jane", "one", kind="Role"))
    jane = as_user(api, JANE)
    assert (await jane.list(CONFIGMAPS, "default", field_selector="metadata.name=one")).items == []
    for wanted in ("metadata.name=two", "metadata.name!=one", ""):
        with pytest.raises(ForbiddenError):
            await jane.list(CONFIGMAPS, "default", field_selector=wanted)
    applied = {"metadata": {"name": "one", "namespace": "default"}, "data": {"a": "1"}}
    with pytest.raises(ForbiddenError, match='configmaps "one" is forbidden: User "jane" cannot create resource "configmaps"'):
        await jane.apply(CONFIGMAPS, applied)
    await client.create(CONFIGMAPS, applied)
    assert (await jane.apply(CONFIGMAPS, {**applied, "data": {"b": "2"}}, force=True))["data"] == {"a": "1", "b": "2"}
