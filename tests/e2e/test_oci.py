"""Real containers: crun, images of their own, cgroups. Asked through kubectl's API as everybody does."""

from __future__ import annotations

import asyncio
import os
import subprocess
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from oci_images import busybox, need

from lateen.aio.clock import SystemClock
from lateen.client.client import Client
from lateen.errors import NotFoundError
from lateen.images.layout import ImageStore
from lateen.kube.meta import Object, condition_true
from lateen.kube.resources import EVENTS, PODS
from lateen.testing.embedded import EmbeddedCluster, embedded_cluster

CLOCK = SystemClock()
pytestmark = [pytest.mark.peer, pytest.mark.skipif(os.geteuid() != 0, reason="needs root: see test_oci_rootless for the other way")]


class World:
    def __init__(self, cluster: EmbeddedCluster, folder: Path) -> None:
        self.client: Client = cluster.client
        self.kubeconfig, self.folder = cluster.kubeconfig, folder
        self.store = ImageStore(cluster.images)

    async def run(self, name: str, script: str = "sleep 1000", *, spec: Object | None = None, **container: Any) -> Object:
        one = {"name": "app", "image": "bb", "imagePullPolicy": "Never", "command": ["sh", "-c", script], **container}
        pod = {
            "metadata": {"name": name, "namespace": "default"},
            "spec": {"terminationGracePeriodSeconds": 1, "containers": [one], **(spec or {})},
        }
        return await self.client.create(PODS, pod)

    async def until(self, name: str, wanted: Callable[[Object], Any], seconds: float = 15) -> Object:
        for _ in range(int(seconds * 50)):
            if wanted(pod := await self.client.get(PODS, name, "default")):
                return pod
            await CLOCK.sleep(0.02)
        events = [f"{e['reason']}: {e['message']}" for e in (await self.client.list(EVENTS, "default")).items]
        raise AssertionError(f"never came true; last: {pod['status']}\n{events}")

    async def ended(self, name: str) -> tuple[Object, str]:
        """The terminated state and the log of a pod that does not restart."""
        pod = await self.until(name, lambda p: p["status"].get("phase") in ("Succeeded", "Failed"))
        return pod["status"]["containerStatuses"][0]["state"]["terminated"], await self.log(name)

    async def output(self, name: str, script: str, **more: Any) -> str:
        await self.run(name, script, spec={"restartPolicy": "Never", **more.pop("spec", {})}, **more)
        return (await self.ended(name))[1]

    async def log(self, name: str) -> str:
        return await self.kubectl("logs", name)

    async def kubectl(self, *args: str) -> str:
        def call() -> str:
            argv = ["kubectl", "--kubeconfig", str(self.kubeconfig), *args]
            return subprocess.run(argv, capture_output=True, text=True, check=False, timeout=30).stdout

        return await asyncio.to_thread(call)

    async def gone(self, name: str) -> None:
        await self.client.delete(PODS, name, "default")
        for _ in range(500):
            try:
                await self.client.get(PODS, name, "default")
            except NotFoundError:
                return
            await CLOCK.sleep(0.02)
        raise AssertionError(f"{name} never went")

    async def events(self, reason: str) -> list[str]:
        await CLOCK.sleep(0.1)
        return [str(e["message"]) for e in (await self.client.list(EVENTS, "default")).items if e["reason"] == reason]


@pytest.fixture(scope="module", autouse=True)
def software() -> None:
    need("crun", "busybox-static")


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with embedded_cluster(tmp_path, nodes=1, fake_nodes=0) as cluster:
        found = World(cluster, tmp_path / "cluster")
        busybox(found.store, "bb")
        yield found


def ready(pod: Object) -> bool:
    return condition_true(pod, "Ready")


async def test_what_a_container_is(world: World) -> None:
    said = await world.output(
        "who",
        "id; hostname; echo $PPID; echo $FOO; ls /; grep -E 'Cap(Bnd|Eff)|NoNewPrivs|Seccomp:' /proc/self/status; "
        "mknod /tmp/disk b 8 0 && dd if=/tmp/disk count=1; mount -t tmpfs x /tmp; touch /made && echo made",
        env=[{"name": "FOO", "value": "bar"}],
    )
    lines = said.splitlines()
    assert lines[0] == "uid=0(root) gid=0(root)"
    assert lines[1] == "who"
    assert lines[2] == "0"
    assert lines[3] == "bar"
    assert "CapBnd:\t00000000a80425fb" in said
    assert "Seccomp:\t2" in said
    assert "home" not in said  # of the host
    assert "dd: can't open '/tmp/disk': Operation not permitted" in said
    assert "mount: permission denied" in said
    assert lines[-1] == "made"


async def test_security_context(world: World) -> None:
    context = {
        "runAsUser": 101,
        "readOnlyRootFilesystem": True,
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
    }
    said = await world.output(
        "strict",
        "id; touch /x; echo ok > /data/file && stat -c '%u:%g' /data/file; grep -E 'CapBnd|NoNewPrivs' /proc/self/status",
        securityContext=context,
        volumeMounts=[{"name": "data", "mountPath": "/data"}],
        spec={"volumes": [{"name": "data", "emptyDir": {}}], "securityContext": {"supplementalGroups": [7], "fsGroup": 2000}},
    )
    assert "uid=101(web) gid=102(web) groups=7,103(extra),2000" in said.replace("102(web),", "").replace(
        "groups=102(web) ", "groups="
    )
    assert "Read-only file system" in said
    assert "101:2000" in said
    assert "CapBnd:\t0000000000000000" in said
    assert "NoNewPrivs:\t1" in said
    probe = {"exec": {"command": ["sh", "-c", "id -u > /data/probe"]}}
    await world.run(
        "asked",
        securityContext=context | {"runAsGroup": 102},
        workingDir="/data",
        readinessProbe=probe,
        volumeMounts=[{"name": "data", "mountPath": "/data"}],
        spec={"volumes": [{"name": "data", "emptyDir": {}}], "securityContext": {"fsGroup": 2000}},
    )
    await world.until("asked", lambda p: condition_true(p, "Ready"))
    said = await world.kubectl(
        "exec", "asked", "--", "sh", "-c", "id; pwd; cat /data/probe; grep -E 'CapEff|NoNewPrivs' /proc/self/status"
    )
    assert "uid=101" in said and "gid=102" in said and "2000" in said, "a command runs as the container's own user"
    assert said.splitlines()[1:] == ["/data", "101", "CapEff:\t0000000000000000", "NoNewPrivs:\t1"]
    await world.run("nonroot", securityContext={"runAsNonRoot": True})
    pod = await world.until("nonroot", lambda p: p["status"].get("containerStatuses", [{}])[0].get("state", {}).get("waiting"))
    pod = await world.until(
        "nonroot", lambda p: p["status"]["containerStatuses"][0]["state"]["waiting"]["reason"] == "CreateContainerConfigError"
    )
    assert (
        "container has runAsNonRoot and image will run as root"
        in pod["status"]["containerStatuses"][0]["state"]["waiting"]["message"]
    )


async def test_exit_codes_and_want_of_memory(world: World) -> None:
    await world.run("seven", "exit 7", spec={"restartPolicy": "Never"})
    await world.run("wrong", spec={"restartPolicy": "Never"}, command=["/nothing/here"])
    eater = "echo eating; dd if=/dev/zero of=/dev/null bs=100M count=5"
    await world.run("eater", eater, spec={"restartPolicy": "Never"}, resources={"limits": {"memory": "20Mi"}})
    state, _ = await world.ended("seven")
    assert (state["exitCode"], state["reason"]) == (7, "Error")
    state, _ = await world.ended("wrong")
    assert (state["exitCode"], state["reason"]) == (128, "StartError")
    assert "/nothing/here" in state["message"]
    state, _ = await world.ended("eater")
    assert (state["exitCode"], state["reason"]) == (137, "OOMKilled")


async def test_exec_and_restart(world: World) -> None:
    await world.run(
        "app",
        "echo $((1+1)); trap 'exit 3' TERM; while true; do sleep 0.1; done",
        livenessProbe={"exec": {"command": ["test", "!", "-e", "/sick"]}, "periodSeconds": 1, "failureThreshold": 1},
    )
    await world.until("app", ready)
    assert (await world.kubectl("exec", "app", "--", "sh", "-c", "echo $0 $$; cat /proc/1/cmdline | head -c 2; id -u")).split()[
        0
    ] == "sh"
    await world.kubectl("exec", "app", "--", "touch", "/sick")
    pod = await world.until("app", lambda p: p["status"]["containerStatuses"][0].get("restartCount") == 1 and ready(p))
    assert pod["status"]["containerStatuses"][0]["lastState"]["terminated"]["exitCode"] == 3


async def test_nothing_is_left(world: World) -> None:
    before = Path("/proc/mounts").read_text()
    sidecar = {"name": "b", "image": "bb", "imagePullPolicy": "Never", "command": ["sleep", "1000"]}
    main = {**sidecar, "name": "app"}
    await world.run("pair", spec={"containers": [main, sidecar], "shareProcessNamespace": True})
    await world.run("ipc", spec={"containers": [main, sidecar]})
    for name in ("pair", "ipc"):
        await world.until(name, ready)
    assert "sleep 1000" in (await world.kubectl("exec", "pair", "-c", "b", "--", "ps"))
    seen = await world.kubectl("exec", "pair", "-c", "b", "--", "ps")
    assert seen.count("sleep 1000") == 2
    one = await world.kubectl("exec", "ipc", "-c", "app", "--", "readlink", "/proc/self/ns/ipc")
    two = await world.kubectl("exec", "ipc", "-c", "b", "--", "readlink", "/proc/self/ns/ipc")
    assert one == two != os.readlink("/proc/self/ns/ipc") + "\n"
    assert "ipc" in await world.kubectl("exec", "ipc", "-c", "b", "--", "hostname")
    for name in ("pair", "ipc"):
        await world.gone(name)
    await CLOCK.sleep(0.3)
    assert Path("/proc/mounts").read_text() == before
    assert not [p for p in (world.folder / "nodes/node-0/oci").rglob("*") if p.is_file() and "state" not in p.parts]
    assert not (world.folder / "nodes/node-0/pods").exists() or not list((world.folder / "nodes/node-0/pods").iterdir())


async def test_network_sysctls_need_a_network_of_ones_own(world: World) -> None:
    wanted = {"sysctls": [{"name": "net.ipv4.tcp_syncookies", "value": "0"}]}
    await world.run("tuned", spec={"securityContext": wanted})
    for _ in range(100):
        if said := await world.events("FailedCreatePodSandBox"):
            break
        await CLOCK.sleep(0.02)
    assert "net.ipv4.tcp_syncookies" in said[0] and "netns" in said[0]
    await world.gone("tuned")


async def test_an_ephemeral_container_sees_its_targets_processes(world: World) -> None:
    await world.run("watched", "exec sleep 12345")
    await world.until("watched", lambda p: condition_true(p, "Ready"))
    await world.kubectl(
        "debug",
        "watched",
        "--image=bb",
        "--target=app",
        "-c",
        "look",
        "--image-pull-policy=Never",
        "--",
        "sh",
        "-c",
        "ps; sleep 60",
    )
    await world.until("watched", lambda p: "running" in p["status"].get("ephemeralContainerStatuses", [{}])[0].get("state", {}))
    for _ in range(100):
        if "12345" in (said := await world.kubectl("logs", "watched", "-c", "look")):
            return
        await CLOCK.sleep(0.05)
    raise AssertionError(said)
