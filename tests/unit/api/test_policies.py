"""ValidatingAdmissionPolicies: expressions over writes, bindings, parameters, actions, and the words of a refusal."""

from __future__ import annotations

from typing import Any

import pytest

from lateen.client.client import Client
from lateen.client.inprocess import InProcessTransport
from lateen.cluster.api.cel.environment import CelError, compiled
from lateen.cluster.api.server import ApiServer
from lateen.cluster.api.user import UserInfo
from lateen.errors import ApiError, ForbiddenError, InvalidError
from lateen.kube.meta import Object
from lateen.kube.resources import CONFIGMAPS, DEPLOYMENTS, NAMESPACES, Resource

GROUP = "admissionregistration.k8s.io"
POLICIES = Resource(
    group=GROUP, version="v1", kind="ValidatingAdmissionPolicy", plural="validatingadmissionpolicies", namespaced=False
)
BINDINGS = Resource(
    group=GROUP,
    version="v1",
    kind="ValidatingAdmissionPolicyBinding",
    plural="validatingadmissionpolicybindings",
    namespaced=False,
)
WHERE = "ValidatingAdmissionPolicy 'p' with binding 'b' denied request: "


async def policy(client: Client, *validations: Any, resource: str = "configmaps", group: str = "", **more: Any) -> Object:
    rule = {"apiGroups": [group], "apiVersions": ["v1"], "operations": ["CREATE", "UPDATE"], "resources": [resource]}
    spec = {"matchConstraints": {"resourceRules": [rule]}, "validations": list(validations), **more}
    return await client.create(POLICIES, {"metadata": {"name": "p"}, "spec": spec})


async def bind(client: Client, *actions: str, name: str = "b", **more: Any) -> Object:
    spec = {"policyName": "p", "validationActions": list(actions or ("Deny",)), **more}
    return await client.create(BINDINGS, {"metadata": {"name": name}, "spec": spec})


def config_map(name: str = "a", namespace: str = "default", labels: Any = None, **data: str) -> Object:
    return {"metadata": {"name": name, "namespace": namespace, "labels": labels or {}}, "data": data}


async def refused(client: Client, obj: Object) -> ApiError:
    with pytest.raises(ApiError) as error:
        await client.create(CONFIGMAPS, obj)
    return error.value


async def test_a_policy_without_binding_does_nothing(client: Client) -> None:
    made = await policy(client, {"expression": "false"})
    assert made["spec"]["failurePolicy"] == "Fail" and made["spec"]["matchConstraints"]["matchPolicy"] == "Equivalent"
    await client.create(CONFIGMAPS, config_map("a"))
    await bind(client)
    error = await refused(client, config_map("b"))
    assert str(error) == f'configmaps "b" is forbidden: {WHERE}failed expression: false'
    assert (error.status["reason"], error.status["code"]) == ("Invalid", 422)
    assert error.status["details"]["causes"] == [{"message": f"{WHERE}failed expression: false"}]
    await client.delete(BINDINGS, "b")
    await client.create(CONFIGMAPS, config_map("b"))


@pytest.mark.parametrize(
    ("validation", "reason", "message"),
    [
        ({"expression": "object.data.x == '1'", "message": "x must be 1"}, "Invalid", "x must be 1"),
        ({"expression": "object.data.x == '1'", "reason": "Forbidden", "message": "no"}, "Forbidden", "no"),
        (
            {"expression": "size(object.data) > 3", "messageExpression": "'only ' + string(size(object.data))", "message": "m"},
            "Invalid",
            "only 1",
        ),
        ({"expression": "size(object.data) > 3", "messageExpression": "object.nope", "message": "m"}, "Invalid", "m"),
        ({"expression": "object.nope == 1"}, "Invalid", "expression 'object.nope == 1' resulted in error: no such key: nope"),
        ({"expression": "variables.big", "message": "too small"}, "Invalid", "too small"),
        ({"expression": "namespaceObject.metadata.labels['tier'] == 'gold'", "message": "not gold"}, "Invalid", "not gold"),
        ({"expression": "request.operation == 'UPDATE' && oldObject != null", "message": "new"}, "Invalid", "new"),
        (
            {"expression": "authorizer.group('apps').resource('deployments').namespace('x').check('create').allowed() == false"},
            "Invalid",
            "failed expression: authorizer.group('apps').resource('deployments').namespace('x').check('create').allowed() == false",
        ),
        ({"expression": "quantity(object.data.x).isLessThan(quantity('1Ki'))", "message": "big"}, "Invalid", "big"),
    ],
)
async def test_the_words_of_a_refusal(client: Client, validation: Any, reason: str, message: str) -> None:
    await client.patch(NAMESPACES, "default", {"metadata": {"labels": {"tier": "tin"}}})
    await policy(
        client,
        validation,
        variables=[{"name": "count", "expression": "size(object.data)"}, {"name": "big", "expression": "variables.count > 1"}],
    )
    await bind(client)
    error = await refused(client, config_map(x="2k"))
    assert str(error) == f'configmaps "a" is forbidden: {WHERE}{message}' and error.status["reason"] == reason


async def test_who_may_what_is_asked_of_rbac(api: ApiServer, client: Client) -> None:
    check = "authorizer.group('').resource('secrets').namespace(request.namespace).check('list').allowed()"
    await policy(client, {"expression": check, "message": "you may not list secrets"})
    await bind(client)
    rbac = "/apis/rbac.authorization.k8s.io/v1"
    role = {"metadata": {"name": "maps"}, "rules": [{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["create"]}]}
    await client.raw("POST", f"{rbac}/clusterroles", body=role)
    subjects = [{"kind": "User", "name": "jane", "apiGroup": "rbac.authorization.k8s.io"}]
    ref = {"kind": "ClusterRole", "name": "maps", "apiGroup": "rbac.authorization.k8s.io"}
    await client.raw("POST", f"{rbac}/clusterrolebindings", body={"metadata": {"name": "x"}, "roleRef": ref, "subjects": subjects})
    await client.create(CONFIGMAPS, config_map())
    jane = Client(InProcessTransport(api.handler_for(UserInfo(name="jane"))))
    assert "you may not list secrets" in str(await refused(jane, config_map("b")))


async def test_failure_policy_and_match_conditions(client: Client) -> None:
    conditions = [{"name": "team", "expression": "object.metadata.labels.team == 'a'"}]
    made = await policy(client, {"expression": "object.data.x == '1'"}, matchConditions=conditions)
    await bind(client)
    assert "no such key: labels" in str(await refused(client, config_map("a")))
    await client.create(CONFIGMAPS, config_map("a", labels={"team": "b"}))
    assert "failed expression" in str(await refused(client, config_map("b", labels={"team": "a"}, x="2")))
    await client.patch(POLICIES, "p", {"spec": {"failurePolicy": "Ignore"}})
    await client.create(CONFIGMAPS, config_map("c"))
    await client.create(CONFIGMAPS, config_map("d", labels={"team": "a"}))
    assert made["metadata"]["generation"] == 1


async def test_bindings_narrow_and_parameters_vary(client: Client) -> None:
    await policy(
        client,
        {"expression": "object.spec.replicas <= int(params.data.most)", "messageExpression": "'at most ' + params.data.most"},
        resource="deployments",
        group="apps",
        paramKind={"apiVersion": "v1", "kind": "ConfigMap"},
    )
    await client.create(NAMESPACES, {"metadata": {"name": "prod", "labels": {"env": "prod"}}})
    only = {"namespaceSelector": {"matchLabels": {"env": "prod"}}}
    await bind(client, paramRef={"name": "limits", "parameterNotFoundAction": "Deny"}, matchResources=only)
    words = "failed to configure binding: no params found for policy binding with `Deny` parameterNotFoundAction"
    with pytest.raises(InvalidError, match=words):
        await client.create(DEPLOYMENTS, deployment("prod", 3))
    await client.create(CONFIGMAPS, config_map("limits", "prod", most="2"))
    with pytest.raises(InvalidError, match=f"{WHERE}at most 2"):
        await client.create(DEPLOYMENTS, deployment("prod", 3))
    await client.create(DEPLOYMENTS, deployment("prod", 2))
    await client.create(DEPLOYMENTS, deployment("default", 3))
    chosen = {"selector": {"matchLabels": {"limits": "yes"}}, "namespace": "default", "parameterNotFoundAction": "Allow"}
    await bind(client, name="all", paramRef=chosen)
    await client.create(DEPLOYMENTS, deployment("default", 3, "second"))
    await client.create(CONFIGMAPS, config_map("one", labels={"limits": "yes"}, most="9"))
    await client.create(CONFIGMAPS, config_map("two", labels={"limits": "yes"}, most="1"))
    with pytest.raises(InvalidError, match="with binding 'all' denied request: at most 1"):
        await client.create(DEPLOYMENTS, deployment("default", 3, "third"))


def deployment(namespace: str, replicas: int, name: str = "web") -> Object:
    labels = {"a": "b"}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "a", "image": "b"}]}}
    spec = {"replicas": replicas, "selector": {"matchLabels": labels}, "template": template}
    return {"metadata": {"name": name, "namespace": namespace}, "spec": spec}


async def test_warn_instead_of_deny(client: Client) -> None:
    await policy(client, {"expression": "has(object.data.owner)", "message": "say who owns it"})
    await bind(client, "Warn", "Audit")
    answer = await client.raw("POST", "/api/v1/namespaces/default/configmaps", body=config_map(x="1"))
    warning = "Validation failed for ValidatingAdmissionPolicy 'p' with binding 'b': say who owns it"
    assert answer.headers["Warning"] == f'299 - "{warning}"'


async def test_rules_by_name_and_exclusions(client: Client) -> None:
    rule = {"apiGroups": [""], "apiVersions": ["*"], "operations": ["*"], "resources": ["configmaps"]}
    match = {"resourceRules": [{**rule, "resourceNames": ["a", "b"]}], "excludeResourceRules": [{**rule, "resourceNames": ["b"]}]}
    await policy(client, {"expression": "false"}, matchConstraints=match)
    await bind(client)
    await client.create(CONFIGMAPS, config_map("b"))
    await client.create(CONFIGMAPS, config_map("c"))
    await refused(client, config_map("a"))


async def test_what_cannot_be_is_refused(client: Client) -> None:
    with pytest.raises(InvalidError, match="compilation failed: ERROR: <input>:1:1: undeclared reference to 'nope'"):
        await policy(client, {"expression": "nope"})
    with pytest.raises(InvalidError, match="must evaluate to bool"):
        await policy(client, {"expression": "'text'"})
    with pytest.raises(InvalidError, match="must not contain both Deny and Warn"):
        await bind(client, "Deny", "Warn")
    with pytest.raises(InvalidError, match="one of name or selector must be specified"):
        await bind(client, paramRef={"parameterNotFoundAction": "Deny"})


@pytest.mark.usefixtures("client")
async def test_nobody_without_rights_makes_policies(api: ApiServer) -> None:
    jane = Client(InProcessTransport(api.handler_for(UserInfo(name="jane"))))
    with pytest.raises(ForbiddenError):
        await policy(jane, {"expression": "true"})


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("quantity('500m').isLessThan(quantity('1'))", True),
        ("quantity('1').add(quantity('500m')).compareTo(quantity('1.5'))", 0),
        ("quantity('2').sub(1).asInteger()", 1),
        ("isQuantity('1x')", False),
        ("ip('10.0.0.1').family()", 4),
        ("ip.isCanonical('::0001')", False),
        ("cidr('10.0.0.0/8').containsIP('10.1.1.1')", True),
        ("cidr('10.0.0.0/8').containsCIDR('11.0.0.0/16')", False),
        ("cidr('10.1.2.3/8').masked().prefixLength()", 8),
        ("url('https://user@a.b:80/x?q=1').getHost()", "a.b:80"),
        ("url('https://a.b:80/x?q=1').getQuery()", {"q": ["1"]}),
        ("isURL('x y')", False),
        ("'abc 123'.find('[0-9]+')", "123"),
        ("'a1b2'.findAll('[0-9]')", ["1", "2"]),
        ("[1, 2, 3].isSorted() && [1, 2].sum() == 3 && [1, 5].max() == 5", True),
        ("semver('1.2.3').isLessThan(semver('1.10.0'))", True),
        ("semver('1.0.0-alpha').compareTo(semver('1.0.0'))", -1),
        ("isSemver('v1')", False),
        ("format.dns1123Label().validate('a-b').hasValue()", False),
        ("format.dns1123Label().validate('A_').hasValue()", True),
        ("format.uuid().validate('x').value()", ["does not match the UUID format"]),
        ("format.named('date').value().validate('2026-01-32').value()", ["invalid date"]),
        ("format.named('nope').hasValue()", False),
        ("[1, 2, 1].lastIndexOf(1) * 10 + [1, 2].indexOf(3) + 'abc'.indexOf('c')", 21),
    ],
)
def test_the_libraries_of_kubernetes(text: str, value: Any) -> None:
    assert compiled(text, ()).run({}) == value


@pytest.mark.parametrize("text", ["quantity('x')", "ip('1.2.3')", "[].min()", "quantity('1.5').asInteger()", "semver('1')"])
def test_errors_of_the_libraries(text: str) -> None:
    with pytest.raises(CelError):
        compiled(text, ()).run({})
