"""The real Helm makes of our charts exactly what plain rendering gives, and installs, upgrades and rolls them back."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import packages
import pytest

from conftest import KubeServer
from lateen.kube.meta import Object
from lateen.render.targets import TARGETS, Graph

helm = pytest.importorskip("helm_python", reason="helm-python-sdk has no wheel for this machine")


def chart(graph: Graph, folder: Path) -> Path:
    return packages.put(folder / "chart", TARGETS["helm"].write(graph))


def check(graph: Graph, folder: Path) -> None:
    made = chart(graph, folder)
    for name, variant in {"": graph.base, **graph.environments}.items():
        got = packages.helmed(made, variant.app, name)
        assert packages.differences(got, variant.objects, packages.released) == [], name
        found = helm.lint(str(made), packages.values_of(made, name), strict=True, namespace=variant.app.namespace)
        assert found["errors"] == []
        assert [m["error"] for m in found["messages"]] == ["icon is recommended"]


@pytest.mark.parametrize("file", packages.EXAMPLES, ids=lambda p: f"{p.parent.name}-{p.name}")
def test_every_story_and_example(file: Path, tmp_path: Path) -> None:
    check(packages.graph_of(file.read_text(), files=packages.FILES), tmp_path)


@pytest.mark.parametrize("manifests", [(), packages.FOREIGN], ids=["own", "foreign"])
def test_environments(manifests: list[Object], tmp_path: Path) -> None:
    check(packages.graph_of(packages.ENVIRONMENTS, manifests=manifests), tmp_path)


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Graph]:
    graph = packages.graph_of(packages.ENVIRONMENTS.replace("name: shop", "name: shop\ngateways: {default: {ingress: true}}", 1))
    return chart(graph, tmp_path_factory.mktemp("shop")), graph


def rendered(shop: tuple[Path, Graph], values: dict[str, Any]) -> dict[tuple[str, ...], Object]:
    return {k[1:2] + k[3:]: v for k, v in packages.normal(packages.helmed(shop[0], shop[1].base.app, "", values)).items()}


def test_values_reach_where_they_should(shop: tuple[Path, Graph]) -> None:
    web = {
        "image": {"repository": "mirror/web", "tag": "2.0"},
        "replicas": 0,
        "env": {"LEVEL": "debug", "MORE": "1"},
        "resources": {"requests": {"cpu": "1"}},
        "podAnnotations": {"note": "x"},
        "nodeSelector": {"disk": "ssd"},
    }
    found = rendered(shop, {"services": {"web": web, "legacy": {"enabled": False}}, "imagePullSecrets": [{"name": "pull"}]})
    assert not [k for k in found if "legacy" in k]
    deployment = found["Deployment", "web"]
    pod = deployment["spec"]["template"]["spec"]
    assert deployment["spec"]["replicas"] == 0
    assert deployment["metadata"]["labels"]["app.kubernetes.io/version"] == "2.0"
    assert deployment["spec"]["template"]["metadata"]["annotations"] == {"note": "x"}
    assert (pod["nodeSelector"], pod["imagePullSecrets"]) == ({"disk": "ssd"}, [{"name": "pull"}])
    container = pod["containers"][0]
    assert container["image"] == "mirror/web:2.0"
    assert container["resources"] == {"requests": {"cpu": "1"}}
    env = {e["name"]: e.get("value") for e in container["env"]}
    assert (env["LEVEL"], env["MORE"], env["MODE"]) == ("debug", "1", "yes")
    job = next(o for k, o in found.items() if k[0] == "Job")
    assert job["spec"]["template"]["spec"]["containers"][0]["image"] == "mirror/web:2.0"


def test_changed_values_give_what_must_not_change_a_new_name(shop: tuple[Path, Graph]) -> None:
    def names(values: dict[str, Any]) -> set[str]:
        found = packages.helmed(shop[0], shop[1].base.app, "", values)
        return {o["metadata"]["name"] for o in found if o["kind"] in ("ConfigMap", "Job")}

    before = names({})
    assert before == names({"services": {"web": {"replicas": 9}}})
    config = names({"services": {"web": {"config": {"etc-web-conf": "other"}}}})
    image = names({"services": {"web": {"image": {"tag": "2"}}}})
    assert len(before) == len(config) == len(image) == 2
    assert not before & config  # the configuration, and the migration that reads it
    assert len(before & image) == 1


@pytest.mark.parametrize(
    "values",
    [
        {"services": {"wbe": {"enabled": False}}},
        {"services": {"web": {"replica": 2}}},
        {"services": {"web": {"replicas": "many"}}},
        {"services": {"web": {"replicas": -1}}},
        {"services": {"web": {"image": {"name": "x"}}}},
        {"services": {"web": {"env": {"LEVEL": 1}}}},
        {"services": {"web": {"resources": {"cpu": "1"}}}},
    ],
    ids=json.dumps,
)
def test_wrong_values_are_refused(shop: tuple[Path, Graph], values: dict[str, Any]) -> None:
    with pytest.raises(helm.HelmError, match="schema"):
        rendered(shop, values)


def test_text_that_looks_like_a_template_stays_as_it_is(tmp_path: Path) -> None:
    text = """
name: x
services:
  web:
    image: a
    command: [run, "{{ .Values.x }}", "a {{- b -}}", "}}"]
    env: {A: "{{ fail }}", B: "'\\" {{", C: "null", D: "1e3", E: "~", F: "y", G: "0o7", H: "1_000"}
"""
    check(packages.graph_of(text), tmp_path)


ACT = """
import json, sys, helm_python
kubeconfig, action, *words = json.loads(sys.argv[1])
with helm_python.Config(kubeconfig_path=kubeconfig, namespace="live") as config:
    *args, options = words
    print(json.dumps(getattr(config, action)(*args, **options)))
"""


def act(kube: KubeServer, action: str, *words: Any, **options: Any) -> Any:
    """An action of Helm on the cluster, in a process of its own: Go's signals and the server's event loop do not mix."""
    argument = json.dumps([str(kube.folder / "kubeconfig"), action, *words, options])
    done = subprocess.run([sys.executable, "-c", ACT, argument], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_install_upgrade_rollback_uninstall(kube: KubeServer, shop: tuple[Path, Graph]) -> None:
    def image() -> str:
        return kube.kubectl("-n", "live", "get", "deployment", "web", "-o", "jsonpath={..containers[0].image}").rpartition("/")[2]

    folder, graph = shop
    own = packages.values_of(folder, "prod")
    act(kube, "install", str(folder), "shop", own, namespace="live", create_namespace=True)
    kinds = "deployments,statefulsets,services,configmaps,serviceaccounts,roles,rolebindings,networkpolicies,ingresses,hpa,pdb,jobs"
    there = json.loads(kube.kubectl("-n", "live", "get", kinds, "-o", "json"))["items"]
    found = {(k[1], k[3]) for k in packages.normal(there)}
    plain = packages.normal(graph.environments["prod"].objects)
    assert {(k[1], k[3]) for k in plain if k[1] not in ("Namespace", "PriorityClass")} <= found
    assert image() == "web:1.1"
    changed = {**own, "services": {**own["services"], "web": {**own["services"]["web"], "image": {"tag": "1.2"}}}}
    act(kube, "upgrade", str(folder), "shop", changed, namespace="live")
    assert image() == "web:1.2"
    act(kube, "rollback", "shop", version=1)
    assert image() == "web:1.1"
    assert len(act(kube, "history", "shop")) == 3
    act(kube, "uninstall", "shop")
    assert "web" not in kube.kubectl("-n", "live", "get", "deployments", "-o", "name")
