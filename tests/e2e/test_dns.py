"""DNS as a pod has it: its resolv.conf, getaddrinfo, dig. It goes on while the daemon is away, and comes back when killed."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator

import pytest
from net_rig import NetCluster, eventually, net_cluster, pod, service
from oci_images import need

pytestmark = [pytest.mark.unprivileged, pytest.mark.timeout(120)]
RESOLVE = """
import json, socket, sys
def ask(name):
    try:
        found = socket.getaddrinfo(name, 80, proto=socket.IPPROTO_TCP)
    except socket.gaierror as error:
        return error.strerror
    return sorted({f"{i[4][0]}" for i in found})
print(json.dumps([ask(n) for n in sys.argv[1:]]))
"""
PG = "pg.default.svc.cluster.local"


@pytest.fixture(scope="module")
def net(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NetCluster]:
    with net_cluster(tmp_path_factory.mktemp("dns")) as made:
        made.apply(
            service("pg", ports=[{"name": "sql", "port": 5432}], selector={"app": "pg"}, clusterIP="None"),
            service("cart", ports=[{"name": "http", "port": 80}], selector={"app": "cart"}),
            service("away", ports=None, type="ExternalName", externalName="cart.default.svc.cluster.local"),
            *(pod(f"pg-{i}", labels={"app": "pg"}, hostname=f"pg-{i}", subdomain="pg") for i in range(2)),
            pod("client"),
        )
        made.ready("client", "pg-0", "pg-1")
        yield made


def resolve(net: NetCluster, *names: str, by: str = "client") -> list[list[str] | str]:
    found: list[list[str] | str] = json.loads(net.python(by, RESOLVE, *names))
    return found


def address(net: NetCluster, kind: str, name: str, path: str) -> str:
    return net.kubectl("get", kind, name, "-o", f"jsonpath={{{path}}}")


def test_kube_dns_is_a_service_at_the_tenth_address(net: NetCluster) -> None:
    found = net.get("service", "-n", "kube-system", "kube-dns")
    assert found["spec"]["clusterIP"].split(".")[2:] == ["0", "10"]
    assert [(p["name"], p["port"], p["protocol"]) for p in found["spec"]["ports"]] == [("dns", 53, "UDP"), ("dns-tcp", 53, "TCP")]
    dns = found["spec"]["clusterIP"]
    lines = net.python("client", "print(open('/etc/resolv.conf').read())").splitlines()
    assert lines[0].startswith("search default.svc.cluster.local svc.cluster.local cluster.local")
    assert lines[1:3] == [f"nameserver {dns}", "options ndots:5"]


def test_a_pod_finds_services_pods_and_aliases(net: NetCluster) -> None:
    pods = [address(net, "pod", f"pg-{i}", ".status.podIP") for i in range(2)]
    cart = address(net, "service", "cart", ".spec.clusterIP")
    names = ["cart", "cart.default", "cart.default.svc", "cart.default.svc.cluster.local.", "away", "pg", "pg-1.pg", "kubernetes"]
    kubernetes = address(net, "service", "kubernetes", ".spec.clusterIP")
    assert resolve(net, *names) == [*([[cart]] * 5), sorted(pods), [pods[1]], [kubernetes]]
    assert resolve(net, "nobody", f"{pods[0].replace('.', '-')}.default.pod.cluster.local")[1] == [pods[0]]
    assert resolve(net, "nobody") == ["Name or service not known"]
    reverse = "import socket, sys; print(socket.gethostbyaddr(sys.argv[1])[0])"
    assert net.python("client", reverse, pods[0]) == f"pg-0.{PG}"


def test_a_pod_that_goes_and_comes_changes_the_answer_within_moments(net: NetCluster) -> None:
    net.apply(pod("pg-2", labels={"app": "pg"}, hostname="pg-2", subdomain="pg"))
    net.ready("pg-2")
    fresh = address(net, "pod", "pg-2", ".status.podIP")
    assert eventually(lambda: resolve(net, "pg-2.pg") == [[fresh]], 5)
    net.kubectl("delete", "pod", "pg-2", "--wait=false")
    assert eventually(lambda: resolve(net, "pg-2.pg") == ["Name or service not known"], 5)


def test_dig_sees_what_a_dns_server_says(net: NetCluster) -> None:
    need_dig()

    def dig(*argv: str) -> list[str]:
        command = ["dig", "+noall", "+answer", "+nocookie", *argv]
        text = net.kubectl("exec", "client", "--", *command)
        return sorted(" ".join(line.split()) for line in text.splitlines() if line and not line.startswith(";"))

    srv = [f"_sql._tcp.{PG}. 5 IN SRV 0 50 5432 pg-{i}.{PG}." for i in range(2)]
    assert dig("SRV", f"_sql._tcp.{PG}") == srv == dig("+tcp", "SRV", f"_sql._tcp.{PG}")
    assert dig("TXT", "dns-version.cluster.local") == ['dns-version.cluster.local. 28800 IN TXT "1.1.0"']
    assert dig("AAAA", PG) == []


def need_dig() -> None:
    if shutil.which("dig") is None:
        need("bind9-dnsutils")


def test_policies(net: NetCluster) -> None:
    config = {"nameservers": ["192.0.2.1"], "searches": ["corp.example"], "options": [{"name": "timeout", "value": "1"}]}
    net.apply(
        pod("none", dnsPolicy="None", dnsConfig=config),
        pod("hostnet", hostNetwork=True, dnsPolicy="ClusterFirstWithHostNet"),
        pod("default", dnsPolicy="Default"),
    )
    net.ready("none", "hostnet", "default")
    show = "print(open('/etc/resolv.conf').read())"
    assert net.python("none", show) == "search corp.example\nnameserver 192.0.2.1\noptions timeout:1"
    assert "svc.cluster.local" not in net.python("default", show)
    assert "ndots:5" in net.python("hostnet", show)
    assert resolve(net, "cart", by="hostnet") == [[address(net, "service", "cart", ".spec.clusterIP")]]


def test_containers_have_it_too(net: NetCluster) -> None:
    need("crun")
    command = ["sh", "-c", "trap 'exit 0' TERM; sleep 1000 & wait"]  # the first process of a container must ask for SIGTERM
    net.apply(pod("boxed", runtimeClassName="oci", container={"command": command}))
    net.ready("boxed")
    cart = address(net, "service", "cart", ".spec.clusterIP")
    assert net.kubectl("exec", "boxed", "--", "getent", "hosts", "cart").split() == [cart, "cart.default.svc.cluster.local"]


def test_it_answers_while_the_daemon_is_away_and_comes_back_when_killed(net: NetCluster) -> None:
    server = net.process("dns")
    os.kill(server, signal.SIGKILL)
    assert eventually(lambda: net.process("dns") not in (0, server) and isinstance(resolve(net, "cart")[0], list), 15)
    again = net.process("dns")
    ask = [*_enter(net), "dig", "+short", f"@{net.get('service', '-n', 'kube-system', 'kube-dns')['spec']['clusterIP']}", PG]
    os.kill(int((net.folder / "daemon.lock").read_text()), signal.SIGKILL)
    need_dig()
    assert len(subprocess.run(ask, capture_output=True, text=True, check=True, timeout=20).stdout.split()) == 2
    started = net.lateen("cluster", "start")
    assert started.returncode == 0, started.stderr
    assert net.process("dns") == again
    net.apply(service("later", ports=[{"port": 1}]))
    assert eventually(lambda: isinstance(resolve(net, "later")[0], list), 10)


def _enter(net: NetCluster) -> list[str]:
    """A command inside the cluster's network, for when nobody answers kubectl."""
    user = [] if os.geteuid() == 0 else ["-U", "--preserve-credentials"]
    return ["nsenter", "-t", str(net.process("network")), *user, "-n"]
