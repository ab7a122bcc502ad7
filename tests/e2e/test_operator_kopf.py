"""An operator written with kopf: a custom resource becomes a Deployment; it updates, finalises, and outlives the daemon's death.
Its admission webhooks fill in what is missing and refuse what cannot be."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from lateen.cluster.api.auth.pki import make_ca, sign

pytestmark = [pytest.mark.timeout(120)]
KUBECTL = Path(sys.executable).parent / "kubectl"
OPERATOR = """
import os

import kopf
import kubernetes


@kopf.on.startup()
def configure(settings, **_):
    kubernetes.config.load_kube_config()
    settings.posting.level = 20
    settings.watching.reconnect_backoff = 0.2
    settings.networking.error_backoffs = [0.2] * 50
    folder = os.environ["CERTIFICATES"]
    files = {"certfile": folder + "/tls.crt", "pkeyfile": folder + "/tls.key", "cafile": folder + "/ca.crt"}
    settings.admission.server = kopf.WebhookServer(addr="127.0.0.1", host="localhost", **files)
    settings.admission.managed = "pools.example.com"


@kopf.on.mutate("example.com", "v1", "pools")
def completed(spec, patch, warnings, **_):
    if "image" not in spec:
        patch.spec["image"] = "none:1"
        warnings.append("it gets the usual image")


@kopf.on.validate("example.com", "v1", "pools", field="spec.size")
def judged(spec, **_):
    if spec.get("size", 0) > 9:
        raise kopf.AdmissionError("at most nine lanes", code=422)


def wanted(name, spec):
    labels = {"app": name}
    container = {"name": "app", "image": spec["image"]}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [container]}}
    body = {"replicas": spec["size"], "selector": {"matchLabels": labels}, "template": template}
    found = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name}, "spec": body}
    kopf.adopt(found)
    return found


@kopf.on.create("example.com", "v1", "pools")
def created(name, namespace, spec, body, **_):
    kopf.info(body, reason="Pooled", message="made a Deployment")
    kubernetes.client.AppsV1Api().create_namespaced_deployment(namespace, wanted(name, spec))
    return {"made": name}


@kopf.on.update("example.com", "v1", "pools", field="spec.size")
def resized(name, namespace, new, **_):
    kubernetes.client.AppsV1Api().patch_namespaced_deployment(name, namespace, {"spec": {"replicas": new}})
    return {"size": new}


@kopf.on.delete("example.com", "v1", "pools")
def deleted(name, namespace, logger, **_):
    note = {"metadata": {"name": f"{name}-farewell"}, "data": {"said": "bye"}}
    kubernetes.client.CoreV1Api().create_namespaced_config_map(namespace, note)
"""
POOL = {"apiVersion": "example.com/v1", "kind": "Pool", "metadata": {"name": "lanes"}, "spec": {"image": "none:1", "size": 2}}
FIELDS = {"image": {"type": "string"}, "size": {"type": "integer", "minimum": 0}}
EVERYTHING = {"operations": ["*"], "apiGroups": ["*"], "apiVersions": ["*"], "resources": ["*/*"]}
WALL = {
    "apiVersion": "admissionregistration.k8s.io/v1",
    "kind": "ValidatingWebhookConfiguration",
    "metadata": {"name": "wall"},
    "webhooks": [
        {
            "name": "wall.example.com",
            "clientConfig": {"service": {"namespace": "default", "name": "nobody"}},
            "sideEffects": "None",
            "admissionReviewVersions": ["v1"],
            "rules": [EVERYTHING],
        }
    ],
}
SCHEMA = {
    "type": "object",
    "properties": {
        "spec": {"type": "object", "properties": FIELDS},
        "status": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
    },
}
CRD = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": "pools.example.com"},
    "spec": {
        "group": "example.com",
        "scope": "Namespaced",
        "names": {"plural": "pools", "singular": "pool", "kind": "Pool"},
        "versions": [
            {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": SCHEMA}, "subresources": {"status": {}}}
        ],
    },
}


class Rig:
    """A cluster by the command line, kubectl, and the operator's process."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.env = {**os.environ, "LATEEN_HOME": str(home), "KUBECONFIG": str(home / "clusters/default/kubeconfig")}
        self.log = home / "operator.log"

    def lateen(self, *argv: str) -> str:
        return subprocess.run(
            [sys.executable, "-m", "lateen", *argv], env=self.env, capture_output=True, text=True, check=True
        ).stdout

    def kubectl(self, *argv: str, text: str = "", check: bool = True) -> str:
        done = subprocess.run(
            [str(KUBECTL), *argv], env=self.env, input=text, capture_output=True, text=True, timeout=30, check=False
        )
        assert done.returncode == 0 or not check, f"{argv}: {done.stderr}"
        return done.stdout

    def tried(self, *argv: str, text: str = "") -> str:
        """What kubectl says on stderr."""
        done = subprocess.run(
            [str(KUBECTL), *argv], env=self.env, input=text, capture_output=True, text=True, timeout=30, check=False
        )
        return done.stderr

    def apply(self, obj: dict[str, Any]) -> str:
        return self.tried("apply", "-f", "-", text=json.dumps(obj))

    def until(self, check: Callable[[], Any], seconds: float = 20) -> Any:
        deadline = time.monotonic() + seconds
        while not (found := check()):
            assert time.monotonic() < deadline, self.log.read_text()[-4000:]
            time.sleep(0.1)
        return found

    def replicas(self) -> str:
        return self.kubectl("get", "deployment", "lanes", "-o", "jsonpath={.spec.replicas}", "--ignore-not-found")


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    made = Rig(tmp_path / "home")
    made.lateen("cluster", "start", "--network", "loopback")
    made.apply(CRD)
    made.kubectl("wait", "crd/pools.example.com", "--for=condition=Established", "--timeout=10s")
    (tmp_path / "operator.py").write_text(OPERATOR)
    ca = make_ca("operator")
    pair = sign(ca, "localhost", server=True, names=["localhost"])
    for name, data in (("ca.crt", ca.certificate), ("tls.crt", pair.certificate), ("tls.key", pair.key)):
        (tmp_path / name).write_bytes(data)
    with made.log.open("w") as log:
        command = [sys.executable, "-m", "kopf", "run", "--standalone", "-n", "default", str(tmp_path / "operator.py")]
        operator = subprocess.Popen(command, env={**made.env, "CERTIFICATES": str(tmp_path)}, stdout=log, stderr=log)
    yield made
    operator.terminate()
    operator.wait(20)
    made.lateen("cluster", "stop")
    shutil.rmtree(made.home, ignore_errors=True)


def test_an_operator_makes_resizes_and_says_goodbye(rig: Rig) -> None:
    rig.apply(POOL)
    rig.until(lambda: rig.replicas() == "2")
    rig.until(lambda: "lanes" in rig.kubectl("get", "pool", "lanes", "-o", "jsonpath={.status.created.made}"))
    assert "KopfFinalizerMarker" in rig.kubectl("get", "pool", "lanes", "-o", "jsonpath={.metadata.finalizers}")
    owner = rig.kubectl("get", "deployment", "lanes", "-o", "jsonpath={.metadata.ownerReferences[0].kind}")
    assert owner == "Pool"
    rig.kubectl("patch", "pool", "lanes", "--type=merge", "-p", '{"spec": {"size": 3}}')
    rig.until(lambda: rig.replicas() == "3")
    rig.until(lambda: "Pooled" in rig.kubectl("get", "events", "--field-selector", "involvedObject.kind=Pool"))
    os.kill(int(json.loads(rig.lateen("cluster", "status", "-o", "json"))["pid"]), signal.SIGKILL)
    rig.lateen("cluster", "start")
    rig.kubectl("patch", "pool", "lanes", "--type=merge", "-p", '{"spec": {"size": 1}}')
    rig.until(lambda: rig.replicas() == "1", 30)
    rig.kubectl("delete", "pool", "lanes", "--timeout=20s")
    assert rig.kubectl("get", "configmap", "lanes-farewell", "-o", "jsonpath={.data.said}") == "bye"
    rig.until(lambda: not rig.kubectl("get", "deployment,replicaset,pod", "-o", "name"))


def test_its_webhooks_complete_and_refuse(rig: Rig) -> None:
    rig.until(lambda: "pools.example.com" in rig.kubectl("get", "mutatingwebhookconfigurations,validatingwebhookconfigurations"))
    hooks = "jsonpath={.items[*].webhooks[*].clientConfig.url}"
    rig.until(lambda: rig.kubectl("get", "validatingwebhookconfigurations", "-o", hooks).count("https://localhost:"))
    done = rig.apply({**POOL, "spec": {"size": 2}})
    assert "Warning: it gets the usual image" in done
    assert rig.kubectl("get", "pool", "lanes", "-o", "jsonpath={.spec.image}") == "none:1"
    rig.until(lambda: rig.replicas() == "2")
    refused = rig.tried("patch", "pool", "lanes", "--type=merge", "-p", '{"spec": {"size": 10}}')
    assert 'admission webhook "judged.spec.size.pools.example.com" denied the request: at most nine lanes' in refused
    rig.kubectl("patch", "pool", "lanes", "--type=merge", "-p", '{"spec": {"size": 9}}')
    rig.until(lambda: rig.replicas() == "9")
    rig.apply(WALL)
    assert 'service/nobody in "default" is not present' in rig.tried("create", "configmap", "a")
    os.kill(int(json.loads(rig.lateen("cluster", "status", "-o", "json"))["pid"]), signal.SIGKILL)
    rig.lateen("cluster", "start")  # a webhook that nobody answers keeps no cluster from starting, and from being mended
    rig.kubectl("delete", "validatingwebhookconfiguration", "wall")
    rig.kubectl("create", "configmap", "a")
