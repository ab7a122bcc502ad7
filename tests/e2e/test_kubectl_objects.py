"""kubectl 1.37 against the API server: reading, writing and deleting objects."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

pytestmark = pytest.mark.peer

WEB = """
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
      - {name: main, image: "nginx:1", ports: [{containerPort: 80}]}
"""


def test_every_generator(kube: Any, tmp_path: Path) -> None:
    kube.kubectl("create", "namespace", "gen")
    key, certificate = _certificate(tmp_path)
    for args in (
        ("configmap", "a", "--from-literal=x=1"),
        ("secret", "generic", "a", "--from-literal=x=1"),
        ("secret", "tls", "t", f"--cert={certificate}", f"--key={key}"),
        ("secret", "docker-registry", "d", "--docker-username=u", "--docker-password=p"),
        ("serviceaccount", "a"),
        ("deployment", "a", "--image=nginx", "--replicas=2", "--port=80"),
        ("service", "clusterip", "a", "--tcp=80:8080"),
        ("service", "nodeport", "n", "--tcp=80:8080"),
        ("service", "loadbalancer", "l", "--tcp=80:8080"),
        ("service", "externalname", "e", "--external-name=example.com"),
        ("job", "a", "--image=busybox", "--", "true"),
        ("cronjob", "a", "--image=busybox", "--schedule=*/1 * * * *", "--", "true"),
        ("ingress", "a", "--rule=foo.com/bar=svc:80"),
        ("role", "a", "--verb=get", "--resource=pods"),
        ("rolebinding", "a", "--role=a", "--user=u"),
        ("clusterrole", "gen-a", "--verb=get", "--resource=pods"),
        ("clusterrolebinding", "gen-a", "--clusterrole=gen-a", "--user=u"),
        ("poddisruptionbudget", "a", "--selector=app=a", "--min-available=1"),
        ("priorityclass", "gen-a", "--value=10"),
        ("quota", "a", "--hard=pods=2"),
    ):
        assert "created" in kube.kubectl("create", *args, "-n", "gen"), args
    assert len(kube.kubectl("create", "token", "a", "-n", "gen").split(".")) == 3
    services = json.loads(kube.kubectl("get", "svc", "-n", "gen", "-o", "json"))["items"]
    by_name = {s["metadata"]["name"]: s["spec"] for s in services}
    assert by_name["a"]["clusterIP"].startswith("127.96.") and "clusterIP" not in by_name["e"]
    assert 30000 <= by_name["n"]["ports"][0]["nodePort"] <= 32767
    assert len({s["clusterIP"] for s in by_name.values() if "clusterIP" in s}) == 3


def _certificate(folder: Path) -> tuple[Path, Path]:
    from lateen.cluster.api.auth.pki import make_ca, sign

    pair = sign(make_ca(), "x")
    (folder / "k.pem").write_bytes(pair.key)
    (folder / "c.pem").write_bytes(pair.certificate)
    return folder / "k.pem", folder / "c.pem"


def test_get_in_every_format(kube: Any) -> None:
    kube.kubectl("create", "namespace", "fmt")
    kube.kubectl("apply", "-n", "fmt", "-f", "-", stdin=WEB)
    lines = kube.kubectl("get", "deploy", "-n", "fmt").splitlines()
    assert lines[0].split() == ["NAME", "READY", "UP-TO-DATE", "AVAILABLE", "AGE"]
    assert lines[1].split()[:4] == ["web", "0/2", "0", "0"]
    wide = kube.kubectl("get", "deploy", "-n", "fmt", "-o", "wide").splitlines()
    assert wide[0].split()[-3:] == ["CONTAINERS", "IMAGES", "SELECTOR"] and wide[1].split()[-3:] == ["main", "nginx:1", "app=web"]
    found = yaml.safe_load(kube.kubectl("get", "deploy", "web", "-n", "fmt", "-o", "yaml"))
    assert found["spec"]["strategy"]["rollingUpdate"] == {"maxSurge": "25%", "maxUnavailable": "25%"}
    assert kube.kubectl("get", "deploy", "web", "-n", "fmt", "-o", "jsonpath={.spec.replicas}") == "2"
    assert kube.kubectl("get", "deploy", "-n", "fmt", "-l", "app!=web", "-o", "name") == ""
    assert kube.kubectl("get", "deploy", "-A", "--field-selector=metadata.name=web", "-o", "name") == "deployment.apps/web\n"
    assert "--show-labels" not in kube.kubectl("get", "deploy", "-n", "fmt", "--show-labels")
    assert 'deployments.apps "nope" not found' in kube.refused("get", "deploy", "nope")
    described = kube.kubectl("describe", "deploy", "web", "-n", "fmt")
    assert "2 desired | 0 updated | 0 total" in described and "nginx:1" in described


def test_watch_prints_changes(kube: Any) -> None:
    kube.kubectl("create", "namespace", "wat")
    kube.kubectl("create", "configmap", "first", "-n", "wat")
    with subprocess.Popen(
        [str(kube.binary), "get", "cm", "-n", "wat", "-w", "--no-headers"], stdout=subprocess.PIPE, text=True, env=kube.environment
    ) as process:
        assert process.stdout is not None
        try:
            assert process.stdout.readline().split()[:2] == ["first", "0"]
            kube.kubectl("create", "configmap", "second", "--from-literal=a=b", "-n", "wat")
            assert process.stdout.readline().split()[:2] == ["second", "1"]
        finally:
            process.terminate()


def test_client_side_apply_keeps_and_prunes_fields(kube: Any) -> None:
    kube.kubectl("create", "namespace", "app")
    assert kube.kubectl("apply", "-n", "app", "-f", "-", stdin=WEB) == "deployment.apps/web created\n"
    assert kube.kubectl("apply", "-n", "app", "-f", "-", stdin=WEB) == "deployment.apps/web unchanged\n"
    kube.kubectl("scale", "deploy", "web", "-n", "app", "--replicas=5")
    changed = WEB.replace("nginx:1", "nginx:2").replace("  replicas: 2\n", "")
    assert kube.kubectl("apply", "-n", "app", "-f", "-", stdin=changed) == "deployment.apps/web configured\n"
    found = json.loads(kube.kubectl("get", "deploy", "web", "-n", "app", "-o", "json"))
    assert found["spec"]["template"]["spec"]["containers"][0]["image"] == "nginx:2"
    assert found["spec"]["replicas"] == 1, "a field taken out of the file goes back to its default"
    assert found["metadata"]["generation"] == 3


def test_server_side_apply_conflicts_and_force(kube: Any) -> None:
    text = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: ssa}\ndata: {a: '%s'}\n"
    assert "serverside-applied" in kube.kubectl("apply", "--server-side", "-f", "-", stdin=text % 1)
    kube.kubectl("apply", "--server-side", "--field-manager=one", "-f", "-", stdin=text % 1)
    said = kube.refused("apply", "--server-side", "--field-manager=two", "-f", "-", stdin=text % 2)
    assert "conflict" in said and ".data.a" in said
    kube.kubectl("apply", "--server-side", "--field-manager=two", "--force-conflicts", "-f", "-", stdin=text % 2)
    assert kube.kubectl("get", "cm", "ssa", "-o", "jsonpath={.data.a}") == "2"


def test_lists_are_taken_apart(kube: Any) -> None:
    items = [{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": f"l{i}"}} for i in range(2)]
    kube.kubectl("create", "-f", "-", stdin=json.dumps({"apiVersion": "v1", "kind": "List", "items": items}))
    assert kube.kubectl("get", "cm", "l0", "l1", "-o", "name").split() == ["configmap/l0", "configmap/l1"]


def test_validation_names_the_field(kube: Any) -> None:
    said = kube.refused("apply", "-f", "-", stdin=WEB.replace("  replicas: 2", "  replicas: 2\n  bogus: 1"))
    assert 'strict decoding error: unknown field "spec.bogus"' in said
    said = kube.refused("apply", "-f", "-", stdin=WEB.replace("replicas: 2", "replicas: -2"))
    assert "spec.replicas: Invalid value: -2: must be greater than or equal to 0" in said
    warned = kube.run("apply", "--validate=warn", "--dry-run=server", "-f", "-", stdin=WEB.replace("  replicas: 2", "  bogus: 1"))
    assert warned.returncode == 0 and 'Warning: unknown field "spec.bogus"' in warned.stderr
    assert "NotFound" in kube.refused("get", "deploy", "web")


def test_diff_edit_patch_label_annotate(kube: Any, tmp_path: Path) -> None:
    kube.kubectl("create", "namespace", "chg")
    kube.kubectl("apply", "-n", "chg", "-f", "-", stdin=WEB)
    difference = kube.run("diff", "-n", "chg", "-f", "-", stdin=WEB.replace("nginx:1", "nginx:9"))
    assert difference.returncode == 1 and "+      - image: nginx:9" in difference.stdout
    editor = tmp_path / "editor.sh"
    editor.write_text("#!/bin/sh\nsed -i 's/replicas: 2/replicas: 4/' \"$1\"\n")
    editor.chmod(0o755)
    kube.kubectl("edit", "deploy", "web", "-n", "chg", env={"EDITOR": str(editor)})
    assert _replicas(kube, "chg") == "4"
    kube.kubectl("patch", "deploy", "web", "-n", "chg", "--type=merge", "-p", '{"spec":{"replicas":5}}')
    assert _replicas(kube, "chg") == "5"
    kube.kubectl("patch", "deploy", "web", "-n", "chg", "--type=json", "-p", '[{"op":"replace","path":"/spec/replicas","value":6}]')
    assert _replicas(kube, "chg") == "6"
    sidecar = {"spec": {"template": {"spec": {"containers": [{"name": "side", "image": "s:1"}]}}}}
    kube.kubectl("patch", "deploy", "web", "-n", "chg", "-p", json.dumps(sidecar))
    images = kube.kubectl("get", "deploy", "web", "-n", "chg", "-o", "jsonpath={.spec.template.spec.containers[*].image}")
    assert set(images.split()) == {"s:1", "nginx:1"}
    kube.kubectl("label", "deploy", "web", "-n", "chg", "tier=front")
    kube.kubectl("annotate", "deploy", "web", "-n", "chg", "note=x")
    found = json.loads(kube.kubectl("get", "deploy", "web", "-n", "chg", "-o", "json"))["metadata"]
    assert found["labels"] == {"app": "web", "tier": "front"} and found["annotations"]["note"] == "x"
    kube.kubectl("label", "deploy", "web", "-n", "chg", "tier-")
    assert "tier" not in kube.kubectl("get", "deploy", "web", "-n", "chg", "--show-labels")


def _replicas(kube: Any, namespace: str) -> str:
    return str(kube.kubectl("get", "deploy", "web", "-n", namespace, "-o", "jsonpath={.spec.replicas}"))


def test_delete_with_every_cascade(kube: Any) -> None:
    kube.kubectl("create", "namespace", "del")
    for mode, finalizer in (("background", None), ("foreground", "foregroundDeletion"), ("orphan", "orphan")):
        kube.kubectl("apply", "-n", "del", "-f", "-", stdin=WEB)
        kube.kubectl("delete", "deploy", "web", "-n", "del", f"--cascade={mode}", "--wait=false")
        if finalizer is None:
            assert "not found" in kube.refused("get", "deploy", "web", "-n", "del")
            continue
        found = json.loads(kube.kubectl("get", "deploy", "web", "-n", "del", "-o", "json"))["metadata"]
        assert found["finalizers"] == [finalizer] and found["deletionTimestamp"]
        kube.kubectl("patch", "deploy", "web", "-n", "del", "--type=merge", "-p", '{"metadata":{"finalizers":null}}')
        kube.kubectl("wait", "--for=delete", "deploy/web", "-n", "del", "--timeout=5s")
    kube.kubectl("create", "configmap", "a", "-n", "del")
    kube.kubectl("create", "configmap", "b", "-n", "del")
    kube.kubectl("delete", "cm", "--all", "-n", "del")
    assert kube.kubectl("get", "cm", "-n", "del", "-o", "name") == ""
