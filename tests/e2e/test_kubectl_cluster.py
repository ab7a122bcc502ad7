"""kubectl 1.37 against the API server: discovery, access, custom resources, events."""

from __future__ import annotations

import json
import ssl
import urllib.error
import urllib.request
from typing import Any

import pytest

pytestmark = pytest.mark.peer

FOOS = """
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: foos.x.dev}
spec:
  group: x.dev
  scope: Namespaced
  names: {plural: foos, kind: Foo, shortNames: [fo], categories: [all]}
  versions:
  - name: v1
    served: true
    storage: true
    additionalPrinterColumns:
    - {name: Size, type: integer, jsonPath: .spec.size}
    - {name: Ready, type: string, jsonPath: '.status.conditions[?(@.type=="Ready")].status'}
    subresources: {status: {}, scale: {specReplicasPath: .spec.size, statusReplicasPath: .status.size}}
    schema: &schema
      openAPIV3Schema:
        type: object
        properties:
          spec:
            type: object
            required: [size]
            properties:
              size: {type: integer, minimum: 1, description: How many.}
              color: {type: string, default: red}
          status:
            type: object
            x-kubernetes-preserve-unknown-fields: true
  - name: v1alpha1
    served: true
    storage: false
    schema: *schema
"""
FOO = "apiVersion: x.dev/v1\nkind: Foo\nmetadata: {name: f}\nspec: {size: 3}\n"


def test_discovery(kube: Any) -> None:
    assert "Server Version: v1.37" in kube.kubectl("version")
    versions = kube.kubectl("api-versions").split()
    assert {"v1", "apps/v1", "batch/v1", "rbac.authorization.k8s.io/v1"} <= set(versions)
    rows = [line.split() for line in kube.kubectl("api-resources", "-o", "wide").splitlines()]
    pods = next(r for r in rows if r[0] == "pods")
    assert pods[1:5] == ["po", "v1", "true", "Pod"] and "watch" in pods[5]
    names = kube.kubectl("api-resources", "--namespaced=false", "-o", "name").split()
    assert "nodes" in names and "pods" not in names


def test_explain(kube: Any) -> None:
    assert "FIELD: replicas <integer>" in kube.kubectl("explain", "deployment.spec.replicas")
    assert "containers\t<[]Container> -required-" in kube.kubectl("explain", "pod.spec")


def test_access(kube: Any) -> None:
    assert kube.kubectl("auth", "can-i", "delete", "nodes") == "yes\n"
    assert "kubernetes-admin" in kube.kubectl("auth", "whoami")
    refused = kube.run("auth", "can-i", "get", "pods", "--as=jane")
    assert refused.returncode == 1 and refused.stdout == "no\n"
    kube.kubectl("create", "role", "reader", "--verb=get,list", "--resource=pods")
    kube.kubectl("create", "rolebinding", "reader", "--role=reader", "--user=jane")
    assert kube.kubectl("auth", "can-i", "get", "pods", "--as=jane") == "yes\n"
    assert kube.kubectl("get", "pods", "--as=jane") == ""
    said = kube.refused("get", "secrets", "--as=jane")
    assert 'secrets is forbidden: User "jane" cannot list resource "secrets" in API group "" in the namespace "default"' in said
    assert "pods" in kube.kubectl("auth", "can-i", "--list", "--as=jane")


def test_nobody_grants_more_than_they_have(kube: Any) -> None:
    kube.kubectl("create", "clusterrole", "granter", "--verb=create,get,update,patch", "--resource=roles.rbac.authorization.k8s.io")
    kube.kubectl("create", "clusterrolebinding", "granter", "--clusterrole=granter", "--user=eve")
    said = kube.refused("create", "role", "more", "--verb=get", "--resource=secrets", "--as=eve")
    assert "attempting to grant RBAC permissions not currently held" in said


def test_service_account_token_is_a_user(kube: Any) -> None:
    kube.kubectl("create", "sa", "robot")
    token = kube.kubectl("create", "token", "robot", "--duration=1h").strip()
    said = kube.kubectl(
        "auth", "whoami", "--token", token, "--kubeconfig=/dev/null", f"--server={kube.url}", "--insecure-skip-tls-verify"
    )
    assert "system:serviceaccount:default:robot" in said


def test_custom_resources(kube: Any) -> None:
    kube.kubectl("apply", "-f", "-", stdin=FOOS)
    kube.kubectl("wait", "--for=condition=Established", "crd/foos.x.dev", "--timeout=5s")
    assert kube.kubectl("apply", "-f", "-", stdin=FOO) == "foo.x.dev/f created\n"
    found = json.loads(kube.kubectl("get", "foo", "f", "-o", "json"))
    assert found["spec"] == {"size": 3, "color": "red"} and found["metadata"]["generation"] == 1
    said = kube.refused("apply", "-f", "-", stdin=FOO.replace("size: 3", "size: 0"))
    assert "spec.size in body should be greater than or equal to 1" in said
    assert 'unknown field "spec.bad"' in kube.refused("apply", "-f", "-", stdin=FOO.replace("size: 3", "size: 3, bad: 1"))
    kube.kubectl("scale", "foo", "f", "--replicas=5")
    status = {"status": {"conditions": [{"type": "Ready", "status": "True"}]}, "spec": {"size": 99}}
    kube.kubectl("patch", "foo", "f", "--subresource=status", "--type=merge", "-p", json.dumps(status))
    lines = kube.kubectl("get", "fo").splitlines()
    assert lines[0].split() == ["NAME", "SIZE", "READY"] and lines[1].split() == ["f", "5", "True"]
    older = json.loads(kube.kubectl("get", "foos.v1alpha1.x.dev", "f", "-o", "json"))
    assert older["apiVersion"] == "x.dev/v1alpha1"
    assert "How many." in kube.kubectl("explain", "foo.spec.size")
    assert "foo.x.dev/f" in kube.kubectl("get", "all", "-o", "name")
    kube.kubectl("delete", "crd", "foos.x.dev", "--timeout=10s")
    assert kube.refused("get", "foos.x.dev")


def test_events(kube: Any) -> None:
    event = {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": "e1", "namespace": "default"},
        "involvedObject": {"kind": "Pod", "name": "p", "namespace": "default"},
        "reason": "Pulled",
        "message": "image is there",
        "type": "Normal",
        "firstTimestamp": "2026-01-01T00:00:00Z",
        "lastTimestamp": "2026-01-01T00:00:00Z",
        "count": 1,
        "source": {"component": "test"},
    }
    kube.kubectl("create", "-f", "-", stdin=json.dumps(event))
    assert "pod/p" in kube.kubectl("get", "events") and "image is there" in kube.kubectl("events")
    newer = json.loads(kube.kubectl("get", "events.events.k8s.io", "e1", "-o", "json"))
    assert newer["note"] == "image is there" and newer["regarding"]["name"] == "p"


def test_health_and_metrics_over_plain_https(kube: Any) -> None:
    context = ssl.create_default_context(cadata=kube.ca.decode())

    def get(path: str, token: str = "") -> str:
        request = urllib.request.Request(kube.url + path, headers={"Authorization": f"Bearer {token}"} if token else {})
        with urllib.request.urlopen(request, context=context, timeout=10) as answer:
            return str(answer.read().decode())

    assert get("/readyz") == "ok" and "[+]ping ok" in get("/readyz?verbose")
    text = get("/metrics", kube.token)
    assert "apiserver_request_total{" in text and "process_resident_memory_bytes" in text
    with pytest.raises(urllib.error.HTTPError, match="403"):
        get("/metrics")
    with pytest.raises(urllib.error.HTTPError, match="401"):
        get("/api/v1/namespaces", "nonsense")
