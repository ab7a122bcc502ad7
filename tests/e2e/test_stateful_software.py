"""Real software in containers: Redis as a StatefulSet, whose data survives pod, node and daemon; nginx behind a Service."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from oci_images import busybox, need, program

from lateen.images.layout import ImageStore

pytestmark = [pytest.mark.peer, pytest.mark.timeout(180)]
KUBECTL = Path(sys.executable).parent / "kubectl"
REDIS = """
apiVersion: v1
kind: Service
metadata: {name: redis}
spec: {clusterIP: None, selector: {app: redis}, ports: [{port: 6379}]}
---
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: redis}
spec:
  serviceName: redis
  replicas: 2
  selector: {matchLabels: {app: redis}}
  template:
    metadata: {labels: {app: redis}}
    spec:
      terminationGracePeriodSeconds: 5
      containers:
        - name: redis
          image: redis
          imagePullPolicy: Never
          command: [/usr/bin/redis-server, --appendonly, "yes", --dir, /data, --bind, 0.0.0.0, --protected-mode, "no"]
          ports: [{containerPort: 6379, name: redis}]
          readinessProbe: {tcpSocket: {port: redis}, periodSeconds: 1}
          volumeMounts: [{name: data, mountPath: /data}]
  volumeClaimTemplates:
    - metadata: {name: data}
      spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 100Mi}}}
"""
NGINX = """
apiVersion: v1
kind: ConfigMap
metadata: {name: nginx}
data:
  nginx.conf: |
    user web web; daemon off; worker_processes 1; error_log stderr; pid /tmp/nginx.pid;
    events {}
    http { access_log off; server { listen 8080; location / { return 200 "hello from $hostname\\n"; } } }
---
apiVersion: v1
kind: Service
metadata: {name: nginx}
spec: {selector: {app: nginx}, ports: [{port: 80, targetPort: 8080}]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: nginx}
spec:
  replicas: 2
  selector: {matchLabels: {app: nginx}}
  template:
    metadata: {labels: {app: nginx}}
    spec:
      containers:
        - name: nginx
          image: nginx
          imagePullPolicy: Never
          command: [/usr/sbin/nginx, -c, /etc/conf/nginx.conf]
          readinessProbe: {httpGet: {path: /, port: 8080}, periodSeconds: 1}
          volumeMounts: [{name: conf, mountPath: /etc/conf}, {name: lib, mountPath: /var/lib/nginx}]
      volumes:
        - {name: conf, configMap: {name: nginx}}
        - {name: lib, emptyDir: {}}
"""


class Rig:
    """The command line and kubectl, with a home of its own."""

    def __init__(self, home: Path) -> None:
        self.home, self.folder = home, home / "clusters/default"
        self.env = {**os.environ, "LATEEN_HOME": str(home), "KUBECONFIG": str(self.folder / "kubeconfig"), "HOME": str(home)}
        self.env.pop("LATEEN_CLUSTER", None)

    def lateen(self, *argv: str) -> str:
        command = [sys.executable, "-m", "lateen", *argv]
        return subprocess.run(command, env=self.env, capture_output=True, text=True, timeout=60, check=True).stdout

    def kubectl(self, *argv: str, text: str = "") -> str:
        command = [str(KUBECTL), *argv]
        done = subprocess.run(command, env=self.env, input=text, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, f"{argv}: {done.stdout}{done.stderr}"
        return done.stdout

    def get(self, *what: str) -> Any:
        return json.loads(self.kubectl("get", *what, "-o", "json"))

    def redis(self, pod: str, *command: str) -> str:
        return self.kubectl("exec", pod, "--", "/usr/bin/redis-cli", *command).strip()


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    need("crun", "busybox-static", "redis-server", "nginx-light")
    found = Rig(tmp_path_factory.mktemp("home"))
    store = ImageStore(found.home / "images")
    busybox(store, "redis", program("/usr/bin/redis-server") | program("/usr/bin/redis-cli"))
    busybox(store, "nginx", program("/usr/sbin/nginx") | {"var/log/nginx/": ""})
    try:
        found.lateen("cluster", "start", "--runtime", "oci")
        yield found
    finally:
        found.lateen("cluster", "stop")


@pytest.mark.skipif(os.geteuid() != 0, reason="as root: nginx and Redis change users")
def test_what_redis_acknowledged_survives_its_pod_the_daemon_and_the_node(rig: Rig) -> None:
    rig.kubectl("apply", "-f", "-", text=REDIS)
    rig.kubectl("rollout", "status", "statefulset/redis", "--timeout=30s")
    assert [p["metadata"]["name"] for p in rig.get("pods", "-l", "app=redis")["items"]] == ["redis-0", "redis-1"]
    for pod in ("redis-0", "redis-1"):
        assert rig.redis(pod, "set", "who", pod) == "OK"
    before = rig.get("pod", "redis-0")["metadata"]["uid"]
    rig.kubectl("delete", "pod", "redis-0", "--wait=true")
    rig.kubectl("wait", "--for=condition=Ready", "pod/redis-0", "--timeout=20s")
    assert rig.get("pod", "redis-0")["metadata"]["uid"] != before
    assert rig.redis("redis-0", "get", "who") == "redis-0"
    assert rig.redis("redis-0", "set", "after", "delete") == "OK"
    os.kill(json.loads(rig.lateen("cluster", "status", "-o", "json"))["pid"], signal.SIGKILL)
    rig.lateen("cluster", "start")
    assert rig.redis("redis-0", "get", "after") == "delete"
    rig.lateen("cluster", "stop")
    rig.lateen("cluster", "start")
    rig.kubectl("rollout", "status", "statefulset/redis", "--timeout=30s")
    assert [rig.redis(p, "get", "who") for p in ("redis-0", "redis-1")] == ["redis-0", "redis-1"]


@pytest.mark.skipif(os.geteuid() != 0, reason="as root: nginx and Redis change users")
def test_kubectl_rolls_a_stateful_set_out_and_back(rig: Rig) -> None:
    manifest = list(yaml.safe_load_all(REDIS))
    manifest[1]["metadata"]["name"] = manifest[1]["spec"]["template"]["metadata"]["labels"]["app"] = "back"
    manifest[1]["spec"]["selector"]["matchLabels"]["app"] = "back"
    rig.kubectl("apply", "-f", "-", text=yaml.safe_dump(manifest[1]))
    rig.kubectl("rollout", "status", "sts/back", "--timeout=30s")
    rig.kubectl("set", "env", "sts/back", "VERSION=2")
    assert "roll out complete: 2 new pods" in rig.kubectl("rollout", "status", "sts/back", "--timeout=30s")
    assert rig.kubectl("rollout", "history", "sts/back").split()[-4:] == ["1", "<none>", "2", "<none>"]
    rig.kubectl("rollout", "undo", "sts/back")
    rig.kubectl("rollout", "status", "sts/back", "--timeout=30s")
    assert "env" not in rig.get("pod", "back-0")["spec"]["containers"][0]
    assert "Successful" in rig.kubectl("describe", "sts", "back")
    rig.kubectl("scale", "sts/back", "--replicas=0")
    rig.kubectl("wait", "--for=delete", "pod/back-0", "--timeout=20s")


@pytest.mark.skipif(os.geteuid() != 0, reason="as root: nginx and Redis change users")
def test_nginx_answers_through_its_service(rig: Rig) -> None:
    rig.kubectl("apply", "-f", "-", text=NGINX)
    rig.kubectl("rollout", "status", "deployment/nginx", "--timeout=30s")
    ip = rig.get("service", "nginx")["spec"]["clusterIP"]
    seen: set[str] = set()
    deadline = time.monotonic() + 10
    while len(seen) < 2:
        assert time.monotonic() < deadline, seen
        seen.add(rig.kubectl("exec", "deploy/nginx", "--", "busybox", "wget", "-qO-", f"http://{ip}/"))
    names = {p["metadata"]["name"] for p in rig.get("pods", "-l", "app=nginx")["items"]}
    assert seen == {f"hello from {name}\n" for name in names}
