"""Everything in a cluster's network is killed at once, so that the network itself is gone: all comes back in a new one."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import pytest
from net_rig import NetCluster, eventually, net_cluster, pod, service

pytestmark = [pytest.mark.unprivileged, pytest.mark.timeout(120)]
SERVER = """
import http.server
http.server.ThreadingHTTPServer(("0.0.0.0", 8080), http.server.SimpleHTTPRequestHandler).serve_forever()
"""
ASK = """
import urllib.request
try:
    print(urllib.request.urlopen("http://web/", timeout=3).status)
except OSError as error:
    print(error)
"""


def spec() -> dict[str, object]:
    labels = {"app": "web"}
    probe = {"tcpSocket": {"port": 8080}, "periodSeconds": 1}
    template = pod("web", SERVER, labels=labels, container={"readinessProbe": probe})
    template = {"metadata": {"labels": labels}, "spec": template["spec"]}
    wanted = {"replicas": 2, "selector": {"matchLabels": labels}, "template": template}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"}, "spec": wanted}


def namespace(pid: int | str) -> str:
    try:
        return str(Path(f"/proc/{pid}/ns/net").readlink())
    except OSError:
        return ""


def inhabitants(net: NetCluster) -> set[int]:
    """Processes whose network is the cluster's, and the descendants of those, which have networks of their own."""
    home = namespace(net.process("network"))
    parents = {int(p.name): _parent(p) for p in Path("/proc").iterdir() if p.name.isdigit()}
    found = {pid for pid in parents if namespace(pid) == home}
    while more := {pid for pid, parent in parents.items() if parent in found} - found:
        found |= more
    return found


def story(net: NetCluster) -> str:
    """What there is to know when names or services do not come back."""
    log = (net.folder / "daemon.log").read_text()[-3000:]
    said = [net.python("client", ASK), net.python("client", "print(open('/etc/resolv.conf').read())")]
    said += [net.kubectl("get", kind, "-o", "wide") for kind in ("pods", "endpointslices", "services")]
    where = {name: namespace(net.process(name)) for name in ("network", "envoy-mesh", "envoy-edge", "dns")}
    return "\n".join([*said, str(where), log])


def _parent(process: Path) -> int:
    try:
        return int((process / "stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return 0


def test_a_network_that_is_gone_comes_back_with_services_and_names(tmp_path: Path) -> None:
    with net_cluster(tmp_path / "home") as net:
        net.apply(service("web", ports=[{"name": "http", "port": 80, "targetPort": 8080}], selector={"app": "web"}), spec())
        net.kubectl("rollout", "status", "deployment/web", "--timeout=30s")
        net.apply(pod("client"))
        net.ready("client")
        assert net.python("client", ASK) == "200"
        before, doomed = namespace(net.process("network")), inhabitants(net)
        assert len(doomed) >= 7  # keeper, process owner, two proxies, three pods
        for pid in doomed:
            os.kill(pid, signal.SIGSTOP)  # or they would be followed by others in the same network
        for pid in doomed:
            os.kill(pid, signal.SIGKILL)
        eventually(lambda: namespace(net.process("network")) not in ("", before), 30)
        net.kubectl("delete", "pod", "client", "--ignore-not-found", "--grace-period=0", "--force")
        net.apply(pod("client"))
        net.ready("client")
        try:
            eventually(lambda: net.python("client", ASK) == "200", 30)
        except AssertionError as error:
            raise AssertionError(story(net)) from error
        proxies = ("network", "envoy-mesh", "envoy-edge")
        eventually(lambda: len({namespace(net.process(name)) for name in proxies}) == 1, 30)  # one of them may just be starting
        net.kubectl("rollout", "status", "deployment/web", "--timeout=30s")
        states = json.loads(net.kubectl("get", "deployment", "web", "-o", "json"))["status"]
        assert states["readyReplicas"] == 2
