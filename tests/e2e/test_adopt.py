"""``lateen adopt`` as a user types it: manifests from stdin, the real Helm, the real Kustomize, a folder to write to."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from lateen.adopt.packages import _beside
from lateen.kube.meta import Object

pytestmark = pytest.mark.timeout(60)
CHART = {
    "Chart.yaml": "apiVersion: v2\nname: shop\nversion: 0.1.0\n",
    "values.yaml": "replicas: 1\nimage: {tag: one}\n",
    "templates/web.yaml": """
apiVersion: apps/v1
kind: Deployment
metadata: {name: "{{ .Release.Name }}-web", labels: {helm.sh/chart: shop-0.1.0}}
spec:
  replicas: {{ .Values.replicas }}
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: web, image: "web:{{ .Values.image.tag }}", ports: [{containerPort: 80}]}]}
---
apiVersion: v1
kind: Service
metadata: {name: "{{ .Release.Name }}-web"}
spec: {selector: {app: web}, ports: [{port: 80}]}
""",
    "templates/tests/check.yaml": """
apiVersion: v1
kind: Pod
metadata: {name: check, annotations: {helm.sh/hook: test}}
spec: {containers: [{name: c, image: busybox}]}
""",
    "templates/NOTES.txt": "hello",
}
KUSTOMIZATION = {
    "base/kustomization.yaml": "resources: [web.yaml]\n",
    "base/web.yaml": """
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: web, image: web}]}
""",
    "prod/kustomization.yaml": """
namespace: live
resources: [../base]
replicas: [{name: web, count: 4}]
images: [{name: web, newTag: "2"}]
configMapGenerator: [{name: settings, literals: [a=b]}]
""",
}


def lateen(*argv: str, code: int = 0, given: str = "", cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "lateen", *argv]
    done = subprocess.run(command, input=given, capture_output=True, text=True, timeout=60, check=False, cwd=cwd)
    assert done.returncode == code, done.stderr
    return done


def put(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


def rendered(folder: Path) -> dict[tuple[str, str], Object]:
    text = lateen("render", "-f", str(folder / "lateen.yaml"), "--no-build").stdout
    return {(o["kind"], o["metadata"]["name"]): o for o in yaml.safe_load_all(text)}


def test_a_chart(tmp_path: Path) -> None:
    pytest.importorskip("helm_python", reason="helm-python-sdk has no wheel for this machine")
    chart = put(tmp_path / "chart", CHART)
    (tmp_path / "more.yaml").write_text("replicas: 3\nimage: {tag: two}\n")
    done = lateen("adopt", str(chart), "--app", "shop", "--values", str(tmp_path / "more.yaml"), "--to", str(tmp_path / "out"))
    assert "check" in done.stderr
    assert "helm.sh/hook" in done.stderr
    objects = rendered(tmp_path / "out")
    assert objects.keys() == {("Namespace", "shop"), ("Deployment", "shop-web"), ("Service", "shop-web")}
    spec = objects["Deployment", "shop-web"]["spec"]
    assert spec["replicas"] == 3
    assert spec["template"]["spec"] == {
        "containers": [{"name": "web", "image": "web:two", "ports": [{"containerPort": 80, "protocol": "TCP"}]}]
    } | {k: v for k, v in spec["template"]["spec"].items() if k != "containers"}
    assert spec["template"]["metadata"]["labels"] == {"app": "web"}


def test_a_kustomization(tmp_path: Path) -> None:
    if not _beside("kubectl"):
        pytest.skip("there is no kubectl")
    folder = put(tmp_path / "k", KUSTOMIZATION)
    answer = json.loads(lateen("adopt", str(folder / "prod"), "-o", "json").stdout)
    assert answer["model"]["name"] == "live"
    assert answer["model"]["services"]["web"]["replicas"] == 4
    assert answer["model"]["services"]["web"]["image"] == "web:2"
    (lost,) = answer["lost"]
    assert lost["what"].startswith("ConfigMap settings-")
    assert "(kubectl kustomize):" in lost["where"]


def test_from_stdin_and_a_folder_that_has_a_file_already(tmp_path: Path) -> None:
    text = KUSTOMIZATION["base/web.yaml"]
    done = lateen("adopt", "-", given=text)
    model: Any = yaml.safe_load(done.stdout)
    assert model["services"]["web"]["image"] == "web"
    (tmp_path / "lateen.yaml").write_text("mine")
    assert "is there already" in lateen("adopt", "-", "--to", str(tmp_path), given=text, code=2).stderr
    lateen("adopt", "-", "--to", str(tmp_path), "--force", given=text)
    assert (tmp_path / "lateen.yaml").read_text().startswith("apiVersion: lateen.dev/v1")


def test_a_score_file_is_an_application_file(tmp_path: Path) -> None:
    (tmp_path / "score.yaml").write_text(
        "apiVersion: score.dev/v1b1\nmetadata: {name: a}\ncontainers: {m: {image: 'x:1'}}\nservice: {ports: {web: {port: 80}}}\n"
    )
    text = lateen("render", "-f", "score.yaml", "--no-build", cwd=tmp_path).stdout
    assert {o["kind"] for o in yaml.safe_load_all(text)} >= {"Deployment", "Service"}
    assert "services:" in lateen("adopt", ".", cwd=tmp_path).stdout


def test_neither_sources_nor_live() -> None:
    assert "name either sources or --live" in lateen("adopt", code=2).stderr
    assert "which namespace?" in lateen("adopt", "--live", code=2).stderr


def test_paths_move_with_the_file_and_compose_files_are_checked(tmp_path: Path) -> None:
    compose = "services: {a: {build: ./a, configs: [c], secrets: [s]}}\nconfigs: {c: {file: c.conf}}\nsecrets: {s: {file: ./key}}\n"
    put(tmp_path / "in", {"compose.yaml": compose, "c.conf": "c", "a/main.py": "", "key": "k"})
    lateen("adopt", str(tmp_path / "in"), "--to", str(tmp_path / "out"))
    service = yaml.safe_load((tmp_path / "out/lateen.yaml").read_text())["services"]["a"]
    assert service["build"] == {"context": "../in/a"}
    assert service["config"]["/c"]["source"] == "../in/c.conf"
    assert service["secrets"]["/run/secrets/s"]["from"] == "file:../in/key"
    findings = lateen("check", str(tmp_path / "in/compose.yaml"), "-o", "json").stdout
    assert "compose.yaml" in findings
