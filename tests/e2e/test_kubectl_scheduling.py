"""Where pods go and why, and what controllers say of it, on hollow nodes, with kubectl."""

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from test_oci_cluster import Rig

pytestmark = [pytest.mark.peer, pytest.mark.timeout(90)]
ZONE = "topology.kubernetes.io/zone"
POD = """
      tolerations: [{key: lateen.dev/fake, operator: Exists}]
      nodeSelector: {lateen.dev/runtime: fake}
      containers: [{name: c, image: registry.local/app:1, resources: {requests: {cpu: 10m}}}]
"""
WORKLOADS = f"""
apiVersion: apps/v1
kind: Deployment
metadata: {{name: web}}
spec:
  replicas: 4
  selector: {{matchLabels: {{app: web}}}}
  template:
    metadata: {{labels: {{app: web}}}}
    spec:{POD}
---
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata: {{name: web}}
spec: {{maxUnavailable: 0, selector: {{matchLabels: {{app: web}}}}}}
---
apiVersion: storage.k8s.io/v1
kind: StorageClass
metadata: {{name: disks}}
provisioner: kubernetes.io/no-provisioner
volumeBindingMode: WaitForFirstConsumer
---
apiVersion: v1
kind: PersistentVolume
metadata: {{name: disk}}
spec:
  storageClassName: disks
  capacity: {{storage: 1Gi}}
  accessModes: [ReadWriteOncePod]
  local: {{path: /mnt}}
  nodeAffinity:
    required:
      nodeSelectorTerms: [{{matchExpressions: [{{key: kubernetes.io/hostname, operator: In, values: [NODE]}}]}}]
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {{name: data}}
spec: {{storageClassName: disks, accessModes: [ReadWriteOncePod], resources: {{requests: {{storage: 1Gi}}}}}}
---
apiVersion: apps/v1
kind: StatefulSet
metadata: {{name: db}}
spec:
  replicas: 2
  podManagementPolicy: Parallel
  selector: {{matchLabels: {{app: db}}}}
  template:
    metadata: {{labels: {{app: db}}}}
    spec:{POD}
      volumes: [{{name: data, persistentVolumeClaim: {{claimName: data}}}}]
"""


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    found = Rig(tmp_path / "home")
    try:
        found.lateen("cluster", "start", "--fake-nodes", "4")
        yield found
    finally:
        found.lateen("cluster", "stop")


def until(what: Callable[[], Any], seconds: float = 15) -> Any:
    end = time.monotonic() + seconds
    while not (found := what()):
        assert time.monotonic() < end
        time.sleep(0.1)
    return found


def items(rig: Rig, *argv: str) -> list[Any]:
    found: list[Any] = json.loads(rig.kubectl("get", *argv, "-o", "json"))["items"]
    return found


def test_pods_find_their_nodes_and_everybody_says_why(rig: Rig) -> None:
    nodes = [n["metadata"]["name"] for n in items(rig, "nodes", "-l", "lateen.dev/runtime=fake")]
    zones = dict(zip(nodes, ("a", "a", "a", "b"), strict=True))
    for name, zone in zones.items():
        rig.kubectl("label", "node", name, f"{ZONE}={zone}")
    rig.kubectl("apply", "-f", "-", text=WORKLOADS.replace("NODE", nodes[2]))
    rig.kubectl("rollout", "status", "deploy/web", "--timeout=20s")
    placed = [p["spec"]["nodeName"] for p in items(rig, "pods", "-l", "app=web")]
    assert sorted(placed) == sorted(nodes)

    def bound() -> Any:
        pods = items(rig, "pods", "-l", "app=db")
        waiting = [p for p in pods if "nodeName" not in p["spec"] and "conditions" in p["status"]]
        return (pods, waiting) if len(pods) == 2 and len(waiting) == 1 else None

    pods, (waiting,) = until(bound)
    assert {p["spec"].get("nodeName") for p in pods} == {nodes[2], None}
    assert rig.kubectl("get", "pvc", "data", "-o", "jsonpath={.status.phase} {.spec.volumeName}") == "Bound disk"
    assert "ReadWriteOncePod access mode" in waiting["status"]["conditions"][0]["message"]
    sources = {e["source"]["component"] for e in items(rig, "events")} | {e["reportingComponent"] for e in items(rig, "events")}
    assert {"deployment-controller", "replicaset-controller", "statefulset-controller", "default-scheduler"} <= sources
    assert {"persistentvolume-controller", "node-controller"} <= sources
    assert "controller-manager" not in sources
    _budget_holds(rig, placed[0])


def _budget_holds(rig: Rig, node: str) -> None:
    """kubectl drain waits for the budget, and goes through once it allows a disruption."""
    command = [str(Path(sys.executable).parent / "kubectl"), "drain", node, "--ignore-daemonsets", "--timeout=2s", "--force"]
    refused = subprocess.run(command, env=rig.env, capture_output=True, text=True, check=False)
    assert refused.returncode != 0
    assert "Cannot evict pod as it would violate the pod's disruption budget." in refused.stderr
    rig.kubectl("patch", "pdb", "web", "--type=merge", "-p", '{"spec":{"maxUnavailable":"50%"}}')
    until(lambda: rig.kubectl("get", "pdb", "web", "-o", "jsonpath={.status.disruptionsAllowed}/{.status.expectedPods}") == "2/4")
    assert "drained" in rig.kubectl("drain", node, "--ignore-daemonsets", "--timeout=20s", "--force")
    rig.kubectl("rollout", "status", "deploy/web", "--timeout=20s")
    assert node not in [
        p["spec"]["nodeName"] for p in items(rig, "pods", "-l", "app=web") if "deletionTimestamp" not in p["metadata"]
    ]
