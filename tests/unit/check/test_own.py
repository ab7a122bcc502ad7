"""Checks of one's own, safe changes written into files, and the picture."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from xml.etree import ElementTree

import pytest

from lateen.check import Config, World, all_checks, read, run
from lateen.check.picture import dot, mermaid, picture, svg
from lateen.cli.checking import live
from lateen.cli.root import run as lateen
from lateen.client.client import Client
from lateen.errors import InputError
from lateen.kube.resources import DEPLOYMENTS, NAMESPACES
from lateen.kube.yamltext import Source

CONFIG = """\
[tool.lateen.check]
select = ["ACME-*"]
plugins = ["{folder}/own.py"]
[[tool.lateen.check.rules]]
id = "ACME-1"
kinds = ["ConfigMap"]
expr = "has(object.metadata.labels) && 'team' in object.metadata.labels"
message = "no team"
severity = "error"
path = "metadata.labels"
[[tool.lateen.check.rules]]
id = "ACME-3"
expr = "objects.exists(o, o.kind == 'Namespace')"
message = "no namespace"
"""
OWN = """\
from lateen.check import Hit, Severity, check

@check("ACME-2", "name too long", Severity.WARNING, why="it is", fix="shorten it")
def long_name(world):
    for m in world.objects:
        if len(m.name) > 3:
            yield Hit(m, ("metadata", "name"), "the name is too long")
"""
MAPS = """\
apiVersion: v1
kind: ConfigMap
metadata: {name: settings}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: b, labels: {team: x}}
"""


def test_rules_in_cel_and_functions_in_python(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from lateen.check.registry import CHECKS

    monkeypatch.setattr("lateen.check.registry.CHECKS", dict(CHECKS))
    monkeypatch.setattr("lateen.cli.checking.CHECKS", __import__("lateen.check.registry", fromlist=["CHECKS"]).CHECKS)
    (tmp_path / "own.py").write_text(OWN)
    (tmp_path / "all.toml").write_text(CONFIG.format(folder=tmp_path))
    (tmp_path / "maps.yaml").write_text(MAPS)
    assert lateen(["check", str(tmp_path / "maps.yaml"), "--config", str(tmp_path / "all.toml")]) == 1
    found = [line for line in capsys.readouterr().out.splitlines() if "ACME" in line]
    assert found == [
        "error ACME-1 ConfigMap settings: no team",
        "warning ACME-3 ConfigMap b: no namespace",
        "warning ACME-2 ConfigMap settings: the name is too long",
        "warning ACME-3 ConfigMap settings: no namespace",
    ]


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        ({"id": "A"}, "needs expr, message"),
        ({"id": "A", "expr": "object.", "message": "m"}, "cannot be read"),
        ({"id": "LT-SEC-001", "expr": "true", "message": "m"}, "is a check of lateen"),
    ],
)
def test_a_rule_that_is_wrong_is_refused(rule: dict[str, str], said: str) -> None:
    from lateen.check.custom import from_rule

    all_checks()
    with pytest.raises(InputError, match=said):
        from_rule(rule)


BEFORE = """\
# top
---
apiVersion: policy/v1beta1
kind: PodDisruptionBudget
metadata: {name: web}
spec: {maxUnavailable: 1, selector: {matchLabels: {app: web}}}
---
# second
apiVersion: v1
kind: List
items:
  - apiVersion: apps/v1
    kind: Deployment
    metadata:
      name: "web"  # quoted
    spec:
      replicas: 3
      selector: {matchLabels: {app: web}}
      template:
        metadata: {labels: {app: web}}
        spec:
          serviceAccount: web
          containers:
            - name: web
              image: a:1  # keep
              securityContext:
                allowPrivilegeEscalation: true  # why
---
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: {name: web}
spec: {scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: web}, maxReplicas: 3}
"""


def test_safe_changes_leave_everything_else_as_it_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "all.yaml"
    file.write_text(BEFORE)
    assert lateen(["check", str(file), "--fix", "--fail-on", "never"]) == 0
    assert "5 changes written" in capsys.readouterr().out
    after = BEFORE.replace("policy/v1beta1", "policy/v1").replace("      replicas: 3\n", "")
    after = after.replace("allowPrivilegeEscalation: true  # why", "allowPrivilegeEscalation: false # why")
    after = after.replace("          serviceAccount: web\n", "").replace(
        ": false # why\n", ": false # why\n          serviceAccountName: web\n"
    )
    assert file.read_text() == after
    lateen(["check", str(file), "--fix", "--fail-on", "never"])
    assert file.read_text() == after, "a second time changes nothing"


def shop() -> World:
    def deployment(name: str, url: str = "") -> str:
        env = f", env: [{{name: URL, value: '{url}'}}]" if url else ""
        labels = f"{{app: {name}}}"
        template = f"{{metadata: {{labels: {labels}}}, spec: {{containers: [{{name: c, image: '{name}:1'{env}}}]}}}}"
        head = "---\napiVersion: apps/v1\nkind: Deployment\n"
        body = f"metadata: {{name: {name}}}\nspec: {{selector: {{matchLabels: {labels}}}, template: {template}}}\n"
        service = (
            f"---\napiVersion: v1\nkind: Service\nmetadata: {{name: {name}}}\nspec: {{selector: {labels}, ports: [{{port: 80}}]}}\n"
        )
        return head + body + service

    text = deployment("web", "http://cart") + deployment("cart", "http://$(WEB_SERVICE_HOST):$(WEB_SERVICE_PORT)/x")
    return World(read(Source("x", text + deployment("redis"))))


def test_the_picture_shows_calls_and_findings() -> None:
    world = shop()
    drawn = picture(world, run(world, all_checks(), Config(select=("LT-CPL-172",))).findings)
    assert {(a.source.rpartition("/")[2], a.target.rpartition("/")[2]) for a in drawn.arrows} == {("web", "cart"), ("cart", "web")}
    assert {b.name: (b.store, b.notes) for b in drawn.boxes}["redis"] == (True, ())
    assert any(b.notes == ("LT-CPL-172",) for b in drawn.boxes)
    assert mermaid(drawn).startswith("flowchart LR\n")
    assert mermaid(drawn).count("==>") == 1
    assert dot(drawn).count("->") == 2
    root = ElementTree.fromstring(svg(drawn))
    assert len(root.findall("{http://www.w3.org/2000/svg}g")) == 3


def test_graph_writes_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    example = Path(__file__).parents[3] / "examples" / "shop" / "lateen.yaml"
    assert lateen(["graph", str(example), "-o", "svg", "--file", str(tmp_path / "shop.svg")]) == 0
    assert "7 services and 8 calls drawn" in capsys.readouterr().err


async def test_a_live_namespace(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    @asynccontextmanager
    async def target(**_: str) -> AsyncIterator[Client]:
        yield client

    monkeypatch.setattr("lateen.cli.target.target", target)
    await client.create(NAMESPACES, {"metadata": {"name": "shop"}})
    template = {
        "metadata": {"labels": {"app": "web"}},
        "spec": {"containers": [{"name": "web", "image": "web:1", "securityContext": {"privileged": True}}]},
    }
    spec = {"selector": {"matchLabels": {"app": "web"}}, "template": template}
    await client.create(DEPLOYMENTS, {"metadata": {"name": "web", "namespace": "shop"}, "spec": spec})
    report = await live("shop", all_checks(), Config(), how={})
    (found,) = [f for f in report.findings if f.id == "LT-SEC-001"]
    assert (found.object, found.where) == ("Deployment shop/web", "namespace shop")
    assert not [f for f in report.findings if f.id.startswith("LT-OBJ")], "what the API server stored is well-formed"
    assert report.notes == []
