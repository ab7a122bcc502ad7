"""The node agent with the process runtime: real processes, the API server in memory."""

from __future__ import annotations

import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from lateen.aio.clock import SystemClock
from lateen.aio.tasks import TaskOwner
from lateen.client.client import Client
from lateen.client.informer import InformerSet
from lateen.cluster.node.agent import NodeAgent, NodeSettings
from lateen.cluster.node.images import HostImages
from lateen.cluster.node.networks.loopback import LoopbackNetwork
from lateen.cluster.node.runtimes.process import ProcessRuntime
from lateen.cluster.node.seam import Gate, OpenGate
from lateen.errors import AlreadyExistsError, NotFoundError
from lateen.kube.addresses import pod_network
from lateen.kube.meta import Object, condition_true
from lateen.kube.resources import CONFIGMAPS, EVENTS, NAMESPACES, NODES, PODS, SECRETS
from lateen.shim.client import ShimClient

CLOCK = SystemClock()
SERVER = """
import http.server, os, signal, sys
class H(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.end_headers(); self.wfile.write(b'hello')
    def log_message(self, *a): pass
signal.signal(signal.SIGTERM, lambda *_: (print('bye', flush=True), os._exit(0)))
print('listening', flush=True)
http.server.ThreadingHTTPServer((os.environ['HOST'], int(os.environ['PORT'])), H).serve_forever()
"""


class Node:
    """A node on the machine, which can be stopped as a killed daemon is."""

    def __init__(self, client: Client, folder: Path, gate: Gate) -> None:
        self.client, self.folder, self.gate = client, folder, gate
        socket = Path("/tmp") / f"lateen-test-{os.getpid()}-{folder.name}"
        self.shim = ShimClient(folder=folder / "shim", socket=socket, name="n1", clock=CLOCK)

    async def start(self) -> None:
        self.owner = TaskOwner("node")
        informers = InformerSet(self.client, CLOCK)
        informers.start(self.owner)
        self.agent = NodeAgent(
            NodeSettings(name="n1", folder=self.folder / "n1"),
            client=self.client,
            informers=informers,
            clock=CLOCK,
            runtime=ProcessRuntime(self.shim),
            images=HostImages(),
            network=LoopbackNetwork(self.folder / "addresses", pod_network(os.getpid() % 32)),
            gate=self.gate,
        )
        self.owner.start(self.agent.run(), "agent")
        await self.agent.ready.wait()

    async def stop(self) -> None:
        await self.owner.close()

    async def restart(self) -> None:
        await self.stop()
        await self.shim.close()
        self.__init__(self.client, self.folder, self.gate)  # type: ignore[misc]
        await self.start()

    async def run(self, name: str, command: list[str], **container: Any) -> Object:
        spec = container.pop("pod", {})
        container = {"name": "app", "image": "x", "command": command, **container}
        pod = {"metadata": {"name": name, "namespace": "default"}, "spec": {"nodeName": "n1", "containers": [container], **spec}}
        return await self.client.create(PODS, pod)

    async def get(self, name: str) -> Object:
        return await self.client.get(PODS, name, "default")

    async def until(self, name: str, wanted: Callable[[Object], Any], seconds: float = 10) -> Object:
        for _ in range(int(seconds * 100)):
            if wanted(pod := await self.get(name)):
                return pod
            await CLOCK.sleep(0.01)
        raise AssertionError(f"never came true; last: {pod}")

    async def until_gone(self, name: str, seconds: float = 10) -> None:
        for _ in range(int(seconds * 100)):
            try:
                await self.get(name)
            except NotFoundError:
                return
            await CLOCK.sleep(0.01)
        raise AssertionError("never gone")

    async def events(self, reason: str) -> list[str]:
        await CLOCK.sleep(0.05)
        events = (await self.client.list(EVENTS, "default")).items
        return [str(e["message"]) for e in events if e["reason"] == reason]

    def log(self, pod: Object, attempt: int = 0) -> str:
        path: Path = self.folder / "n1/pods" / pod["metadata"]["uid"] / f"logs/app/{attempt}.log"
        return path.read_text()


@pytest.fixture
async def node(client: Client, tmp_path: Path) -> AsyncIterator[Node]:
    for name in ("default", "kube-node-lease"):
        try:
            await client.create(NAMESPACES, {"metadata": {"name": name}})
        except AlreadyExistsError:
            pass
    node = Node(client, tmp_path, OpenGate())
    await node.start()
    yield node
    await node.stop()
    await node.shim.stop(seconds=0)
    await node.shim.close()


def ready(pod: Object) -> bool:
    return condition_true(pod, "Ready")


def status(pod: Object) -> Object:
    found: Object = (pod["status"].get("containerStatuses") or [{"state": {}}])[0]
    return found


def again(before: str, pod: Object) -> bool:
    """Ready in another attempt than ``before``."""
    return ready(pod) and status(pod)["containerID"] != before


PROBE = {"httpGet": {"path": "/", "port": 8080}, "periodSeconds": 1}
SERVES: dict[str, Any] = {"ports": [{"containerPort": 8080}], "readinessProbe": PROBE}


async def test_a_server_becomes_ready_and_ends_gracefully(node: Node) -> None:
    await node.run("web", [sys.executable, "-c", SERVER], **SERVES)
    pod = await node.until("web", ready)
    assert pod["status"]["phase"] == "Running"
    assert pod["status"]["podIP"].startswith("127.")
    assert status(pod)["state"]["running"]["startedAt"]
    assert status(pod)["started"] is True
    assert condition_true(await node.client.get(NODES, "n1"), "Ready")
    log = node.folder / "n1/pods" / pod["metadata"]["uid"] / "logs/app/0.log"
    with log.open() as file:
        await node.client.delete(PODS, "web", "default")
        await node.until_gone("web")
        assert file.read() == "listening\nbye\n"
    places = (node.folder / "n1/pods", node.folder / "addresses")
    for _ in range(300):
        left = [*node.shim.processes(), *(p for place in places for p in place.iterdir())]
        if not left:
            break
        await CLOCK.sleep(0.01)
    assert left == []


async def test_a_killed_process_is_restarted_at_once_then_backs_off(node: Node) -> None:
    await node.run("crash", ["sh", "-c", "echo failing; exit 3"])
    pod = await node.until("crash", lambda p: "waiting" in status(p)["state"] and status(p)["restartCount"] == 1)
    assert status(pod)["state"]["waiting"]["reason"] == "CrashLoopBackOff"
    uid = pod["metadata"]["uid"]
    assert status(pod)["state"]["waiting"]["message"] == f"back-off 10s restarting failed container=app pod=crash_default({uid})"
    assert status(pod)["lastState"]["terminated"]["exitCode"] == 3
    assert await node.events("BackOff")


async def test_pods_outlive_the_agent_and_are_adopted(node: Node) -> None:
    await node.run("web", [sys.executable, "-c", SERVER], **SERVES)
    await node.run("short", ["sh", "-c", "sleep 0.3; exit 4"], pod={"restartPolicy": "Never"})
    await node.run("doomed", ["sleep", "60"])
    await node.run("done", ["sh", "-c", "exit 5"], pod={"restartPolicy": "Never"})
    pod = await node.until("web", ready)
    await node.until("doomed", ready)
    done = await node.until("done", lambda p: p["status"].get("phase") == "Failed")
    before = {p.id: p.pid for p in node.shim.processes().values()}
    await node.stop()
    await node.client.delete(PODS, "doomed", "default", grace_seconds=0)
    await CLOCK.sleep(0.4)
    await node.restart()
    short = await node.until("short", lambda p: p["status"]["phase"] == "Failed")
    assert status(short)["state"]["terminated"]["exitCode"] == 4
    await CLOCK.sleep(0.3)
    assert (await node.get("done"))["status"] == done["status"]
    assert {p.id: p.pid for p in node.shim.processes().values() if p.alive}.items() <= before.items()
    again = await node.get("web")
    assert (status(again)["restartCount"], again["status"]) == (0, pod["status"])
    await CLOCK.sleep(0.2)
    assert len([p for p in node.shim.processes().values() if p.alive]) == 1


async def test_sigkill_restarts_and_counts(node: Node) -> None:
    await node.run("web", [sys.executable, "-c", SERVER], **SERVES)
    first = await node.until("web", ready)
    pid = next(p.pid for p in node.shim.processes().values())
    os.kill(pid, signal.SIGKILL)
    pod = await node.until("web", lambda p: status(p)["restartCount"] == 1 and ready(p))
    assert status(pod)["lastState"]["terminated"]["exitCode"] == 137
    assert pod["status"]["podIP"] == first["status"]["podIP"]


async def test_a_pod_sees_its_volumes_and_environment(node: Node) -> None:
    client = node.client
    await client.create(
        CONFIGMAPS, {"metadata": {"name": "conf", "namespace": "default"}, "data": {"key": "one", "file.txt": "text"}}
    )
    await client.create(SECRETS, {"metadata": {"name": "sec", "namespace": "default"}, "data": {"password": "aHVzaA=="}})
    script = (
        "echo $KEY $FROM_password $IP $EXPANDED; cat /config/file.txt; echo; cat /var/run/secret/password; echo;"
        "cat /info/labels; echo;"
        'touch /scratch/x; while [ "$(cat /config/key)" = one ]; do sleep 0.05; done; cat /config/key; exit 0'
    )
    env = [
        {"name": "KEY", "valueFrom": {"configMapKeyRef": {"name": "conf", "key": "key"}}},
        {"name": "IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
        {"name": "EXPANDED", "value": "$(KEY)-$$(KEY)"},
    ]
    names = {"config": "/config", "secret": "/var/run/secret", "info": "/info", "scratch": "/scratch"}
    volumes = [
        {"name": "config", "configMap": {"name": "conf"}},
        {"name": "secret", "secret": {"secretName": "sec"}},
        {"name": "info", "downwardAPI": {"items": [{"path": "labels", "fieldRef": {"fieldPath": "metadata.name"}}]}},
        {"name": "scratch", "emptyDir": {}},
    ]
    await node.run(
        "vols",
        ["sh", "-c", script],
        env=env,
        envFrom=[{"prefix": "FROM_", "secretRef": {"name": "sec"}}],
        volumeMounts=[{"name": n, "mountPath": p} for n, p in names.items()],
        pod={"volumes": volumes, "restartPolicy": "Never"},
    )
    pod = await node.until("vols", lambda p: p["status"].get("phase") == "Running")
    await client.patch(CONFIGMAPS, "conf", {"data": {"key": "two"}}, namespace="default")
    pod = await node.until("vols", lambda p: p["status"].get("phase") == "Succeeded")
    assert node.log(pod) == f"one hush {pod['status']['podIP']} one-$(KEY)\ntext\nhush\nvols\ntwo"


async def test_what_is_missing_is_said_and_waited_for(node: Node) -> None:
    await node.run("late", ["sh", "-c", "echo $V; sleep 60"], envFrom=[{"configMapRef": {"name": "later"}}])
    pod = await node.until("late", lambda p: "waiting" in status(p)["state"])
    assert status(pod)["state"]["waiting"] == {"reason": "CreateContainerConfigError", "message": 'configmap "later" not found'}
    await node.client.create(CONFIGMAPS, {"metadata": {"name": "later", "namespace": "default"}, "data": {"V": "here"}})
    pod = await node.until("late", ready, 3)
    assert node.log(pod) == "here\n"


async def test_a_pod_that_ignores_sigterm_is_killed_after_its_grace(node: Node) -> None:
    script = "trap '' TERM; echo deaf; while :; do sleep 0.1; done"
    await node.run("deaf", ["sh", "-c", script], pod={"terminationGracePeriodSeconds": 1})
    await node.until("deaf", lambda p: ready(p) and node.log(p) == "deaf\n")  # SIGTERM before the trap would end it
    await node.client.delete(PODS, "deaf", "default")
    before = CLOCK.monotonic()
    await node.until_gone("deaf", 5)
    assert 0.9 < CLOCK.monotonic() - before < 3


async def test_who_holds_a_port_is_named(node: Node) -> None:
    squatter = socket.create_server(("0.0.0.0", 0))
    port = squatter.getsockname()[1]
    await node.run("web", [sys.executable, "-c", SERVER], ports=[{"containerPort": port}])
    pod = await node.until("web", lambda p: "terminated" in (status(p).get("lastState") or {}))
    squatter.close()
    said = status(pod)["lastState"]["terminated"]["message"]
    assert said.startswith(f"port {port} cannot be bound: process {os.getpid()} (")
    assert said.endswith(f"listens on *:{port}: make it listen on the address in $HOST")
    assert said in await node.events("AddressInUse")


async def test_pods_of_a_stopped_node_start_again_with_it_without_back_off(node: Node) -> None:
    first = {"name": "first", "image": "x", "command": ["true"]}
    await node.run("web", [sys.executable, "-c", SERVER], **SERVES, pod={"initContainers": [first]})
    pod = await node.until("web", ready)
    for restarts in (1, 2):
        before = status(pod)["containerID"]
        await node.owner.close()
        await node.shim.stop(seconds=5)
        await node.restart()
        pod = await node.until("web", partial(again, before), 5)
        assert status(pod)["restartCount"] == restarts
        assert pod["status"]["initContainerStatuses"][0]["restartCount"] == restarts  # its work may be lost with the node
    assert status(pod)["lastState"]["terminated"]["reason"] == "NodeStopped"
