"""What the command line says to wrong input: where, what, the nearest valid word; exit code 2, and nothing changed."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from lateen.cli.root import run

HEAD = "apiVersion: lateen.dev/v1\nname: x\nservices:\n"
Refused = Callable[..., str]


@pytest.fixture
def refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Refused:
    """Runs a command line in an empty folder with an empty home; its message. The exit code must be 2 unless said otherwise."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LATEEN_HOME", str(tmp_path / "home"))
    for name in ("KUBECONFIG", "LATEEN_CLUSTER"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))

    def call(*argv: str, code: int = 2) -> str:
        assert run(argv) == code
        said = capsys.readouterr()
        assert said.out == ""
        assert "Traceback" not in said.err
        assert "\x1b" not in said.err
        return said.err

    return call


@pytest.mark.parametrize(
    ("services", "place", "words"),
    [
        ("  a:\n    image: a\n    port: {http: 80}\n", "6:5", ["no field 'port'", "did you mean 'ports'?"]),
        ("  a:\n    image: a\n    replicas: many\n", "6:15", ["replicas", "whole number", "'many'"]),
        ("  a:\n    image: 'a b:::c'\n", "5:12", ["not an image reference"]),
        (
            "  web:\n    image: a\n    needs: {carts: }\n  cart:\n    image: a\n    ports: {http: 80}\n",
            "6:13",
            ["needs 'carts'", "did you mean 'cart'?"],
        ),
        (
            "".join(f"  {n}:\n    image: a\n    ports: {{http: 80}}\n    routes: [{{path: /}}]\n" for n in ("a", "b")),
            "11:14",
            ["duplicate route", "belongs to a already"],
        ),
        ("  a:\n    build: ./nowhere\n", "5:5", ["'./nowhere' is not a folder"]),
        ("  a: [\n", "5:1", ["not YAML"]),
    ],
)
def test_the_application_file(refused: Refused, services: str, place: str, words: list[str]) -> None:
    Path("lateen.yaml").write_text(HEAD + services)
    for command in ("render", "build", "up"):
        message = refused(command)
        assert f"lateen.yaml:{place}: " in message
        assert [w for w in words if w not in message] == []
    assert not Path("home/clusters").exists()


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["bogus"], ["No such command 'bogus'"]),
        (["up", "--bogus"], ["Usage: lateen up", "No such option: --bogus"]),
        (["status", "-o", "xml"], ["'--output'", "'xml' is not one of 'text', 'json', 'yaml'"]),
        (["cluster", "start", "--nodes", "many"], ["'--nodes'", "'many' is not a valid int"]),
        (["cluster", "start", "--nodes", "99"], ["'--nodes'", "16"]),
        (["cluster", "start", "--name", "Not_A_Name"], ["'Not_A_Name' is not a cluster name"]),
        (["cluster", "kubeconfig"], ["no kubeconfig yet", "lateen cluster start"]),
        (["cluster", "stop", "--node", "node-0"], ["cluster default is not running", "lateen up"]),
        (["logs"], ["Missing argument 'service'"]),
        (["apply"], ["Missing option '--file'"]),
        (["apply", "-f", "nofile.yaml"], ["cannot read nofile.yaml"]),
        (["render", "-f", "nofile.yaml"], ["cannot read nofile.yaml", "-f"]),
        (["up"], ["there is no lateen.yaml or compose.yaml in this folder or above it"]),
    ],
)
def test_the_command_line(refused: Refused, argv: list[str], words: list[str]) -> None:
    message = refused(*argv)
    assert [w for w in words if w not in message] == []


@pytest.fixture
def application() -> str:
    return HEAD + "  web:\n    image: a\n    ports: {http: 80}\n"


CONFIG = """
clusters: [{name: a, cluster: {server: "https://127.0.0.1:1"}}]
contexts: [{name: here, context: {cluster: a, user: u}}]
users: [{name: u, user: {token: t}}]
current-context: here
"""


@pytest.mark.parametrize(
    ("argv", "words", "code"),
    [
        (["status"], ["cluster default is not running", "--context"], 2),
        (["down"], ["cluster default is not running"], 2),
        (["logs", "wbe"], ["no service 'wbe'", "did you mean web?"], 2),
        (["logs", "web", "--since", "soon"], ["'soon' is not a duration"], 2),
        (["status", "--env", "prod"], ["no environment 'prod'"], 2),
        (["up", "--context", "nope"], ["there is no kubeconfig"], 2),
        (["up", "--kubeconfig", "nofile"], ["cannot read nofile"], 2),
        (["up", "--kubeconfig", "broken"], ["broken is not YAML"], 2),
        (["up", "--kubeconfig", "config", "--context", "ther"], ["no context 'ther' in config", "here"], 2),
        (["up", "--kubeconfig", "config"], ["cannot reach https://127.0.0.1:1"], 1),
        (["status", "--kubeconfig", "config"], ["cannot reach https://127.0.0.1:1"], 1),
    ],
)
def test_the_cluster(refused: Refused, application: str, argv: list[str], words: list[str], code: int) -> None:
    Path("lateen.yaml").write_text(application)
    Path("broken").write_text("{{{")
    Path("config").write_text(CONFIG)
    message = refused(*argv, code=code)
    assert [w for w in words if w not in message] == []


def test_a_manifest_without_a_kind_of_its_own(refused: Refused) -> None:
    Path("m.yaml").write_text("kind: ConfigMap\n")
    assert "m.yaml:1:1: the object has no apiVersion" in refused("apply", "-f", "m.yaml")


@pytest.mark.parametrize(
    "argv", [[], ["cluster"], ["--help"], ["--version"], ["cluster", "list"], ["cluster", "list", "-o", "json"]]
)
def test_what_is_no_error(
    argv: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LATEEN_HOME", str(tmp_path))
    assert run(argv) == 0
    said = capsys.readouterr()
    assert said.out
    assert said.err == ""
    assert "\x1b" not in said.out


def test_completion_is_offered() -> None:
    env = os.environ | {"_LATEEN_COMPLETE": "complete_bash", "COMP_WORDS": "lateen cluster st", "COMP_CWORD": "2"}
    lateen = Path(sys.executable).with_name("lateen")
    done = subprocess.run([lateen], env=env, capture_output=True, text=True, timeout=20, check=False)
    assert done.stdout.split() == ["start", "stop", "status"]


def test_help_imports_no_more_than_it_needs() -> None:
    code = "import sys; from lateen.cli.root import run; run(['--help']); print(*sys.modules, file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=20, check=True)
    heavy = {"asyncio", "aiohttp", "pydantic", "rich", "grpc", "cryptography", "yaml", "lateen.cluster", "lateen.client"}
    assert heavy & set(done.stderr.split()) == set()


@pytest.mark.parametrize("command", ["render", "apply"])
def test_a_file_that_is_no_text(refused: Refused, command: str) -> None:
    Path("odd.yaml").write_bytes(b"# fine\nname: caf\xe9\n")
    assert "odd.yaml:2:10: this is not UTF-8 text" in refused(command, "-f", "odd.yaml")


def test_a_stopped_cluster_has_a_status(refused: Refused, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["cluster", "status"]) == 1
    assert capsys.readouterr().out.splitlines()[1].split()[:2] == ["default", "no"]


@pytest.mark.parametrize(("argv", "code"), [(("schema",), 0), (("--help",), 0), (("cluster", "list"), 0)])
def test_output_that_nobody_reads_is_no_error(argv: tuple[str, ...], code: int) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run([sys.executable, "-m", "lateen", *argv], stdout=writer, stderr=subprocess.PIPE, text=True, timeout=30)
    os.close(writer)
    assert (done.returncode, done.stderr) == (code, "")


def test_output_that_cannot_be_written_is_said_in_a_line() -> None:
    with open("/dev/full", "w") as full:
        command = [sys.executable, "-m", "lateen", "schema"]
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, timeout=30)
    assert (done.returncode, done.stderr) == (1, "error: cannot write: No space left on device\n")
