"""Services with real traffic between pods: UDP, affinity, named target ports, not ready, without selectors, from the machine."""

from __future__ import annotations

import collections
import http.client
import json
import socket
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest
from net_rig import NetCluster, eventually, net_cluster, pod, service

pytestmark = [pytest.mark.unprivileged, pytest.mark.timeout(120)]
# Answers on UDP 5300 with its name and the length of what came, and on the TCP port of its command line with its name.
SERVER = """
import os, socket, sys, threading
name = os.environ["HOSTNAME"]
made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
made.bind(("0.0.0.0", 5300))
def datagrams():
    while True:
        data, peer = made.recvfrom(65535)
        made.sendto(f"{name} {len(data)}".encode().ljust(len(data)), peer)
threading.Thread(target=datagrams, daemon=True).start()
listener = socket.create_server(("0.0.0.0", int(sys.argv[1])))
while True:
    peer, _ = listener.accept()
    try:
        peer.sendall(name.encode())
        peer.close()
    except OSError:
        pass  # a probe does not wait for what is said
"""
UDP = """
import json, socket, sys
def ask(size):
    made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    made.settimeout(2)
    made.connect((sys.argv[1], int(sys.argv[2])))
    made.send(b"x" * size)
    try:
        return made.recv(65535).decode().split()
    except OSError as error:
        return [type(error).__name__]
print(json.dumps([ask(int(sys.argv[4])) for _ in range(int(sys.argv[3]))]))
"""
TCP = """
import json, socket, sys
def ask():
    try:
        with socket.create_connection((sys.argv[1], int(sys.argv[2])), 3) as made:
            return made.recv(100).decode()
    except OSError as error:
        return ""
print(json.dumps([ask() for _ in range(int(sys.argv[3]))]))
"""


def server(name: str, port: int, **more: Any) -> dict[str, Any]:
    ports = [{"name": "talk", "containerPort": port}, {"name": "data", "containerPort": 5300, "protocol": "UDP"}]
    # Ready must mean that it listens: who connects too early has the endpoint ejected for seconds.
    probe = {"tcpSocket": {"port": port}, "periodSeconds": 1}
    container = {"ports": ports, "readinessProbe": probe, **more.pop("container", {})}
    return pod(name, SERVER, str(port), labels={"app": more.pop("app", "talk")}, container=container, **more)


@pytest.fixture(scope="module")
def net(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NetCluster]:
    ports = [
        {"name": "talk", "port": 53, "targetPort": "talk"},
        {"name": "data", "port": 53, "protocol": "UDP", "targetPort": "data"},
    ]
    with net_cluster(tmp_path_factory.mktemp("services")) as made:
        made.apply(
            service("talk", ports=ports, selector={"app": "talk"}),
            service("stay", ports=ports, selector={"app": "talk"}, sessionAffinity="ClientIP"),
            *(server(f"talk-{i}", 7000 + i) for i in range(3)),  # the named port is another number on each
            *(pod(f"client-{i}") for i in range(4)),
        )
        made.ready(*(f"talk-{i}" for i in range(3)), *(f"client-{i}" for i in range(4)))
        yield made


def udp(net: NetCluster, to: str, times: int = 1, size: int = 1, by: str = "client-0") -> list[list[str]]:
    found: list[list[str]] = json.loads(net.python(by, UDP, to, "53", str(times), str(size)))
    return found


def tcp(net: NetCluster, to: str, times: int = 1, by: str = "client-0", port: int = 53) -> list[str]:
    found: list[str] = json.loads(net.python(by, TCP, to, str(port), str(times)))
    return found


def test_one_port_number_over_both_transports_with_a_target_per_pod(net: NetCluster) -> None:
    pods = {f"talk-{i}" for i in range(3)}
    assert set(tcp(net, "talk", 50)) == pods  # by chance: one is left out of 20 in a thousand times
    assert {name for name, _ in udp(net, "talk", 20)} == pods
    assert udp(net, "talk", size=8000)[0][1] == "8000"  # longer than a packet


def test_a_client_stays_with_its_endpoint(net: NetCluster) -> None:
    chosen: dict[str, set[str]] = collections.defaultdict(set)
    for i in range(4):
        client = f"client-{i}"
        chosen[client] |= set(tcp(net, "stay", 6, client))
    assert all(len(names) == 1 for names in chosen.values())
    assert len({name for name, _ in udp(net, "stay", 6)}) == 1


def test_datagrams_follow_the_endpoints(net: NetCluster) -> None:
    net.apply(
        service("one", ports=[{"port": 53, "protocol": "UDP", "targetPort": 5300}], selector={"app": "one"}),
        server("one-0", 7000, app="one"),
    )
    net.ready("one-0")
    assert udp(net, "one")[0][0] == "one-0"
    net.apply(server("one-1", 7000, app="one"))
    net.ready("one-1")
    net.kubectl("delete", "pod", "one-0", "--wait=false")
    eventually(lambda: {n for n, *_ in udp(net, "one", 5)} == {"one-1"})


def test_what_is_not_ready_is_sent_to_only_where_asked(net: NetCluster) -> None:
    never = {"exec": {"command": ["false"]}, "periodSeconds": 1}
    port = [{"port": 53, "targetPort": 7000}]
    net.apply(
        service("hidden", ports=port, selector={"app": "new"}),
        service("shown", ports=port, selector={"app": "new"}, publishNotReadyAddresses=True),
        server("new-0", 7000, app="new", container={"readinessProbe": never}),
    )
    eventually(lambda: tcp(net, "shown") == ["new-0"])
    assert tcp(net, "hidden") == [""]


def test_a_service_without_a_selector_leads_where_its_slices_say(net: NetCluster) -> None:
    ip = net.get("pod", "talk-1")["status"]["podIP"]
    made = {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {"name": "own-1", "labels": {"kubernetes.io/service-name": "own"}},
        "addressType": "IPv4",
        "ports": [{"port": 7001}],
        "endpoints": [{"addresses": [ip], "hostname": "first"}],
    }
    slim = json.loads(json.dumps(made).replace("own", "bare"))
    net.apply(service("own", ports=[{"port": 53}]), service("bare", ports=[{"port": 7001}], clusterIP="None"), made, slim)
    eventually(lambda: tcp(net, "own") == ["talk-1"])
    assert tcp(net, "bare", port=7001) == tcp(net, "first.bare", port=7001) == ["talk-1"]


def test_external_addresses_lead_in_from_the_machine(net: NetCluster) -> None:
    address = ".".join(["127", *net.get("service", "talk")["spec"]["clusterIP"].split(".")[1:3], "77"])
    port = 15353
    net.apply(service("ext", ports=[{"port": port, "targetPort": 7000}], selector={"app": "talk"}, externalIPs=[address]))

    def ask() -> str:
        try:
            with socket.create_connection((address, port), 3) as made:
                return made.recv(100).decode()
        except OSError:
            return ""

    assert eventually(ask) == "talk-0"
    assert "externalIPs" in net.get("service", "ext")["spec"]


def test_datagrams_from_the_machine_reach_node_ports_and_balancers(net: NetCluster) -> None:
    ports = [{"port": 15453, "protocol": "UDP", "targetPort": 5300}]
    net.apply(
        service("in", ports=ports, selector={"app": "talk"}, type="LoadBalancer"),
        service("in-stay", ports=ports, selector={"app": "talk"}, type="LoadBalancer", sessionAffinity="ClientIP"),
    )
    ends = {}

    def given(name: str) -> Any:
        found = net.get("service", name)
        return found if found["status"]["loadBalancer"].get("ingress") else None

    for name in ("in", "in-stay"):
        found = eventually(partial(given, name))
        ends[name] = (found["status"]["loadBalancer"]["ingress"][0]["ip"], 15453)
        ends[f"{name} node"] = ("127.0.0.1", found["spec"]["ports"][0]["nodePort"])

    def ask(place: tuple[str, int], size: int = 1) -> list[str]:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as made:
            made.settimeout(2)
            try:
                made.connect(place)
                made.send(b"x" * size)
                return made.recv(65535).decode().split()
            except OSError:
                return []

    for place in ends.values():
        eventually(partial(ask, place))
    pods = {f"talk-{i}" for i in range(3)}
    assert {ask(ends["in"])[0] for _ in range(20)} == {ask(ends["in node"])[0] for _ in range(20)} == pods
    assert len({ask(place)[0] for _ in range(6) for place in (ends["in-stay"], ends["in-stay node"])}) == 1
    assert ask(ends["in"], 8000)[1] == "8000"


def test_a_load_balancer_is_told_how_many_endpoints_are_ready(net: NetCluster) -> None:
    port = [{"port": 15454, "targetPort": 7000}]
    local = {"type": "LoadBalancer", "externalTrafficPolicy": "Local"}
    net.apply(service("told", ports=port, selector={"app": "told"}, **local), server("told-0", 7000, app="told"))
    number = net.get("service", "told")["spec"]["healthCheckNodePort"]

    def ask() -> tuple[int, dict[str, Any]]:
        made = http.client.HTTPConnection("127.0.0.1", number, timeout=3)
        try:
            made.request("GET", "/")
            answer = made.getresponse()
            body = answer.read()
            return answer.status, json.loads(body) if body else {}  # 404 without a word while it is taken away
        except OSError:
            return 0, {}
        finally:
            made.close()

    eventually(lambda: ask()[0] == 200)
    said = {"service": {"namespace": "default", "name": "told"}, "localEndpoints": 1, "serviceProxyHealthy": True}
    assert ask() == (200, said)
    net.kubectl("delete", "pod", "told-0")
    eventually(lambda: ask() == (503, {**said, "localEndpoints": 0}))
    net.apply(service("told", ports=port, selector={"app": "told"}, type="LoadBalancer", externalTrafficPolicy="Cluster"))
    assert "healthCheckNodePort" not in net.get("service", "told")["spec"]
    eventually(lambda: ask()[0] == 0)
