"""Certificates, tokens and rules, each by itself."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from lateen.aio.clock import VirtualClock
from lateen.cluster.api.auth.authenticator import Authenticator
from lateen.cluster.api.auth.pki import load_or_make, make_ca, sign
from lateen.cluster.api.auth.rbac import Attributes, Rbac, covers
from lateen.cluster.api.auth.tokens import ISSUER, ServiceAccountTokens, StaticTokens
from lateen.cluster.api.user import UserInfo
from lateen.errors import UnauthorizedError

ACCOUNT = {"metadata": {"name": "web", "namespace": "shop", "uid": "u1"}}
POD = {"metadata": {"name": "p", "namespace": "shop", "uid": "u2"}}
Stored = dict[tuple[str, str, str], Any]


def tokens(clock: VirtualClock, stored: Stored) -> ServiceAccountTokens:
    return ServiceAccountTokens(make_ca().key, clock=clock, find=lambda *key: stored.get(key))


def test_the_pki_is_kept_and_the_serving_certificate_follows_the_addresses(tmp_path: Path) -> None:
    first = load_or_make(tmp_path, ["127.0.0.1"])
    again = load_or_make(tmp_path, ["127.0.0.1"])
    assert (again.ca, again.server, again.service_account_key) == (first.ca, first.server, first.service_account_key)
    moved = load_or_make(tmp_path, ["127.0.0.1", "127.96.0.1"])
    assert moved.ca == first.ca and moved.server != first.server
    assert {f.stat().st_mode & 0o777 for f in tmp_path.glob("*.key")} == {0o600}
    assert moved.server_context().verify_mode is ssl.CERT_OPTIONAL


async def test_a_token_ends_with_its_time_its_account_and_its_pod() -> None:
    clock = VirtualClock()
    stored: Stored = {("serviceaccounts", "shop", "web"): ACCOUNT, ("pods", "shop", "p"): POD}
    issuer = tokens(clock, stored)
    free, expiry = issuer.issue(ACCOUNT, audiences=[], seconds=600)
    bound, _ = issuer.issue(ACCOUNT, audiences=[ISSUER], seconds=3600, bound={"kind": "Pod", "name": "p", "uid": "u2"}, node="n1")
    assert expiry == clock.now().timestamp() + 600
    user = issuer.user(bound)
    assert user is not None
    assert user.name == "system:serviceaccount:shop:web" and user.uid == "u1"
    assert user.groups == ("system:serviceaccounts", "system:serviceaccounts:shop", "system:authenticated")
    assert user.extra["authentication.kubernetes.io/pod-name"] == ("p",)
    assert user.extra["authentication.kubernetes.io/node-name"] == ("n1",)
    await clock.advance(601)
    with pytest.raises(UnauthorizedError):
        issuer.user(free)
    stored["pods", "shop", "p"] = {"metadata": {**POD["metadata"], "uid": "another"}}
    with pytest.raises(UnauthorizedError):
        issuer.user(bound)
    stored["pods", "shop", "p"] = POD
    assert issuer.user(bound) == user
    del stored["serviceaccounts", "shop", "web"]
    with pytest.raises(UnauthorizedError):
        issuer.user(bound)


def test_tokens_of_others_are_nobodys() -> None:
    stored: Stored = {("serviceaccounts", "shop", "web"): ACCOUNT}
    ours, theirs = tokens(VirtualClock(), stored), tokens(VirtualClock(), stored)
    token, _ = theirs.issue(ACCOUNT, audiences=[], seconds=600)
    vault, _ = ours.issue(ACCOUNT, audiences=["vault"], seconds=600)
    unsigned = jwt.encode(jwt.decode(token, options={"verify_signature": False}), key="", algorithm="none")
    for wrong in (token, vault, unsigned, token[:-4] + "AAAA", "", "a.b.c"):
        assert ours.user(wrong) is None
    assert ours.user(vault, audiences=["vault"]) is not None


def test_a_token_is_verifiable_with_the_published_key() -> None:
    issuer = tokens(VirtualClock(), {})
    token, _ = issuer.issue(ACCOUNT, audiences=["x"], seconds=600)
    key = jwt.PyJWKSet.from_dict(issuer.jwks())[jwt.get_unverified_header(token)["kid"]]
    claims = jwt.decode(
        token, key, algorithms=["ES256"], audience="x", options={"verify_exp": False, "verify_iat": False, "verify_nbf": False}
    )
    assert claims["kubernetes.io"] == {"namespace": "shop", "serviceaccount": {"name": "web", "uid": "u1"}}


def test_static_tokens_are_kept_as_hashes(tmp_path: Path) -> None:
    file, user = tmp_path / "tokens.json", UserInfo(name="ann", groups=("devs",))
    token = StaticTokens(file).add(user)
    assert token not in file.read_text() and file.stat().st_mode & 0o777 == 0o600
    assert StaticTokens(file).user(token) == user
    assert StaticTokens(file).user(token + "x") is None


def test_certificates_and_tokens_name_users(tmp_path: Path) -> None:
    static = StaticTokens(tmp_path / "tokens.json")
    token = static.add(UserInfo(name="ann"))
    asks = Authenticator(static, tokens(VirtualClock(), {}))
    pair = sign(make_ca(), "carol", groups=["ops"])
    der = x509.load_pem_x509_certificate(pair.certificate).public_bytes(serialization.Encoding.DER)
    assert asks.authenticate(token="", certificate=der) == UserInfo(name="carol", groups=("ops", "system:authenticated"))
    assert asks.authenticate(token="", certificate=None) is None
    found = asks.authenticate(token=token, certificate=None)
    assert found is not None and found.name == "ann"
    with pytest.raises(UnauthorizedError):
        asks.authenticate(token="nonsense", certificate=None)


def rule(verbs: str, resources: str = "", *, groups: str = "core", names: str = "", urls: str = "") -> dict[str, Any]:
    found = {
        "verbs": verbs.split(),
        "apiGroups": ["" if g == "core" else g for g in groups.split()],
        "resources": resources.split(),
    }
    return found | {"resourceNames": names.split(), "nonResourceURLs": urls.split()}


@pytest.mark.parametrize(
    ("given", "wanted", "allowed"),
    [
        (rule("get list", "pods"), Attributes(verb="get", resource="pods"), True),
        (rule("get", "pods"), Attributes(verb="list", resource="pods"), False),
        (rule("*", "*", groups="*"), Attributes(verb="x", group="a.b", resource="c", subresource="d"), True),
        (rule("*", "*", groups="*"), Attributes(verb="get", path="/metrics"), False),
        (rule("get", "pods"), Attributes(verb="get", resource="pods", subresource="log"), False),
        (rule("get", "pods/log"), Attributes(verb="get", resource="pods", subresource="log"), True),
        (rule("get", "pods/log"), Attributes(verb="get", resource="pods"), False),
        (
            rule("update", "*/scale", groups="apps"),
            Attributes(verb="update", group="apps", resource="x", subresource="scale"),
            True,
        ),
        (rule("get", "pods", groups="apps"), Attributes(verb="get", resource="pods"), False),
        (rule("get", "secrets", names="a b"), Attributes(verb="get", resource="secrets", name="b"), True),
        (rule("get", "secrets", names="a b"), Attributes(verb="get", resource="secrets", name="c"), False),
        (rule("list", "secrets", names="a"), Attributes(verb="list", resource="secrets"), False),
        (rule("get", urls="/healthz /api/*"), Attributes(verb="get", path="/api/v1"), True),
        (rule("get", urls="/healthz"), Attributes(verb="get", path="/healthz/etcd"), False),
        (rule("get", urls="*"), Attributes(verb="get", path="/any"), True),
    ],
)
def test_a_rule_covers(given: dict[str, Any], wanted: Attributes, allowed: bool) -> None:
    assert covers(given, wanted) is allowed


def test_roles_aggregate_what_they_select() -> None:
    def role(name: str, rules: list[Any], labels: dict[str, str], *, selects: str = "") -> dict[str, Any]:
        aggregation = {"aggregationRule": {"clusterRoleSelectors": [{"matchLabels": {"to": selects}}]}} if selects else {}
        return {"metadata": {"name": name, "labels": labels}, "rules": rules, **aggregation}

    roles = [
        role("whole", [], {"to": "part"}, selects="whole"),
        role("part", [rule("get", "old")], {"to": "whole"}, selects="part"),  # a ring, which ends; own rules do not count
        role("branch", [rule("get", "pods")], {"to": "whole"}),
        role("leaf", [rule("get", "secrets")], {"to": "part"}),
        role("other", [rule("get", "nodes")], {"to": "nobody"}),
    ]
    binding = {"roleRef": {"kind": "ClusterRole", "name": "whole"}, "subjects": [{"kind": "User", "name": "ann"}]}
    rbac = Rbac(lambda plural, _: {"clusterroles": roles, "clusterrolebindings": [binding]}.get(plural, ()), lambda: 0)
    may = {r: rbac.allowed(UserInfo(name="ann"), Attributes(verb="get", resource=r)) for r in ("pods", "secrets", "nodes", "old")}
    assert may == {"pods": True, "secrets": True, "nodes": False, "old": False}


def test_decisions_follow_the_stored_objects() -> None:
    version = [0]
    stored: dict[tuple[str, str], Any] = {}
    rbac = Rbac(lambda plural, namespace: stored.get((plural, namespace), ()), lambda: version[0])
    user = UserInfo(name="system:serviceaccount:shop:web", groups=("system:authenticated",))
    wanted = Attributes(verb="get", resource="pods", namespace="shop")
    assert not rbac.allowed(user, wanted)
    role = {"metadata": {"name": "r", "namespace": "shop"}, "rules": [rule("get", "pods")]}
    subject = {"kind": "ServiceAccount", "name": "web"}
    stored["roles", "shop"] = [role]
    stored["rolebindings", "shop"] = [{"roleRef": {"kind": "Role", "name": "r"}, "subjects": [subject]}]
    version[0] = 1
    assert rbac.allowed(user, wanted)
    assert not rbac.allowed(user, Attributes(verb="get", resource="pods", namespace="other"))
    assert not rbac.allowed(UserInfo(name="system:serviceaccount:other:web"), wanted)
    assert [a.verb for a in rbac.missing(user, [rule("get delete", "pods")], "shop")] == ["delete"]
    del stored["rolebindings", "shop"]
    version[0] = 2
    assert rbac.rules(user, "shop") == []
