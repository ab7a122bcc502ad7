"""Who owns which field, as kubectl meets it: client-side and server-side apply, scale, edited and forgotten ownership, patches."""

from __future__ import annotations

import json
from typing import Any

import pytest

pytestmark = pytest.mark.peer

WEB = """\
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, labels: {app: web}}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers:
      - name: web
        image: nginx:1
        ports: [{containerPort: 80}]
"""
TWO_PORTS = WEB.replace("[{containerPort: 80}]", "[{containerPort: 80}, {containerPort: 81, name: b}]")


@pytest.fixture
def namespace(kube: Any, request: pytest.FixtureRequest) -> str:
    name = str(request.node.name).replace("_", "-")[:50].strip("-")
    kube.kubectl("create", "namespace", name)
    return name


def deployment(kube: Any, namespace: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(kube.kubectl("get", "deploy", "web", "-n", namespace, "-o", "json", "--show-managed-fields"))
    return found


def managers(obj: dict[str, Any]) -> set[tuple[str, str, str]]:
    return {(e["manager"], e["operation"], e.get("subresource", "")) for e in obj["metadata"].get("managedFields") or ()}


def test_client_side_apply_becomes_server_side(kube: Any, namespace: str) -> None:
    kube.kubectl("apply", "-n", namespace, "-f", "-", stdin=TWO_PORTS)
    assert ("kubectl-client-side-apply", "Update", "") in managers(deployment(kube, namespace))
    # kubectl moves the ownership over, so that what leaves the file leaves the object.
    changed = WEB.replace("  replicas: 2\n", "").replace("nginx:1", "nginx:2")
    kube.kubectl("apply", "--server-side", "-n", namespace, "-f", "-", stdin=changed)
    found = deployment(kube, namespace)
    assert managers(found) == {("kubectl", "Apply", ""), ("kubectl-last-applied", "Apply", "")}
    assert found["spec"]["replicas"] == 1
    assert found["spec"]["template"]["spec"]["containers"][0]["ports"] == [{"containerPort": 80, "protocol": "TCP"}]
    # And back again: the annotation has kept up.
    back = TWO_PORTS.replace("replicas: 2", "replicas: 3")
    kube.kubectl("apply", "-n", namespace, "-f", "-", stdin=back)
    assert deployment(kube, namespace)["spec"]["replicas"] == 3
    kube.kubectl("apply", "-n", namespace, "-f", "-", stdin=changed)
    assert deployment(kube, namespace)["spec"]["replicas"] == 1


def test_scale_is_a_manager_of_its_own(kube: Any, namespace: str) -> None:
    kube.kubectl("apply", "--server-side", "-n", namespace, "-f", "-", stdin=WEB)
    kube.kubectl("scale", "deploy", "web", "-n", namespace, "--replicas=5")
    found = deployment(kube, namespace)
    assert ("kubectl", "Update", "scale") in managers(found)
    said = kube.refused("apply", "--server-side", "-n", namespace, "-f", "-", stdin=WEB)
    assert 'Apply failed with 1 conflict: conflict with "kubectl" with subresource "scale" using apps/v1: .spec.replicas' in said
    # Leaving the field out gives it up without changing it.
    kube.kubectl("apply", "--server-side", "-n", namespace, "-f", "-", stdin=WEB.replace("  replicas: 2\n", ""))
    assert deployment(kube, namespace)["spec"]["replicas"] == 5


def test_ownership_can_be_forgotten(kube: Any, namespace: str) -> None:
    kube.kubectl("apply", "-n", namespace, "-f", "-", stdin=WEB)
    kube.kubectl("patch", "deploy", "web", "-n", namespace, "--type=merge", "-p", '{"metadata":{"managedFields":[{}]}}')
    assert managers(deployment(kube, namespace)) == set()
    changed = WEB.replace("nginx:1", "nginx:2")
    said = kube.refused("apply", "--server-side", "--field-manager=ci", "-n", namespace, "-f", "-", stdin=changed)
    assert 'conflict with "before-first-apply" using apps/v1' in said
    # What kubectl said in its annotation is its own, whoever is known to own it.
    kube.kubectl("apply", "--server-side", "-n", namespace, "-f", "-", stdin=changed)


def test_patches_that_do_not_fit_change_nothing(kube: Any, namespace: str) -> None:
    kube.kubectl("apply", "-n", namespace, "-f", "-", stdin=WEB)
    before = deployment(kube, namespace)
    wrong = {
        "testing value /spec/replicas failed": {"op": "test", "path": "/spec/replicas", "value": 9},
        "Unable to remove nonexistent key: none": {"op": "remove", "path": "/metadata/labels/none"},
    }
    for message, operation in wrong.items():
        patch = json.dumps([{"op": "replace", "path": "/spec/replicas", "value": 3}, operation])
        assert message in kube.refused("patch", "deploy", "web", "-n", namespace, "--type=json", "-p", patch)
    assert deployment(kube, namespace) == before


def test_strategic_directives(kube: Any, namespace: str) -> None:
    kube.kubectl("apply", "-n", namespace, "-f", "-", stdin=TWO_PORTS)
    patch: dict[str, Any] = {"spec": {"strategy": {"$retainKeys": ["type"], "type": "Recreate"}}}
    kube.kubectl("patch", "deploy", "web", "-n", namespace, "-p", json.dumps(patch))
    assert deployment(kube, namespace)["spec"]["strategy"] == {"type": "Recreate"}
    port = {"containerPort": 81, "$patch": "delete"}
    containers = [{"name": "web", "ports": [port]}, {"name": "side", "image": "s:1"}]
    patch = {
        "spec": {
            "template": {"spec": {"$setElementOrder/containers": [{"name": "side"}, {"name": "web"}], "containers": containers}}
        }
    }
    kube.kubectl("patch", "deploy", "web", "-n", namespace, "-p", json.dumps(patch))
    found = deployment(kube, namespace)["spec"]["template"]["spec"]["containers"]
    assert [c["name"] for c in found] == ["side", "web"]
    assert [p["containerPort"] for p in found[1]["ports"]] == [80]
