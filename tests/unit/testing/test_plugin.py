"""The fixture for tests of others, used as they use it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from lateen.aio.threads import run_blocking
from lateen.images.build import BuildRequest, build
from lateen.images.layout import ImageStore
from lateen.kube.meta import Object
from lateen.kube.resources import DEPLOYMENTS, NAMESPACES, PODS
from lateen.testing import EmbeddedCluster

FAKE = {"key": "lateen.dev/fake", "operator": "Exists"}


def deployment(image: str, replicas: int, *command: str) -> Object:
    container = {"name": "c", "image": image, **({"command": list(command)} if command else {})}
    return {
        "metadata": {"name": "web", "namespace": "default"},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": "web"}},
            "template": {
                "metadata": {"labels": {"app": "web"}},
                "spec": {"tolerations": [FAKE], "terminationGracePeriodSeconds": 1, "containers": [container]},
            },
        },
    }


async def available(cluster: EmbeddedCluster) -> int:
    found = await cluster.client.get(DEPLOYMENTS, "web", "default")
    return int((found.get("status") or {}).get("availableReplicas") or 0)


async def test_a_deployment_on_a_hollow_node(lateen_cluster: EmbeddedCluster) -> None:
    await lateen_cluster.client.create(DEPLOYMENTS, deployment("anything", 3))

    async def all_there() -> bool:
        return await available(lateen_cluster) == 3

    await lateen_cluster.eventually(all_there)
    pods = (await lateen_cluster.client.list(PODS, "default")).items
    assert {p["spec"]["nodeName"] for p in pods} == {"fake-0"}


async def test_kubectl_finds_it_by_its_kubeconfig(lateen_cluster: EmbeddedCluster) -> None:
    kubectl = Path(sys.executable).with_name("kubectl")
    argv = [str(kubectl), "--kubeconfig", str(lateen_cluster.kubeconfig), "get", "namespaces", "-o", "json"]
    done = await run_blocking(lambda: subprocess.run(argv, capture_output=True, text=True, timeout=30, check=True))
    named = {n["metadata"]["name"] for n in json.loads(done.stdout)["items"]}
    assert named == {n["metadata"]["name"] for n in (await lateen_cluster.client.list(NAMESPACES)).items}


@pytest.mark.lateen_cluster(nodes=1, fake_nodes=0)
async def test_a_process_on_a_real_node(lateen_cluster: EmbeddedCluster, tmp_path: Path) -> None:
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / "main.py").write_text("import time\nprint('it runs', flush=True)\ntime.sleep(60)\n")
    store = ImageStore(lateen_cluster.images)
    built = await run_blocking(lambda: build(store, BuildRequest(name="web", context=tmp_path / "source")))
    await lateen_cluster.client.create(DEPLOYMENTS, deployment(built.reference, 1, "python3", "main.py"))

    async def said() -> bytes:
        for pod in (await lateen_cluster.client.list(PODS, "default")).items:
            if (pod.get("status") or {}).get("phase") == "Running":
                answer = await lateen_cluster.client.raw("GET", PODS.path("default", pod["metadata"]["name"], "log"))
                if answer.stream is None:
                    return answer.raw or b""
                return b"".join([chunk async for chunk in answer.stream])
        return b""

    assert await lateen_cluster.eventually(said) == b"it runs\n"


async def test_eventually_gives_up(lateen_cluster: EmbeddedCluster) -> None:
    async def never() -> int:
        return 0

    with pytest.raises(TimeoutError, match="last: 0"):
        await lateen_cluster.eventually(never, seconds=0.05)
