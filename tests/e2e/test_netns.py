"""A cluster with a network of its own, as root and without privileges: a namespace per pod, Services inside, gateways from outside,
what survives the daemon and its helpers, what is left after a stop. From outside, with kubectl and through the gateway."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from oci_images import need

from lateen.server import internet

pytestmark = [pytest.mark.unprivileged, pytest.mark.timeout(120)]
KUBECTL = Path(sys.executable).parent / "kubectl"
# Listens on every address and on the port of every web server: on loopback two such pods could not live on one machine.
SERVER = """
import http.server, json, os, sys
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = json.dumps({"pod": os.environ["HOSTNAME"], "from": self.client_address[0],
                           "forwarded": self.headers.get("x-forwarded-for", "")}).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *args): pass
http.server.ThreadingHTTPServer(("0.0.0.0", 80), Handler).serve_forever()
"""
APPLICATION = """
apiVersion: lateen.dev/v1
name: net
services:
  web:
    build: .
    command: [python3, main.py]
    replicas: 2
    ports: {http: 80}
    health: {ready: GET /}
    routes: [{path: /}]
    security: {profile: baseline, readOnlyRoot: false}  # a host process, which sees the files of this machine
"""
ASK = "import sys, urllib.request; print(urllib.request.urlopen(sys.argv[1], timeout=5).read().decode())"


class Net:
    """The command line and kubectl, with a home of its own."""

    def __init__(self, home: Path) -> None:
        self.home, self.folder = home, home / "clusters/default"
        self.env = {**os.environ, "LATEEN_HOME": str(home), "KUBECONFIG": str(self.folder / "kubeconfig"), "HOME": str(home)}
        self.env.pop("LATEEN_CLUSTER", None)

    def lateen(self, *argv: str, code: int = 0) -> str:
        done = subprocess.run([sys.executable, "-m", "lateen", *argv], env=self.env, capture_output=True, text=True, timeout=60)
        assert done.returncode == code, f"{argv}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stdout + done.stderr

    def kubectl(self, *argv: str) -> str:
        command = [str(KUBECTL), "-n", "net", *argv]
        done = subprocess.run(command, env=self.env, capture_output=True, text=True, timeout=30, check=False)
        assert done.returncode == 0, f"{argv}: {done.stdout}{done.stderr}"
        return done.stdout

    def pods(self) -> list[Any]:
        items: list[Any] = json.loads(self.kubectl("get", "pods", "-o", "json"))["items"]
        return sorted((p for p in items if "deletionTimestamp" not in p["metadata"]), key=lambda p: str(p["metadata"]["name"]))

    def inside(self, pod: str, url: str) -> str:
        """What ``url`` answers to a process in the pod."""
        return self.kubectl("exec", pod, "--", "python3", "-c", ASK, url)

    def keeper(self) -> int:
        record = json.loads((self.folder / "system/processes/network.json").read_text())
        return int(record["pid"])


@pytest.fixture(scope="module")
def net(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Net]:
    made = Net(tmp_path_factory.mktemp("net"))
    if os.geteuid() == 0:
        need("slirp4netns")
    start = [sys.executable, "-m", "lateen", "cluster", "start", "--network", "netns"]
    started = subprocess.run(start, env=made.env, capture_output=True, text=True, timeout=60, check=False)
    if "does not allow the network netns" in started.stderr:
        pytest.skip(started.stderr.strip())
    assert started.returncode == 0, started.stderr
    app = made.home / "app"
    app.mkdir()
    (app / "main.py").write_text(SERVER)
    (app / "lateen.yaml").write_text(APPLICATION)
    made.lateen("up", "-f", str(app / "lateen.yaml"), "--timeout", "30")
    yield made
    made.lateen("cluster", "stop")


def get(url: str) -> Any:
    with urllib.request.urlopen(url, timeout=5) as answer:
        return json.loads(answer.read())


def eventually(check: Callable[[], bool], seconds: float = 15.0) -> None:
    deadline = time.monotonic() + seconds
    while not check():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.05)


def gateway(net: Net) -> str:
    return str(json.loads((net.folder / "cluster.json").read_text())["gateway"])


def test_pods_that_listen_everywhere_live_side_by_side(net: Net) -> None:
    pods = net.pods()
    assert len({p["status"]["podIP"] for p in pods}) == 2 and all(p["status"]["podIP"].startswith("10.") for p in pods)
    assert json.loads((net.folder / "cluster.json").read_text())["network"] == "netns"
    assert "netns" in net.lateen("cluster", "status")
    assert net.kubectl("exec", pods[0]["metadata"]["name"], "--", "id", "-u").strip() == str(os.getuid())
    variables = net.kubectl("exec", pods[0]["metadata"]["name"], "--", "env")
    assert "HOST=0.0.0.0\n" in variables and "PORT=80\n" in variables and "WEB_SERVICE_PORT=80\n" in variables


def test_a_pod_reaches_pods_services_and_the_api(net: Net) -> None:
    one, two = net.pods()
    name, ip = one["metadata"]["name"], one["status"]["podIP"]
    direct = json.loads(net.inside(name, f"http://{two['status']['podIP']}/"))
    assert direct == {"pod": two["metadata"]["name"], "from": ip, "forwarded": ""}
    assert json.loads(net.inside(name, "http://127.0.0.1/"))["pod"] == name
    service = net.kubectl("get", "service", "web", "-o", "jsonpath={.spec.clusterIP}")
    assert json.loads(net.inside(name, f"http://{service}/"))["pod"] in (name, two["metadata"]["name"])
    api = net.kubectl(
        *("exec", name, "--", "python3", "-c"),
        f"import os, ssl, urllib.request as u; c = ssl.create_default_context(cafile='{net.folder}/pki/ca.crt'); "
        "print(u.urlopen(f\"https://{os.environ['KUBERNETES_SERVICE_HOST']}/version\", context=c, timeout=5).status)",
    )
    assert api.strip() == "200"


def test_the_gateway_leads_in_to_every_pod(net: Net) -> None:
    seen = {get(gateway(net))["pod"] for _ in range(20)}
    assert seen == {p["metadata"]["name"] for p in net.pods()}
    assert get(gateway(net))["forwarded"]


def test_a_node_port_and_a_load_balancer_are_reached_from_the_machine(net: Net) -> None:
    pods = {p["metadata"]["name"] for p in net.pods()}
    net.kubectl("expose", "deployment", "web", "--name=out", "--type=LoadBalancer", "--port=8080", "--target-port=80")
    eventually(lambda: bool(net.kubectl("get", "service", "out", "-o", "jsonpath={.status.loadBalancer.ingress[0].ip}")))
    service = json.loads(net.kubectl("get", "service", "out", "-o", "json"))
    for ip, port in (
        ("127.0.0.1", service["spec"]["ports"][0]["nodePort"]),
        (service["status"]["loadBalancer"]["ingress"][0]["ip"], 8080),
    ):
        eventually(lambda url=f"http://{ip}:{port}/": _answers(url))  # type: ignore[misc]
        assert get(f"http://{ip}:{port}/")["pod"] in pods
    net.kubectl("delete", "service", "out")
    eventually(lambda: not _answers(f"http://{ip}:{port}/"))


def test_what_goes_beyond_the_cluster_is_answered_by_the_way_out(net: Net) -> None:
    if problem := internet.missing():  # as root never: there it is installed
        pytest.skip(problem)
    device = Path(f"/proc/{net.keeper()}/net/dev")
    eventually(lambda: "internet:" in device.read_text())

    def answered() -> int:
        return next(int(line.split()[2]) for line in device.read_text().splitlines() if "internet:" in line)

    before = answered()
    refused = "import socket\ntry: socket.create_connection(('198.18.0.2', 9), 5)\nexcept OSError as error: print(error.errno)"
    assert net.kubectl("exec", net.pods()[0]["metadata"]["name"], "--", "python3", "-c", refused).strip() == str(errno.ENETUNREACH)
    assert answered() > before


def test_port_forward_reaches_the_pods_own_localhost(net: Net) -> None:
    name = net.pods()[0]["metadata"]["name"]
    with subprocess.Popen(
        [str(KUBECTL), "-n", "net", "port-forward", name, ":80"], env=net.env, stdout=subprocess.PIPE, text=True
    ) as forward:
        assert forward.stdout is not None
        port = forward.stdout.readline().split("127.0.0.1:")[1].split()[0]
        answer = get(f"http://127.0.0.1:{port}/")
        forward.terminate()
    assert answer == {"pod": name, "from": "127.0.0.1", "forwarded": ""}


def test_nothing_is_lost_with_the_daemon_or_the_keeper(net: Net) -> None:
    before = [(p["metadata"]["name"], p["status"]["podIP"]) for p in net.pods()]
    os.kill(int((net.folder / "daemon.lock").read_text()), signal.SIGKILL)
    assert get(gateway(net))["pod"]
    keeper = net.keeper()
    os.kill(keeper, signal.SIGKILL)
    net.lateen("cluster", "start")
    assert net.keeper() != keeper
    assert [(p["metadata"]["name"], p["status"]["podIP"]) for p in net.pods()] == before
    assert all(p["status"]["containerStatuses"][0]["restartCount"] == 0 for p in net.pods())
    assert json.loads(net.inside(before[0][0], f"http://{before[1][1]}/"))["from"] == before[0][1]


def test_a_keeper_that_dies_is_replaced_at_once(net: Net) -> None:
    os.kill(net.keeper(), signal.SIGKILL)
    net.kubectl("scale", "deployment", "web", "--replicas=3")
    net.kubectl("rollout", "status", "deployment", "web", "--timeout=20s")
    one, *others = net.pods()
    answers = [json.loads(net.inside(one["metadata"]["name"], f"http://{p['status']['podIP']}/"))["pod"] for p in others]
    assert answers == [p["metadata"]["name"] for p in others]
    net.kubectl("scale", "deployment", "web", "--replicas=2")


def test_the_network_of_a_cluster_is_kept(net: Net) -> None:
    assert "runs already, with --network netns" in net.lateen("cluster", "start", "--network", "loopback", code=2)


def test_nothing_is_left_after_a_stop_and_all_comes_back(net: Net) -> None:
    home = os.readlink(f"/proc/{net.keeper()}/ns/net")
    eventually(lambda: len(net.pods()) == 2)
    inside = [p for p in Path("/proc").iterdir() if p.name.isdigit() and _namespace(p) == home]
    assert len(inside) > 2
    net.lateen("cluster", "stop")
    assert home not in {_namespace(p) for p in inside}  # of these: the number may be another cluster's by now
    assert str(net.home) not in Path("/proc/self/mountinfo").read_text()
    assert "has the network netns" in net.lateen("cluster", "start", "--network", "loopback", code=2)
    net.lateen("cluster", "start")
    try:
        net.kubectl("rollout", "status", "deployment", "web", "--timeout=20s")
    except AssertionError:
        raise AssertionError(_story(net)) from None
    eventually(lambda: _answers(gateway(net)))


def _story(net: Net) -> str:
    """What the pods went through, for the reader of a failure."""
    logs = [p.read_text(errors="replace")[-2000:] for p in net.folder.glob("nodes/*/pods/*/logs/*/*.log")]
    return "\n".join([net.kubectl("get", "pods", "-o", "yaml")[-6000:], net.kubectl("get", "events"), *logs])


def _namespace(process: Path) -> str:
    try:
        return os.readlink(process / "ns/net")
    except OSError:
        return ""


def _answers(url: str) -> bool:
    try:
        return bool(get(url)["pod"])
    except OSError:
        return False
