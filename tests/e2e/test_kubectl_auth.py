"""Who may what, asked by the real kubectl over HTTPS: roles, bindings, tokens, client certificates, protobuf bodies."""

from __future__ import annotations

import base64
import json
import ssl
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest
import yaml

from lateen.cluster.api.auth.pki import load_or_make, sign

pytestmark = pytest.mark.peer


@pytest.fixture(scope="module")
def team(kube: Any) -> str:
    """A namespace where jane may view and the account ``bot`` may edit."""
    kube.kubectl("create", "namespace", "team")
    kube.kubectl("-n", "team", "create", "serviceaccount", "bot")
    kube.kubectl("-n", "team", "create", "rolebinding", "jane", "--clusterrole=view", "--user=jane")
    kube.kubectl("-n", "team", "create", "rolebinding", "bot", "--clusterrole=edit", "--serviceaccount=team:bot")
    return "team"


def get(kube: Any, *args: str) -> Any:
    return json.loads(kube.kubectl("get", *args, "-o", "json"))


def with_token(kube: Any, token: str, *args: str) -> Any:
    """kubectl with nothing but a bearer token."""
    ca = kube.folder / "ca.crt"
    ca.write_bytes(kube.ca)
    options = ["--server", kube.url, "--certificate-authority", str(ca), "--token", token]
    return kube.run(*options, *args, env={"KUBECONFIG": "/dev/null"})


def test_protobuf_bodies(kube: Any) -> None:
    kube.kubectl("create", "namespace", "proto")
    kube.kubectl("-n", "proto", "create", "configmap", "cm", "--from-literal=a=1", "--from-literal=empty=")
    kube.kubectl("-n", "proto", "create", "secret", "generic", "s", "--from-literal=password=hunter2")
    kube.kubectl("-n", "proto", "create", "deployment", "web", "--image=nginx", "--replicas=0", "--port=80")
    kube.kubectl("-n", "proto", "create", "service", "clusterip", "web", "--tcp=80:8080")
    kube.kubectl("-n", "proto", "create", "job", "once", "--image=busybox", "--", "echo", "hi")
    kube.kubectl("-n", "proto", "create", "quota", "q", "--hard=cpu=1,memory=2Gi")
    kube.kubectl("-n", "proto", "create", "poddisruptionbudget", "pdb", "--selector=app=web", "--min-available=50%")
    assert get(kube, "-n", "proto", "configmap", "cm")["data"] == {"a": "1", "empty": ""}
    assert base64.b64decode(get(kube, "-n", "proto", "secret", "s")["data"]["password"]) == b"hunter2"
    spec = get(kube, "-n", "proto", "deployment", "web")["spec"]
    assert spec["replicas"] == 0
    assert spec["template"]["spec"]["containers"][0]["ports"] == [{"containerPort": 80, "protocol": "TCP"}]
    assert get(kube, "-n", "proto", "service", "web")["spec"]["ports"][0]["targetPort"] == 8080
    assert get(kube, "-n", "proto", "quota", "q")["spec"]["hard"] == {"cpu": "1", "memory": "2Gi"}
    assert get(kube, "-n", "proto", "pdb", "pdb")["spec"]["minAvailable"] == "50%"
    assert "not a valid" not in kube.refused("create", "namespace", "Not_A_Name")


def test_a_viewer_reads_and_no_more(kube: Any, team: str) -> None:
    jane = ("--as", "jane", "-n", team)
    kube.kubectl(*jane, "get", "pods,deployments,configmaps")
    assert 'User "jane" cannot create resource "configmaps"' in kube.refused(*jane, "create", "configmap", "a")
    said = kube.refused(*jane, "get", "secrets")
    assert said.strip() == (
        'Error from server (Forbidden): secrets is forbidden: User "jane" cannot list resource "secrets" '
        'in API group "" in the namespace "team"'
    )
    assert "at the cluster scope" in kube.refused("--as", "jane", "get", "pods", "-A")
    assert 'in the namespace "default"' in kube.refused("--as", "jane", "-n", "default", "delete", "pods", "x")


def test_can_i(kube: Any, team: str) -> None:
    jane = ("auth", "can-i", "--as", "jane", "-n", team)
    assert kube.kubectl("auth", "can-i", "*", "*").strip() == "yes"
    assert kube.kubectl(*jane, "list", "pods").strip() == "yes"
    assert kube.run(*jane, "delete", "pods").stdout.strip() == "no"
    assert kube.kubectl(*jane, "get", "pods/log").strip() == "yes"
    listed = kube.kubectl(*jane, "--list")
    rows = {line.split()[0]: line for line in listed.splitlines()}
    assert "[get list watch]" in rows["deployments.apps"]
    assert "selfsubjectreviews.authentication.k8s.io" in rows
    who = json.loads(kube.kubectl("auth", "whoami", "-o", "json", "--as", "jane", "--as-group", "devs"))
    assert who["status"]["userInfo"] == {"username": "jane", "groups": ["devs", "system:authenticated"]}


def test_roles_and_bindings_by_hand(kube: Any, team: str) -> None:
    kube.kubectl("-n", team, "create", "role", "secrets", "--verb=get", "--resource=secrets", "--resource-name=one")
    kube.kubectl("-n", team, "create", "rolebinding", "joe", "--role=secrets", "--user=joe")
    kube.kubectl("-n", team, "create", "secret", "generic", "one")
    kube.kubectl("-n", team, "create", "secret", "generic", "two")
    kube.kubectl("--as", "joe", "-n", team, "get", "secret", "one")
    kube.refused("--as", "joe", "-n", team, "get", "secret", "two")
    kube.kubectl("create", "clusterrole", "nodes", "--verb=list", "--resource=nodes")
    kube.kubectl("create", "clusterrole", "metrics", "--verb=get", "--non-resource-url=/metrics")
    kube.kubectl("create", "clusterrolebinding", "ops-nodes", "--clusterrole=nodes", "--group=ops")
    kube.kubectl("create", "clusterrolebinding", "ops-metrics", "--clusterrole=metrics", "--group=ops")
    ops = ("--as", "ann", "--as-group", "ops")
    kube.kubectl(*ops, "get", "nodes")
    assert "apiserver_request" in kube.kubectl(*ops, "get", "--raw", "/metrics")
    assert 'cannot get path "/metrics"' in kube.refused("--as", "joe", "get", "--raw", "/metrics")
    kube.kubectl("delete", "clusterrolebinding", "ops-nodes")
    kube.refused(*ops, "get", "nodes")
    role = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRole",
        "metadata": {"name": "everything"},
        "rules": [{"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}],
    }
    kube.kubectl("create", "clusterrole", "writer", "--verb=create", "--resource=clusterroles.rbac.authorization.k8s.io")
    kube.kubectl("create", "clusterrolebinding", "writer", "--clusterrole=writer", "--user=joe")
    said = kube.refused("--as", "joe", "create", "-f", "-", stdin=yaml.safe_dump(role))
    assert 'attempting to grant RBAC permissions not currently held:\n{APIGroups:["*"], Resources:["*"], Verbs:["*"]}' in said


def test_a_token_lives_as_long_as_its_account_and_pod(kube: Any, team: str) -> None:
    kube.kubectl("-n", team, "run", "holder", "--image=busybox", "--overrides", '{"spec": {"serviceAccountName": "bot"}}')
    free = kube.kubectl("-n", team, "create", "token", "bot").strip()
    bound = kube.kubectl("-n", team, "create", "token", "bot", "--bound-object-kind=Pod", "--bound-object-name=holder").strip()
    claims = json.loads(base64.urlsafe_b64decode(bound.split(".")[1] + "=="))
    assert claims["sub"] == "system:serviceaccount:team:bot"
    assert claims["kubernetes.io"]["pod"]["name"] == "holder"
    for token in (free, bound):
        who = json.loads(with_token(kube, token, "auth", "whoami", "-o", "json").stdout)["status"]["userInfo"]
        assert who["username"] == "system:serviceaccount:team:bot"
        assert "system:serviceaccounts:team" in who["groups"]
        made = with_token(kube, token, "-n", team, "create", "configmap", "by-bot", "--dry-run=server")
        assert made.returncode == 0, made.stderr
        assert "Forbidden" in with_token(kube, token, "-n", "default", "get", "pods").stderr
    kube.kubectl("-n", team, "delete", "pod", "holder", "--now")
    assert "Unauthorized" in with_token(kube, bound, "auth", "whoami").stderr
    assert with_token(kube, free, "auth", "whoami").returncode == 0
    kube.kubectl("-n", team, "delete", "serviceaccount", "bot")
    kube.kubectl("-n", team, "create", "serviceaccount", "bot")
    assert "Unauthorized" in with_token(kube, free, "auth", "whoami").stderr
    assert "Unauthorized" in with_token(kube, "nonsense", "auth", "whoami").stderr


def test_an_audience_elsewhere_is_not_ours(kube: Any, team: str) -> None:
    token = kube.kubectl("-n", team, "create", "token", "bot", "--audience=vault", "--duration=10m").strip()
    assert "Unauthorized" in with_token(kube, token, "auth", "whoami").stderr
    assert "may not specify a duration" in kube.refused("-n", team, "create", "token", "bot", "--duration=1m")
    review = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": {"token": token, "audiences": ["vault"]}}
    answer = json.loads(kube.kubectl("create", "--validate=false", "-f", "-", "-o", "json", stdin=json.dumps(review)))["status"]
    assert answer["authenticated"] is True and answer["audiences"] == ["vault"]
    keys = json.loads(kube.kubectl("get", "--raw", "/openid/v1/jwks"))["keys"]
    assert keys[0]["kty"] == "EC"
    page = json.loads(kube.kubectl("get", "--raw", "/.well-known/openid-configuration"))
    assert page["jwks_uri"] == f"{kube.url}/openid/v1/jwks"


def test_a_client_certificate_names_its_user(kube: Any, tmp_path: Path) -> None:
    pki = load_or_make(kube.folder / "pki", ["127.0.0.1"])
    for name, ca in (("ours", pki.ca), ("theirs", load_or_make(tmp_path / "other", ["127.0.0.1"]).ca)):
        pair = sign(ca, "carol", groups=["ops", "devs"])
        (tmp_path / f"{name}.crt").write_bytes(pair.certificate)
        (tmp_path / f"{name}.key").write_bytes(pair.key)

    def whoami(name: str) -> Any:
        certificate = ["--client-certificate", str(tmp_path / f"{name}.crt"), "--client-key", str(tmp_path / f"{name}.key")]
        trust = ["--server", kube.url, "--certificate-authority", str(pki.ca_file)]
        return kube.run(*trust, *certificate, "auth", "whoami", "-o", "json", env={"KUBECONFIG": "/dev/null"})

    found = json.loads(whoami("ours").stdout)["status"]["userInfo"]
    assert found["username"] == "carol" and found["groups"] == ["ops", "devs", "system:authenticated"]
    assert whoami("theirs").returncode != 0


def test_nobody_reads_little(kube: Any) -> None:
    context = ssl.create_default_context(cadata=kube.ca.decode())
    with urllib.request.urlopen(f"{kube.url}/version", context=context) as answer:
        assert json.load(answer)["major"] == "1"
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(f"{kube.url}/api/v1/pods", context=context)
    with refused.value as error:
        assert error.code == 403
        assert 'User "system:anonymous" cannot list resource "pods"' in json.load(error)["message"]
