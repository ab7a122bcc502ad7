"""A namespace with a bit of everything comes, is scaled to none and back, and goes: nothing of it is left, neither in the API nor
on the machine."""

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from bench.left import asking, machine, objects
from oci_images import busybox, need
from test_oci_cluster import Rig

from lateen.images.layout import ImageStore

pytestmark = [pytest.mark.peer, pytest.mark.unprivileged, pytest.mark.timeout(120)]
MANY = 6
SERVER = "mkdir -p /www && echo ok > /www/index.html && exec busybox httpd -f -p 8080 -h /www"
MANIFEST = """
apiVersion: v1
kind: List
items:
- {apiVersion: v1, kind: ConfigMap, metadata: {name: settings}, data: {a: b}}
- {apiVersion: v1, kind: Secret, metadata: {name: key}, stringData: {a: b}}
- {apiVersion: v1, kind: ServiceAccount, metadata: {name: runner}}
- {apiVersion: v1, kind: PersistentVolumeClaim, metadata: {name: shared},
   spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Mi}}}}
- {apiVersion: v1, kind: Service, metadata: {name: web},
   spec: {type: NodePort, selector: {app: web}, ports: [{name: http, port: 80, targetPort: 8080}]}}
- {apiVersion: v1, kind: Service, metadata: {name: data}, spec: {clusterIP: None, selector: {app: data}, ports: [{port: 80}]}}
- {apiVersion: policy/v1, kind: PodDisruptionBudget, metadata: {name: web},
   spec: {maxUnavailable: 1, selector: {matchLabels: {app: web}}}}
- {apiVersion: v1, kind: ResourceQuota, metadata: {name: bound}, spec: {hard: {pods: "50"}}}
- {apiVersion: networking.k8s.io/v1, kind: Ingress, metadata: {name: web},
   spec: {defaultBackend: {service: {name: web, port: {number: 80}}}}}
- apiVersion: apps/v1
  kind: Deployment
  metadata: {name: web}
  spec:
    replicas: MANY
    selector: {matchLabels: {app: web}}
    template:
      metadata: {labels: {app: web}}
      spec: &pod
        serviceAccountName: runner
        terminationGracePeriodSeconds: 1
        volumes:
        - {name: own, emptyDir: {medium: Memory}}
        - {name: settings, configMap: {name: settings}}
        - {name: key, secret: {secretName: key}}
        containers:
        - name: app
          image: bb
          imagePullPolicy: Never
          command: [sh, -c, SERVER]
          readinessProbe: {httpGet: {path: /, port: 8080}, periodSeconds: 1}
          volumeMounts: [{name: own, mountPath: /own}, {name: settings, mountPath: /settings}, {name: key, mountPath: /key}]
- apiVersion: apps/v1
  kind: StatefulSet
  metadata: {name: data}
  spec:
    serviceName: data
    replicas: 1
    selector: {matchLabels: {app: data}}
    volumeClaimTemplates:
    - {metadata: {name: disk}, spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Mi}}}}
    template:
      metadata: {labels: {app: data}}
      spec:
        terminationGracePeriodSeconds: 1
        volumes: [{name: shared, persistentVolumeClaim: {claimName: shared}}]
        containers:
        - {name: app, image: bb, imagePullPolicy: Never, command: [sleep, "600"],
           volumeMounts: [{name: disk, mountPath: /disk}, {name: shared, mountPath: /shared}]}
- apiVersion: batch/v1
  kind: Job
  metadata: {name: once}
  spec:
    template:
      spec:
        restartPolicy: Never
        containers: [{name: app, image: bb, imagePullPolicy: Never, command: ["true"]}]
"""


@pytest.fixture(params=["process", "auto"])
def rig(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Rig]:
    need("crun", "busybox-static")
    found = Rig(tmp_path / "home")
    try:
        found.lateen("cluster", "start", "--runtime", request.param)
        busybox(ImageStore(found.home / "images"), "bb")
        yield found
    finally:
        found.lateen("cluster", "stop")


def until(done: Callable[[], bool], seconds: float, what: Callable[[], object] = lambda: "it did not happen") -> None:
    end = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < end, what()
        time.sleep(0.1)


def test_nothing_is_left_of_a_namespace(rig: Rig) -> None:
    def picture() -> set[str]:
        with asking(rig.folder / "kubeconfig") as get:
            return objects(get, gone="story") | machine(rig.home)

    def pods() -> int:
        return len(json.loads(rig.kubectl("get", "pods", "-n", "story", "-l", "app=web", "-o", "json"))["items"])

    def story() -> set[str]:
        rig.kubectl("create", "namespace", "story")
        rig.kubectl("apply", "-n", "story", "-f", "-", text=MANIFEST.replace("MANY", str(MANY)).replace("SERVER", SERVER))
        rig.kubectl("rollout", "status", "deploy/web", "sts/data", "-n", "story", "--timeout=40s")
        rig.kubectl("wait", "job/once", "-n", "story", "--for=condition=Complete", "--timeout=20s")
        rig.kubectl("scale", "deploy/web", "-n", "story", "--replicas=0")
        until(lambda: pods() == 0, 20)
        rig.kubectl("scale", "deploy/web", "-n", "story", f"--replicas={MANY}")
        rig.kubectl("rollout", "status", "deploy/web", "-n", "story", "--timeout=40s")
        during = picture()
        rig.kubectl("delete", "namespace", "story", "--timeout=40s")
        return during

    story()  # what a first one leaves for the next stays: unpacked layers, folders
    time.sleep(1)
    before = picture()
    during = story() - before
    for kind in ("pods ", "persistentvolumes ", "endpointslices.discovery", "process ", "file ", "net namespace"):
        assert any(found.startswith(kind) for found in during), (kind, sorted(during)[:50])
    until(lambda: not picture() - before, 15, lambda: sorted(picture() - before))
