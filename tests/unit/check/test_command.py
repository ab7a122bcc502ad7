"""``lateen check`` as people call it: inputs, forms of output, exit codes, configuration, waivers."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

from lateen.cli.root import run

ROOT = Path(__file__).parents[3]
BAD = """\
# a comment
apiVersion: v1
kind: Pod
metadata: {name: web, labels: {app: web}}
spec:
  containers:
  - name: web
    image: nginx:1.29
    securityContext:
      privileged: true
"""
ONLY = ("--select", "LT-SEC-001")


@pytest.fixture
def bad(tmp_path: Path) -> Path:
    path = tmp_path / "pod.yaml"
    path.write_text(BAD)
    return path


def test_text_points_at_the_line(bad: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["check", str(bad), *ONLY]) == 1
    assert capsys.readouterr().out == (
        'error LT-SEC-001 Pod web: container "web" runs privileged\n'
        f"  --> {bad}:10:19\n"
        "  10 |       privileged: true\n"
        "     |                   ^^^^\n"
        "  fix: remove securityContext.privileged; add only the capability that is needed\n\n"
        "1 error (1 check on 1 object)\n"
    )


@pytest.mark.parametrize(("least", "code"), [("error", 1), ("never", 0)])
def test_the_exit_code_follows_the_severity(bad: Path, least: str, code: int) -> None:
    assert run(["check", str(bad), "--fail-on", least]) == code


def test_json_sarif_and_junit(bad: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(["check", str(bad), *ONLY, "-o", "json"])
    (found,) = json.loads(capsys.readouterr().out)["findings"]
    assert (found["id"], found["line"], found["column"]) == ("LT-SEC-001", 10, 19)
    assert found["path"] == "spec.containers[0].securityContext.privileged"
    run(["check", str(bad), *ONLY, "-o", "sarif"])
    (result,) = json.loads(capsys.readouterr().out)["runs"][0]["results"]
    assert result["ruleId"] == "LT-SEC-001"
    assert result["locations"][0]["physicalLocation"]["region"]["startLine"] == 10
    run(["check", str(bad), *ONLY, "-o", "junit"])
    suite = ElementTree.fromstring(capsys.readouterr().out)
    assert (suite.get("tests"), suite.get("failures")) == ("1", "1")


@pytest.mark.parametrize(
    ("waiver", "code"),
    [
        ("LT-SEC-001 needs it until=2999-01-01", 0),
        ("LT-SEC-* needs it", 0),
        ("LT-SEC-001 needs it until=2020-01-01", 1),
        ("LT-SEC-001", 1),
    ],
)
def test_a_waiver_on_the_object(bad: Path, waiver: str, code: int, capsys: pytest.CaptureFixture[str]) -> None:
    bad.write_text(BAD.replace("labels:", f"annotations: {{lateen.dev/waive: '{waiver}'}}, labels:"))
    assert run(["check", str(bad), *ONLY]) == code
    assert ("waived: LT-SEC-001 Pod web: needs it" in capsys.readouterr().out) is (code == 0)


def test_the_configuration_in_pyproject(bad: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(bad.parent)
    Path("pyproject.toml").write_text(
        '[tool.lateen.check]\nselect = ["LT-SEC-001", "LT-SEC-014"]\nseverity = {"LT-SEC-001" = "warning"}\n'
        '[[tool.lateen.check.waivers]]\nid = "LT-SEC-014"\nobject = "Pod web"\nreason = "later"\n'
    )
    assert run(["check", "."]) == 0
    assert "warning LT-SEC-001" in capsys.readouterr().out
    Path("pyproject.toml").write_text("[tool.lateen.check]\nprofil = 1\n")
    assert run(["check", "."]) == 2
    assert "check has no setting 'profil'" in capsys.readouterr().err


def test_explain_and_list(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["check", "--explain", "lt-sec-001"]) == 0
    assert "root on the node" in capsys.readouterr().out
    assert run(["check", "--explain", "LT-SEC-01"]) == 2
    assert run(["check", "--list", "-o", "json"]) == 0
    listed = json.loads(capsys.readouterr().out)
    assert {"id", "severity", "theme", "title", "why", "fix", "needs"} == set(listed[0])


def test_lists_streams_and_positions(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    inner = "\n".join("  " + line for line in BAD.splitlines()[1:])
    path = tmp_path / "all.yaml"
    path.write_text("apiVersion: v1\nkind: List\nitems:\n-" + inner[1:] + "\n---\n---\n" + BAD)
    run(["check", str(path), *ONLY, "-o", "json"])
    assert [f["line"] for f in json.loads(capsys.readouterr().out)["findings"]] == [12, 24]


def test_nothing_to_check_is_an_error(tmp_path: Path) -> None:
    assert run(["check", str(tmp_path)]) == 2


def test_the_shop_has_no_errors() -> None:
    assert run(["check", str(ROOT / "examples" / "shop" / "lateen.yaml")]) == 0


def test_the_list_in_the_documentation_is_fresh() -> None:
    command = [sys.executable, "scripts/check_docs.py", "--check"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
