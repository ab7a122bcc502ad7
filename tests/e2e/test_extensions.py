"""A metrics adapter that runs as a pod: its APIService through kubectl, an autoscaler that lives on it, and how it is without."""

from __future__ import annotations

import asyncio
import base64
import json
import sys
from pathlib import Path
from typing import Any

import pytest
from test_kubectl_policies import Kubectl

from lateen.cluster.api.auth.pki import make_ca, sign
from lateen.images.build import BuildRequest, build
from lateen.images.layout import ImageStore
from lateen.testing import embedded_cluster

pytestmark = [pytest.mark.peer, pytest.mark.timeout(120)]
HOST = "adapter.kube-system.svc"
# Believes only what the front proxy says about who asks, as every extension API server does.
ADAPTER = """
import http.server, json, os, ssl
GROUP = "/apis/external.metrics.k8s.io/v1beta1"
RESOURCE = {"name": "queue", "singularName": "", "namespaced": True, "kind": "ExternalMetricValueList", "verbs": ["get"]}

class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        shown = self.connection.getpeercert()
        names = [v for part in shown["subject"] for k, v in part if k == "commonName"]
        path = self.path.partition("?")[0]
        if path == GROUP:
            found = {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": GROUP[6:], "resources": [RESOURCE]}
        elif path == GROUP + "/namespaces/default/queue":
            item = {"metricName": "queue", "metricLabels": {}, "timestamp": "2026-01-01T00:00:00Z", "value": "30"}
            seen = {"certificate": names[0], "user": self.headers["X-Remote-User"]}
            found = {"kind": "ExternalMetricValueList", "apiVersion": GROUP[6:], "metadata": {}, "items": [item], "seen": seen}
        else:
            found = None
        body = json.dumps(found or {"kind": "Status", "code": 404}).encode()
        self.send_response(200 if found else 404)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass

context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain("tls.crt", "tls.key")
context.load_verify_locations("/etc/authentication/requestheader-client-ca-file")
context.verify_mode = ssl.CERT_REQUIRED
server = http.server.ThreadingHTTPServer((os.environ.get("HOST", "0.0.0.0"), 8443), Handler)
server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
server.serve_forever()
"""


def deployment(name: str, namespace: str, container: dict[str, Any], **spec: Any) -> dict[str, Any]:
    labels = {"app": name}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "app", **container}], **spec}}
    body = {"replicas": 1, "selector": {"matchLabels": labels}, "template": template}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name, "namespace": namespace}, "spec": body}


def adapter(image: str) -> list[dict[str, Any]]:
    mount = {"name": "authentication", "mountPath": "/etc/authentication"}
    probe = {"tcpSocket": {"port": 8443}, "periodSeconds": 1}
    container = {"image": image, "ports": [{"containerPort": 8443}], "volumeMounts": [mount], "readinessProbe": probe}
    volume = {"name": "authentication", "configMap": {"name": "extension-apiserver-authentication"}}
    meta = {"name": "adapter", "namespace": "kube-system"}
    ports = [{"port": 443, "targetPort": 8443}]
    service = {"apiVersion": "v1", "kind": "Service", "metadata": meta, "spec": {"selector": {"app": "adapter"}, "ports": ports}}
    return [deployment("adapter", "kube-system", container, volumes=[volume]), service]


def api_service(ca: bytes) -> dict[str, Any]:
    spec = {"group": "external.metrics.k8s.io", "version": "v1beta1", "groupPriorityMinimum": 100, "versionPriority": 100}
    spec |= {"service": {"name": "adapter", "namespace": "kube-system"}, "caBundle": base64.b64encode(ca).decode()}
    metadata = {"name": "v1beta1.external.metrics.k8s.io"}
    return {"apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService", "metadata": metadata, "spec": spec}


def autoscaler() -> dict[str, Any]:
    metric = {"metric": {"name": "queue"}, "target": {"type": "AverageValue", "averageValue": "10"}}
    spec = {"scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}, "maxReplicas": 5}
    spec["metrics"] = [{"type": "External", "external": metric}]
    return {"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": {"name": "web"}, "spec": spec}


def image(store: Path, context: Path, ca: Any) -> str:
    context.mkdir()
    pair = sign(ca, HOST, server=True, names=[HOST])
    (context / "adapter.py").write_text(ADAPTER)
    (context / "tls.crt").write_bytes(pair.certificate)
    (context / "tls.key").write_bytes(pair.key)
    request = BuildRequest(name="adapter", context=context, command=[sys.executable, "adapter.py"], tags=["1"])
    return build(ImageStore(store), request).reference


async def test_an_adapter_in_a_pod(tmp_path: Path) -> None:
    async with embedded_cluster(tmp_path, nodes=1, fake_nodes=0) as cluster:
        kubectl, ca = Kubectl(cluster, tmp_path), make_ca("adapter-ca")
        made = await asyncio.to_thread(image, cluster.images, tmp_path / "context", ca)
        web = deployment("web", "default", {"image": made, "command": ["sleep", "3600"]}, terminationGracePeriodSeconds=0)
        objects = [*adapter(made), api_service(ca.certificate), web]
        await kubectl("apply", "-f", "-", stdin=json.dumps({"apiVersion": "v1", "kind": "List", "items": objects}))
        await kubectl("wait", "apiservice/v1beta1.external.metrics.k8s.io", "--for=condition=Available", "--timeout=30s")
        listed = await kubectl("get", "apiservices")
        rows = {line.split()[0]: line.split()[1:3] for line in listed.splitlines()}
        assert rows["v1beta1.external.metrics.k8s.io"] == ["kube-system/adapter", "True"] and rows["v1.apps"] == ["Local", "True"]
        found = json.loads(await kubectl("get", "--raw", "/apis/external.metrics.k8s.io/v1beta1/namespaces/default/queue"))
        assert found["seen"] == {"certificate": "front-proxy-client", "user": "kubernetes-admin"}
        assert "external.metrics.k8s.io/v1beta1" in await kubectl("api-resources")
        await kubectl("apply", "-f", "-", stdin=json.dumps(autoscaler()))
        await kubectl("wait", "deployment/web", "--for=jsonpath={.spec.replicas}=3", "--timeout=20s")
        events = await kubectl.until("SuccessfulRescale", "get", "events", "--field-selector", "involvedObject.name=web")
        assert "New size: 3; reason: external metric queue(nil) above target" in events
        await without(kubectl)


async def without(kubectl: Kubectl) -> None:
    """The adapter goes: its group version is stale, and no namespace can be said to be empty until the APIService goes too."""
    await kubectl("scale", "-n", "kube-system", "deployment/adapter", "--replicas=0")
    await kubectl("wait", "apiservice/v1beta1.external.metrics.k8s.io", "--for=condition=Available=false", "--timeout=20s")
    await kubectl.until("False (MissingEndpoints)", "get", "apiservices")
    refused = await kubectl.run("get", "--raw", "/apis/external.metrics.k8s.io/v1beta1/namespaces/default/queue")
    assert "the server is currently unable to handle the request" in refused.stderr
    await kubectl("create", "namespace", "doomed")
    await kubectl("delete", "namespace", "doomed", "--wait=false")
    told = await kubectl.until("DiscoveryFailed", "get", "namespace", "doomed", "-o", "yaml")
    assert "stale GroupVersion discovery: external.metrics.k8s.io/v1beta1" in " ".join(told.split())
    await kubectl("delete", "apiservice", "v1beta1.external.metrics.k8s.io")
    await kubectl("wait", "namespace/doomed", "--for=delete", "--timeout=20s")
