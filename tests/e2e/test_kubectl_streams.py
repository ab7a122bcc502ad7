"""kubectl's long conversations with containers, against an embedded cluster with a real node: exec and what is like it."""

from __future__ import annotations

import asyncio
import fcntl
import hashlib
import json
import os
import pty
import select
import signal
import socket
import struct
import subprocess
import sys
import termios
import threading
import time
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import kubernetes
import pytest
import uvloop
from kubernetes import stream

from lateen.images.build import BuildRequest, build
from lateen.images.layout import ImageStore
from lateen.kube.meta import Object
from lateen.testing import embedded_cluster

KUBECTL = str(Path(sys.executable).with_name("kubectl"))


class Rig:
    """A cluster with one real node on a thread of its own, and kubectl pointed at it."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.kubeconfig, self.image = folder, Path(), ""
        self._loop, self._ready, self._stop = uvloop.new_event_loop(), threading.Event(), asyncio.Event()
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()
        assert self._ready.wait(30)
        if self._failure is not None:
            raise self._failure

    def _work(self) -> None:
        try:
            self._loop.run_until_complete(self._serve())
        except BaseException as error:  # noqa: BLE001 - the test thread raises it
            self._failure = error
        finally:
            self._ready.set()
            self._loop.close()

    async def _serve(self) -> None:
        async with embedded_cluster(self.folder, nodes=1, fake_nodes=0) as cluster:
            context = self.folder / "context"
            context.mkdir()
            (context / "hello").write_text("hello")
            request = BuildRequest(name="app", context=context, command=["sleep", "3600"], tags=["1"])
            self.image = build(ImageStore(cluster.images), request).reference
            self.kubeconfig = cluster.kubeconfig
            self._ready.set()
            await self._stop.wait()

    @property
    def env(self) -> dict[str, str]:
        return {**os.environ, "KUBECONFIG": str(self.kubeconfig), "KUBECACHEDIR": str(self.folder / "cache")}

    def run(self, *args: str, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
        return subprocess.run([KUBECTL, *args], input=stdin, capture_output=True, timeout=60, env=self.env, check=False)

    def kubectl(self, *args: str, stdin: bytes = b"") -> str:
        done = self.run(*args, stdin=stdin)
        assert done.returncode == 0, f"kubectl {' '.join(args)}\n{(done.stdout + done.stderr).decode()}"
        return done.stdout.decode()

    def pod(self, name: str, *command: str, restart: str = "Always", pod: Object | None = None, **container: object) -> None:
        """A running pod."""
        containers = [{"name": "app", "image": self.image, "command": list(command), **container}]
        spec = {"containers": containers, "restartPolicy": restart, "terminationGracePeriodSeconds": 1, **(pod or {})}
        manifest = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec}
        self.kubectl("apply", "-f", "-", stdin=json.dumps(manifest).encode())
        self.kubectl("wait", "--for=condition=Ready", f"pod/{name}", "--timeout=20s")

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(20)
        assert not self._thread.is_alive()


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    rig = Rig(tmp_path_factory.mktemp("streams"))
    rig.pod("app", "sleep", "3600")
    yield rig
    rig.close()


def test_exec_gives_output_errors_and_the_exit_code(rig: Rig) -> None:
    done = rig.run("exec", "app", "--", "sh", "-c", "echo out; echo err >&2; exit 7")
    assert done.stdout == b"out\n"
    assert done.stderr == b"err\ncommand terminated with exit code 7\n"
    assert done.returncode == 7


def test_exec_carries_stdin_to_its_end(rig: Rig) -> None:
    data = os.urandom(3_000_000)
    assert rig.run("exec", "-i", "app", "--", "cat", stdin=data).stdout == data


class Terminal:
    """kubectl at a terminal of our own."""

    def __init__(self, rig: Rig, *args: str) -> None:
        self.master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 33, 111, 0, 0))
        self.process = subprocess.Popen(
            [KUBECTL, *args], stdin=slave, stdout=slave, stderr=slave, env=rig.env, start_new_session=True, close_fds=True
        )
        os.close(slave)
        self.seen = ""

    def expect(self, text: str, seconds: float = 20) -> None:
        end = time.monotonic() + seconds
        while text not in self.seen:
            assert time.monotonic() < end, f"{text!r} never came: {self.seen!r}"
            if select.select([self.master], [], [], 0.1)[0]:
                try:
                    self.seen += os.read(self.master, 4096).decode()
                except OSError:  # the other end was closed
                    assert text in self.seen, self.seen
        self.seen = self.seen.partition(text)[2]

    def type(self, text: str) -> None:
        os.write(self.master, text.encode())

    def resize(self, rows: int, columns: int) -> None:
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        os.kill(self.process.pid, signal.SIGWINCH)

    def end(self) -> int:
        code = self.process.wait(20)
        os.close(self.master)
        return code


def test_exec_at_a_terminal_knows_its_size_and_ends_with_the_shell(rig: Rig) -> None:
    terminal = Terminal(rig, "exec", "-it", "app", "--", "sh", "-c", "PS1='$ ' exec sh -i")
    terminal.expect("$ ")
    terminal.type("tty; stty size\n")
    terminal.expect("/dev/pts/")
    terminal.expect("33 111")
    terminal.resize(20, 77)
    time.sleep(0.3)
    terminal.type("stty size; echo $TERM\n")
    terminal.expect("20 77")
    terminal.expect("xterm")
    terminal.type("sleep 100\n")
    time.sleep(0.2)
    terminal.type("\x03")
    terminal.type("exit 5\n")
    terminal.expect("exit code 5")
    assert terminal.end() == 5


def test_exec_sees_what_the_container_sees(rig: Rig) -> None:
    volume, mount = {"name": "data", "emptyDir": {}}, {"name": "data", "mountPath": "/data"}
    rig.pod("mounts", "sh", "-c", "echo mine > /data/file; sleep 3600", pod={"volumes": [volume]}, volumeMounts=[mount])
    assert rig.kubectl("exec", "mounts", "--", "cat", "/data/file") == "mine\n"
    rig.kubectl("exec", "-i", "mounts", "--", "sh", "-c", "cat > /data/new", stdin=b"new")
    assert rig.kubectl("exec", "mounts", "--", "cat", "/data/new") == "new"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives containers other users")
def test_exec_at_a_terminal_as_another_user(rig: Rig) -> None:
    rig.pod("user", "sleep", "3600", securityContext={"runAsUser": 65534, "runAsGroup": 65534})
    terminal = Terminal(rig, "exec", "-it", "user", "--", "sh", "-c", "id -u; echo to > $(tty)")
    terminal.expect("65534")
    terminal.expect("to")
    assert terminal.end() == 0


def test_exec_says_what_is_wrong(rig: Rig) -> None:
    done = rig.run("exec", "app", "--", "no-such-command")
    assert done.returncode == 1
    assert b'exec: "no-such-command": executable file not found in $PATH' in done.stderr
    assert b"container other is not valid for pod app" in rig.run("exec", "app", "-c", "other", "--", "true").stderr
    assert b'pods "nope" not found' in rig.run("exec", "nope", "--", "true").stderr


def test_exec_needs_create_as_well_as_get(rig: Rig) -> None:
    rig.kubectl("create", "role", "reads", "--verb=get", "--resource=pods,pods/exec")
    rig.kubectl("create", "rolebinding", "reads", "--role=reads", "--user=ann")
    refused = rig.run("exec", "app", "--as=ann", "--", "true")
    assert refused.returncode == 1
    assert b'cannot create resource "pods/exec" in API group ""' in refused.stderr
    rig.kubectl("create", "role", "runs", "--verb=create", "--resource=pods/exec")
    rig.kubectl("create", "rolebinding", "runs", "--role=runs", "--user=ann")
    assert rig.kubectl("exec", "app", "--as=ann", "--", "echo", "may") == "may\n"
    rig.kubectl("create", "rolebinding", "edits", "--clusterrole=edit", "--user=bob")
    assert rig.kubectl("exec", "app", "--as=bob", "--", "echo", "may") == "may\n"
    assert "app" in rig.kubectl("top", "pods", "--as=bob")


def test_the_python_client_streams_too(rig: Rig) -> None:
    with kubernetes.config.new_client_from_config(str(rig.kubeconfig)) as client:  # type: ignore[no-untyped-call]
        core = kubernetes.client.CoreV1Api(client)
        connect = core.connect_get_namespaced_pod_exec
        talk = stream.stream(
            connect, "app", "default", command=["sh"], stdin=True, stdout=True, stderr=True, _preload_content=False
        )
        talk.write_stdin("echo $((6*7)); echo no >&2; exit 3\n")
        talk.run_forever(timeout=10)
        assert talk.read_stdout() == "42\n"
        assert talk.read_stderr() == "no\n"
        assert talk.returncode == 3
        talk.sock.shutdown()


def test_what_exec_left_behind_ends_with_the_container(rig: Rig) -> None:
    rig.pod("leaves", "sleep", "3600")
    rig.kubectl("exec", "leaves", "--", "sh", "-c", "sleep 4242 & echo $!")
    assert _sleeping("4242")
    rig.kubectl("delete", "pod", "leaves", "--wait")
    assert not _sleeping("4242")


def _sleeping(seconds: str) -> bool:
    return any(f"sleep\0{seconds}\0" == p.read_text() for p in Path("/proc").glob("[0-9]*/cmdline") if p.exists())


def test_cp_copies_both_ways(rig: Rig, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in/data").write_bytes(os.urandom(2_000_000))
    (tmp_path / "in/link").symlink_to("data")
    place = tmp_path / "there"  # a process container shares the machine's files
    place.mkdir()
    rig.kubectl("cp", str(tmp_path / "in"), f"app:{place}")
    assert (place / "in/data").read_bytes() == (tmp_path / "in/data").read_bytes()
    rig.kubectl("cp", f"app:{place}/in/data", str(tmp_path / "back"))
    assert (tmp_path / "back").read_bytes() == (tmp_path / "in/data").read_bytes()


def test_attach_joins_output_and_stdin_of_a_container(rig: Rig) -> None:
    rig.pod(
        "echoes", "sh", "-c", "while read line; do echo got $line; done; echo over", restart="Never", stdin=True, stdinOnce=True
    )
    with subprocess.Popen(
        [KUBECTL, "attach", "-i", "echoes"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=rig.env, bufsize=0
    ) as client:
        assert client.stdin and client.stdout
        client.stdin.write(b"one\n")
        assert client.stdout.read(8) == b"got one\n"
        client.stdin.write(b"two\n")
        client.stdin.close()
        assert client.stdout.read() == b"got two\nover\n"
        assert client.wait(10) == 0
    assert rig.kubectl("logs", "echoes").startswith("got one\ngot two\nover\n")


def test_run_at_a_terminal_types_to_the_container(rig: Rig) -> None:
    run = ("run", "-it", "--rm", "--restart=Never", f"--image={rig.image}", "typed", "--", "sh", "-c", "PS1='$ ' exec sh -i")
    terminal = Terminal(rig, *run)
    terminal.expect("If you don't see a command prompt")
    terminal.type("stty size\n")
    terminal.expect("33 111")
    terminal.resize(20, 77)
    time.sleep(0.3)
    terminal.type("stty size\n")
    terminal.expect("20 77")
    terminal.type("exit 0\n")
    terminal.expect('pod "typed" deleted')
    assert terminal.end() == 0


def test_run_with_a_pipe_gives_the_answer(rig: Rig) -> None:
    done = rig.run("run", "-i", "--rm", "--restart=Never", f"--image={rig.image}", "sums", "--", "sha256sum", stdin=b"lateen")
    assert done.stdout, done.stderr
    assert done.stdout.decode().split()[0] == hashlib.sha256(b"lateen").hexdigest()


def test_attach_follows_a_container_without_stdin(rig: Rig) -> None:
    rig.pod("ticks", "sh", "-c", "i=0; while :; do i=$((i+1)); echo tick $i; sleep 0.05; done")
    with subprocess.Popen([KUBECTL, "attach", "ticks"], stdout=subprocess.PIPE, env=rig.env, bufsize=0) as client:
        assert client.stdout
        assert client.stdout.read(4) == b"tick"
        client.terminate()


SERVER = """
import http.server, os
class H(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = b"x" * int(self.path[1:] or 5)
        self.send_response(200); self.send_header("Content-Length", str(len(body))); self.end_headers(); self.wfile.write(body)
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200); self.send_header("Content-Length", str(len(body))); self.end_headers(); self.wfile.write(body)
    def log_message(self, *a): pass
http.server.ThreadingHTTPServer((os.environ["HOST"], int(os.environ["PORT"])), H).serve_forever()
"""


@pytest.fixture(scope="module")
def web(rig: Rig) -> str:
    """A pod that serves HTTP on port 8080."""
    probe = {"httpGet": {"path": "/", "port": 8080}, "periodSeconds": 1}
    rig.pod("web", sys.executable, "-c", SERVER, ports=[{"containerPort": 8080}], readinessProbe=probe)
    return "web"


def test_port_forward_carries_many_connections(rig: Rig, web: str) -> None:
    with subprocess.Popen([KUBECTL, "port-forward", web, ":8080"], stdout=subprocess.PIPE, env=rig.env) as client:
        assert client.stdout
        port = int(client.stdout.readline().split(b"127.0.0.1:")[1].split()[0])

        def get(size: int) -> int:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/{size}", timeout=20) as answer:
                return len(answer.read())

        with ThreadPoolExecutor(8) as pool:
            sizes = [1, 100_000, 3_000_000] * 8
            assert list(pool.map(get, sizes)) == sizes
        data = os.urandom(4_000_000)
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/", data=data, timeout=20) as answer:
            assert answer.read() == data
        client.terminate()


def test_port_forward_says_that_nobody_listens(rig: Rig, web: str) -> None:
    with subprocess.Popen(
        [KUBECTL, "port-forward", web, ":8999"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=rig.env
    ) as client:
        assert client.stdout and client.stderr
        port = int(client.stdout.readline().split(b"127.0.0.1:")[1].split()[0])
        with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
            assert connection.recv(10) == b""
        said = client.stderr.readline()
        assert b"error forwarding port 8999 to pod" in said
        assert b"connection refused" in said
        client.terminate()


def test_the_python_client_forwards_ports(rig: Rig, web: str) -> None:
    with kubernetes.config.new_client_from_config(str(rig.kubeconfig)) as client:  # type: ignore[no-untyped-call]
        connect = kubernetes.client.CoreV1Api(client).connect_get_namespaced_pod_portforward
        forward = stream.portforward(connect, web, "default", ports="8080")
        connection = forward.socket(8080)
        connection.settimeout(10)
        connection.sendall(b"GET /9 HTTP/1.0\r\n\r\n")
        said = b""
        while data := connection.recv(4096):
            said += data
        connection.close()
        assert said.endswith(b"x" * 9)
        assert forward.error(8080) is None
        forward.websocket.shutdown()


def test_debug_adds_an_ephemeral_container_and_attaches(rig: Rig) -> None:
    terminal = Terminal(rig, "debug", "-it", "app", f"--image={rig.image}", "--target=app", "-c", "probe", "--", "sh", "-i")
    terminal.expect("If you don't see a command prompt")
    terminal.type("echo $((6*7))\n")
    terminal.expect("42")
    terminal.type("exit 3\n")
    terminal.end()
    path = "{.status.ephemeralContainerStatuses[0].name}/{.status.ephemeralContainerStatuses[0].state.terminated.exitCode}"
    rig.kubectl("wait", "pod/app", "--for=jsonpath={.status.ephemeralContainerStatuses[0].state.terminated.exitCode}=3")
    assert rig.kubectl("get", "pod", "app", "-o", f"jsonpath={path}") == "probe/3"
    assert "42" in rig.kubectl("logs", "app", "-c", "probe")
    phase = "{.status.phase} {.status.containerStatuses[0].restartCount} {.status.conditions[?(@.type=='Ready')].status}"
    assert rig.kubectl("get", "pod", "app", "-o", f"jsonpath={phase}") == "Running 0 True"


def test_debug_copies_a_pod(rig: Rig) -> None:
    rig.kubectl("debug", "app", "--copy-to=copied", "--container=app", "--", "sh", "-c", "echo copy; sleep 3600")
    rig.kubectl("wait", "--for=condition=Ready", "pod/copied", "--timeout=20s")
    assert rig.kubectl("logs", "copied", "-c", "app") == "copy\n"


def test_ephemeral_containers_are_checked(rig: Rig) -> None:
    pod = json.loads(rig.kubectl("get", "pod", "app", "-o", "json"))
    bad = {"name": "app", "image": rig.image, "targetContainerName": "none", "ports": [{"containerPort": 1}]}
    pod["spec"].setdefault("ephemeralContainers", []).append(bad)
    path = "/api/v1/namespaces/default/pods/app/ephemeralcontainers"
    said = rig.run("replace", "--raw", path, "-f", "-", stdin=json.dumps(pod).encode()).stderr.decode()
    assert 'targetContainerName: Not found: "none"' in said
    assert "ports: Forbidden: cannot be set for an Ephemeral Container" in said
    assert 'Duplicate value: "app"' in said


def test_top_shows_what_nodes_and_pods_use(rig: Rig) -> None:
    rig.pod("busy", "sh", "-c", "while :; do :; done")
    lines = {line.split()[0]: line.split()[1:] for line in rig.kubectl("top", "pods", "--no-headers").splitlines()}
    assert int(lines["busy"][0].rstrip("m")) > 100
    assert int(lines["app"][0].rstrip("m")) < 50
    assert 0 < int(lines["app"][1].rstrip("Mi")) < 100
    node = rig.kubectl("top", "nodes", "--no-headers").split()
    assert node[0] == "node-0"
    assert int(node[1].rstrip("m")) >= 100
    assert rig.kubectl("top", "pod", "busy", "--containers", "--no-headers").split()[:2] == ["busy", "app"]
    assert rig.kubectl("get", "pods.metrics.k8s.io").splitlines()[0].split() == ["NAME", "CPU", "MEMORY", "WINDOW"]
    rig.kubectl("delete", "pod", "busy", "--now")


def test_the_kubelets_pages_are_reached_through_the_node(rig: Rig) -> None:
    found = json.loads(rig.kubectl("get", "--raw", "/api/v1/nodes/node-0/proxy/stats/summary"))
    pods = {p["podRef"]["name"]: p for p in found["pods"]}
    assert pods["app"]["containers"][0]["memory"]["workingSetBytes"] > 100_000
    assert found["node"]["nodeName"] == "node-0"
    metrics = rig.kubectl("get", "--raw", "/api/v1/nodes/node-0/proxy/metrics/resource")
    assert 'container_cpu_usage_seconds_total{container="app",namespace="default",pod="app"}' in metrics
    assert "node_memory_working_set_bytes " in metrics


def test_pods_and_services_are_reached_through_proxies(rig: Rig, web: str) -> None:
    assert rig.kubectl("get", "--raw", f"/api/v1/namespaces/default/pods/{web}:8080/proxy/7") == "x" * 7
    rig.kubectl("label", "pod", web, "app=web")
    rig.kubectl("expose", "pod", web, "--port=80", "--target-port=8080", "--selector=app=web")
    rig.kubectl(
        "wait", "endpointslices", "-lkubernetes.io/service-name=web", "--for=jsonpath={.endpoints[0].conditions.ready}=true"
    )
    assert rig.kubectl("get", "--raw", "/api/v1/namespaces/default/services/web:80/proxy/300000") == "x" * 300_000
    posted = rig.kubectl("create", "--raw", f"/api/v1/namespaces/default/pods/{web}/proxy/", "-f", "-", stdin=b"posted")
    assert posted == "posted"
    refused = rig.run("get", "--raw", f"/api/v1/namespaces/default/pods/{web}:1/proxy/")
    assert b"error trying to reach service" in refused.stderr


LINES = "i=0; while [ $i -lt 5 ]; do i=$((i+1)); echo line $i; done; "


def test_logs_of_a_restarted_container(rig: Rig) -> None:
    gate = rig.folder / "gate"
    container = {"image": rig.image, "name": "app"}
    first = {
        **container,
        "command": ["sh", "-c", f"if [ -e {gate} ]; then echo second; sleep 3600; fi; {LINES} touch {gate}; exit 1"],
    }
    side = {**container, "name": "side", "command": ["sh", "-c", "echo beside; sleep 3600"]}
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "twice", "labels": {"logs": "yes"}}}
    spec = {"containers": [first, side], "terminationGracePeriodSeconds": 1}
    rig.kubectl("apply", "-f", "-", stdin=json.dumps({**pod, "spec": spec}).encode())
    restarted = "--for=jsonpath={.status.containerStatuses[?(@.name=='app')].restartCount}=1"
    rig.kubectl("wait", "pod/twice", restarted, "--timeout=20s")
    rig.kubectl("wait", "--for=condition=Ready", "pod/twice", "--timeout=20s")
    assert rig.kubectl("logs", "twice", "-c", "app", "--previous", "--tail=2") == "line 4\nline 5\n"
    assert rig.kubectl("logs", "twice", "-c", "app") == "second\n"
    stamp, text = rig.kubectl("logs", "twice", "-c", "app", "--timestamps").split(" ", 1)
    assert text == "second\n"
    assert rig.kubectl("logs", "twice", "-c", "app", f"--since-time={stamp[:11]}00:00:00Z") == "second\n"
    assert rig.kubectl("logs", "twice", "-c", "app", "--limit-bytes=3") == "sec"
    prefixed = rig.kubectl("logs", "-l", "logs=yes", "--all-containers", "--prefix")
    assert sorted(prefixed.splitlines()) == ["[pod/twice/app] second", "[pod/twice/side] beside"]
    assert b"previous terminated container" in rig.run("logs", "twice", "-c", "side", "-p").stderr
    time.sleep(1.5)
    assert rig.kubectl("logs", "twice", "-c", "app", "--since=1s") == ""
