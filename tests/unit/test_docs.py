"""What users can type or read is in docs/: commands, options, variables, reasons, metrics, links."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
import typer.main

from lateen.cli.root import app
from lateen.cluster.api.metrics import Metrics

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src" / "lateen"
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]


@pytest.fixture(scope="module")
def documented() -> str:
    return "\n".join(page.read_text() for page in PAGES if page.parent.name == "docs")


def test_the_reference_of_the_command_line_is_fresh() -> None:
    done = subprocess.run(
        [sys.executable, "scripts/cli_docs.py", "--check"], cwd=ROOT, capture_output=True, text=True, timeout=30, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_command_and_option_has_a_word_of_help() -> None:
    silent, found = [], [typer.main.get_command(app)]
    while found:
        command = found.pop()
        found += getattr(command, "commands", {}).values()
        silent += [command.name] if not command.help else []
        silent += [f"{command.name} {p.name}" for p in command.params if not getattr(p, "help", None)]
    assert silent == []


def test_every_environment_variable_is_documented(documented: str) -> None:
    read = r"""(?:environ(?:\.get\(|\[)|envvar=)"([A-Z_]+)"""
    ours = {name for file in SOURCE.rglob("*.py") for name in re.findall(read, file.read_text())}
    inside = {"KUBERNETES_SERVICE_HOST", "KUBERNETES_SERVICE_PORT", "PATH", "SSL_CERT_FILE"}  # a pod's own, and the system's
    assert ours >= {"LATEEN_HOME", "LATEEN_CLUSTER", "LATEEN_LOG", "NO_COLOR"}
    assert sorted(name for name in ours - inside if f"`{name}`" not in documented and f"${name}" not in documented) == []


def test_every_reason_a_pod_waits_for_traffic_is_documented(documented: str) -> None:
    said = {"server/compose.py": r'blocked\("(\w+)"', "traffic/gate.py": r'yield "(\w+)", f?"'}
    reasons = {reason for file, words in said.items() for reason in re.findall(words, (SOURCE / file).read_text())}
    assert len(reasons) >= 5
    assert sorted(reason for reason in reasons if f"`{reason}`" not in documented) == []


def test_every_metric_is_documented(documented: str) -> None:
    names = re.findall(r"^# TYPE (\S+)", Metrics().render(objects={}, watchers=0), re.MULTILINE)
    assert len(names) >= 9
    assert [name for name in names if f"`{name}`" not in documented] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_leads_somewhere(page: Path) -> None:
    links = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text())
    assert [link for link in links if not (page.parent / link).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_command_that_is_shown_exists(page: Path) -> None:
    shown = re.findall(r"`lateen ((?:cluster )?[a-z]+)", page.read_text())
    root = typer.main.get_command(app)
    cluster = root.commands["cluster"]  # type: ignore[attr-defined] # typer's group
    known = {*root.commands, *(f"cluster {name}" for name in cluster.commands)}  # type: ignore[attr-defined] # as above
    assert [command for command in shown if command not in known] == []
