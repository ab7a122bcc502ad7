"""A pod talks to the API server as its ServiceAccount, with nothing but what the cluster mounted for it."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from lateen.aio.clock import SystemClock
from lateen.cluster import boot
from lateen.cluster.node.images import HostImages
from lateen.kube.meta import Object
from lateen.kube.resources import NAMESPACES, PODS, ROLEBINDINGS

CLOCK = SystemClock()
ASK = """
import json, os, ssl, sys, urllib.error, urllib.request
folder = os.environ['ACCOUNT']
token, namespace = (open(f'{folder}/{n}').read() for n in ('token', 'namespace'))
context = ssl.create_default_context(cafile=f'{folder}/ca.crt')
def ask(where):
    path = f'{sys.argv[1]}/api/v1/namespaces/{where}/pods'
    request = urllib.request.Request(path, headers={'Authorization': f'Bearer {token}'})
    try:
        return [p['metadata']['name'] for p in json.load(urllib.request.urlopen(request, context=context))['items']]
    except urllib.error.HTTPError as error:
        return json.load(error)['message']
print(namespace, ask(namespace), ask('default'), sep='\\n')
"""
BINDING: Object = {
    "metadata": {"name": "pods", "namespace": "shop"},
    "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "view"},
    "subjects": [{"kind": "ServiceAccount", "name": "default", "namespace": "shop"}],
}


@pytest.fixture
async def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[boot.Cluster]:
    monkeypatch.setattr(boot, "StoreImages", lambda store, **_: HostImages())
    sockets = Path(tempfile.mkdtemp(prefix="lateen-t"))
    settings = boot.BootSettings(
        name="token",
        folder=tmp_path / "cluster",
        images=tmp_path / "images",
        socket=lambda name: sockets / name,
        slice=os.getpid() % 32,
        durable=False,
    )
    made = boot.Cluster(settings, CLOCK)
    await made.start_api()
    await made.start_nodes()
    yield made
    await made.stop(seconds=1)
    shutil.rmtree(sockets, ignore_errors=True)


async def test_a_pod_asks_as_its_account(cluster: boot.Cluster) -> None:
    client = cluster.client
    await client.create(NAMESPACES, {"metadata": {"name": "shop"}})
    await client.create(ROLEBINDINGS, BINDING)
    account = "/var/run/secrets/kubernetes.io/serviceaccount"
    container = {
        "name": "app",
        "image": "host",
        "command": [sys.executable, "-c", ASK, cluster.server],
        "env": [{"name": "ACCOUNT", "value": account}],
    }
    spec = {"restartPolicy": "Never", "containers": [container]}
    made = await client.create(PODS, {"metadata": {"name": "asks", "namespace": "shop"}, "spec": spec})
    assert made["spec"]["volumes"][0]["projected"]
    pod = await _ended(cluster)
    log = cluster.settings.folder / "nodes/node-0/pods" / pod["metadata"]["uid"] / "logs/app/0.log"
    refusal = (
        'pods is forbidden: User "system:serviceaccount:shop:default" cannot list resource "pods" in API group "" in the namespace'
    )
    assert log.read_text().splitlines() == ["shop", "['asks']", f'{refusal} "default"']


async def _ended(cluster: boot.Cluster) -> Object:
    for _ in range(2000):
        pod = await cluster.client.get(PODS, "asks", "shop")
        if pod["status"]["phase"] in ("Succeeded", "Failed"):
            return pod
        await CLOCK.sleep(0.01)
    raise AssertionError(f"never ended: {pod}")
