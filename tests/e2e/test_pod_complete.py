"""What Kubernetes promises to a pod's containers, with real ones: processes, and as root oci containers too."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from oci_images import layer, need

from lateen.aio.clock import SystemClock
from lateen.images.layout import BASE_LABEL, ImageStore
from lateen.kube.meta import Object, condition_true
from lateen.kube.resources import CONFIGMAPS, EVENTS, PODS
from lateen.testing.embedded import EmbeddedCluster, embedded_cluster

CLOCK = SystemClock()
pytestmark = pytest.mark.unprivileged
RUNTIMES = ["process", pytest.param("oci", marks=pytest.mark.skipif(os.geteuid() != 0, reason="needs root"))]


class World:
    def __init__(self, cluster: EmbeddedCluster, runtime: str) -> None:
        self.client, self.cluster, self.runtime = cluster.client, cluster, runtime

    async def run(self, name: str, script: str, *, spec: Object | None = None, **container: Any) -> None:
        one = {"name": "app", "image": "bb", "imagePullPolicy": "Never", "command": ["sh", "-c", script], **container}
        pod = {"terminationGracePeriodSeconds": 1, "restartPolicy": "Never", "containers": [one], **(spec or {})}
        pod["runtimeClassName"] = self.runtime
        await self.client.create(PODS, {"metadata": {"name": name, "namespace": "default"}, "spec": pod})

    async def until(self, name: str, wanted: Callable[[Object], Any], seconds: float = 15) -> Object:
        for _ in range(int(seconds * 50)):
            if wanted(pod := await self.client.get(PODS, name, "default")):
                return pod
            await CLOCK.sleep(0.02)
        events = [f"{e['reason']}: {e['message']}" for e in (await self.client.list(EVENTS, "default")).items]
        raise AssertionError(f"never came true; last: {pod['status']}\n{events}")

    async def ended(self, name: str) -> Object:
        pod = await self.until(name, lambda p: p["status"].get("phase") in ("Succeeded", "Failed"))
        found: Object = pod["status"]["containerStatuses"][0]["state"]["terminated"]
        return found


@pytest.fixture(params=RUNTIMES)
async def world(tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[World]:
    """An image on the host's own root runs under both runtimes."""
    if request.param == "oci":
        await asyncio.to_thread(need, "crun")
    async with embedded_cluster(tmp_path, nodes=1, fake_nodes=0) as cluster:
        await asyncio.to_thread(_image, ImageStore(cluster.images))
        yield World(cluster, request.param)


def _image(store: ImageStore) -> None:
    descriptor, diff = layer(store, {"srv/hello": "hello"})
    config = {"Env": ["PATH=/usr/bin:/bin"], "Labels": {BASE_LABEL: "host test"}, "StopSignal": "SIGQUIT"}
    document = {
        "architecture": "amd64",
        "os": "linux",
        "config": config,
        "rootfs": {"type": "layers", "diff_ids": [diff]},
    }
    store.put_image(config=document, layers=[descriptor], names=["bb"])


async def test_names_messages_and_signals(world: World) -> None:
    script = (
        "{ hostname; grep -c db.local /etc/hosts; echo $HOSTNAME; cat /srv/hello /proc/self/oom_score_adj; }"
        " > /dev/termination-log; echo x > /dev/null; exit 3"
    )
    await world.run("named", script, spec={"hostname": "me", "hostAliases": [{"ip": "10.1.2.3", "hostnames": ["db.local"]}]})
    ended = await world.ended("named")
    assert (ended["message"], ended["exitCode"]) == ("me\n1\nme\nhello1000\n", 3)
    trap = "trap 'echo bye > /dev/termination-log; exit 7' QUIT; echo up > /dev/termination-log; while :; do sleep 0.05; done"
    up = {"exec": {"command": ["test", "-s", "/dev/termination-log"]}, "periodSeconds": 1}
    await world.run("quits", trap, readinessProbe=up)
    await world.until("quits", lambda p: condition_true(p, "Ready"))
    await world.client.patch(PODS, "quits", {"spec": {"activeDeadlineSeconds": 1}}, namespace="default")
    assert (await world.ended("quits"))["message"] == "bye\n"


async def test_volumes(world: World) -> None:
    await world.client.create(CONFIGMAPS, {"metadata": {"name": "conf", "namespace": "default"}, "data": {"key": "one"}})
    script = (
        "echo x > /mem/file && stat -f -c %T /mem; echo y > /logs/file; ls /all/sub;"
        "echo z > /conf/new || echo refused; cat /conf/key /one; stat -L -c %a /token/t; cat /token/ns; : > /dev/termination-log"
    )
    token = [
        {"serviceAccountToken": {"path": "t", "expirationSeconds": 3600}},
        {"downwardAPI": {"items": [{"path": "ns", "fieldRef": {"fieldPath": "metadata.namespace"}}]}},
    ]
    volumes = [
        {"name": "mem", "emptyDir": {"medium": "Memory"}},
        {"name": "disk", "emptyDir": {}},
        {"name": "conf", "configMap": {"name": "conf"}},
        {"name": "token", "projected": {"sources": token}},
    ]
    mounts = [
        {"name": "mem", "mountPath": "/mem"},
        {"name": "disk", "mountPath": "/logs", "subPathExpr": "sub/$(WHO)"},
        {"name": "disk", "mountPath": "/all"},
        {"name": "conf", "mountPath": "/conf"},
        {"name": "conf", "mountPath": "/one", "subPath": "key"},
        {"name": "token", "mountPath": "/token"},
    ]
    who = [{"name": "WHO", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}]
    policy = "FallbackToLogsOnError"
    await world.run(
        "vols", script + "; exit 1", spec={"volumes": volumes}, volumeMounts=mounts, env=who, terminationMessagePolicy=policy
    )
    said = (await world.ended("vols"))["message"].splitlines()
    assert said[0] == "tmpfs"
    assert [line for line in said[1:] if "/conf/new" not in line] == ["vols", "refused", "oneone644", "default"]


async def test_resize_in_place(world: World) -> None:
    limit = "cat /sys/fs/cgroup/memory.max /sys/fs/cgroup/memory/memory.limit_in_bytes 2>/dev/null"
    script = f"while ! {limit} | grep -q ^100663296; do sleep 0.05; done; exit 9"
    sizes = {"requests": {"cpu": "10m", "memory": "32Mi"}, "limits": {"cpu": "500m", "memory": "64Mi"}}
    await world.run("grows", script, resources=sizes)
    await world.until("grows", lambda p: condition_true(p, "Ready"))
    more = {"requests": {"cpu": "20m", "memory": "32Mi"}, "limits": {"cpu": "1", "memory": "96Mi"}}
    patch = {"spec": {"containers": [{"name": "app", "resources": more}]}}
    await world.client.patch(PODS, "grows", patch, namespace="default", subresource="resize", kind="strategic")
    if world.runtime == "process":
        pod = await world.until("grows", lambda p: condition_true(p, "PodResizePending"))
        assert "the oci runtime does" in next(c for c in pod["status"]["conditions"] if c["type"] == "PodResizePending")["message"]
    else:
        assert (await world.ended("grows"))["exitCode"] == 9
        status = (await world.client.get(PODS, "grows", "default"))["status"]["containerStatuses"][0]
        assert (status["resources"], status["restartCount"]) == (more, 0)
