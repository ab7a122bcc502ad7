"""Kubeconfig files: merging, choosing, credentials, and errors a person can act on."""

import base64
from pathlib import Path

import pytest
import yaml

from lateen.client.kubeconfig import Cluster, in_cluster, load_kubeconfig
from lateen.errors import InputError


def write(path: Path, *names: str, current: str = "", **user: str) -> Path:
    config = {
        "current-context": current,
        "contexts": [{"name": n, "context": {"cluster": n, "user": n, "namespace": f"ns-{n}"}} for n in names],
        "clusters": [{"name": n, "cluster": {"server": f"https://{n}.example:6443/"}} for n in names],
        "users": [{"name": n, "user": {"token": f"t-{n}"} | user} for n in names],
    }
    path.write_text(yaml.safe_dump(config))
    return path


def test_the_current_context_and_another(tmp_path: Path) -> None:
    file = write(tmp_path / "c", "a", "b", current="a")
    found = load_kubeconfig(str(file))
    assert (found.name, found.server, found.namespace, found.bearer_token()) == ("a", "https://a.example:6443", "ns-a", "t-a")
    assert load_kubeconfig(str(file), context="b").server == "https://b.example:6443"


def test_files_are_merged_and_the_first_wins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = write(tmp_path / "one", "a", current="a")
    second = write(tmp_path / "two", "a", "b", current="b", token="other")
    monkeypatch.setenv("KUBECONFIG", f"{first}:{tmp_path / 'missing'}:{second}")
    assert load_kubeconfig().bearer_token() == "t-a"
    assert load_kubeconfig(context="b").bearer_token() == "other"


def test_certificates_inline_and_beside_the_file(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("CA")
    data = base64.b64encode(b"CERT").decode()
    config = {
        "current-context": "a",
        "contexts": [{"name": "a", "context": {"cluster": "a", "user": "a"}}],
        "clusters": [{"name": "a", "cluster": {"server": "https://a", "certificate-authority": "ca.pem", "tls-server-name": "n"}}],
        "users": [{"name": "a", "user": {"client-certificate-data": data, "client-key": "key.pem", "tokenFile": "token"}}],
    }
    file = tmp_path / "c"
    file.write_text(yaml.safe_dump(config))
    (tmp_path / "token").write_text("secret\n")
    found = load_kubeconfig(str(file))
    assert (found.ca_data, found.tls_server_name, found.bearer_token()) == ("CA", "n", "secret")
    assert Path(found.certificate_file).read_text() == "CERT"
    assert Path(found.certificate_file).stat().st_mode & 0o077 == 0
    assert found.key_file == str(tmp_path / "key.pem")


@pytest.mark.parametrize(
    ("text", "context", "message"),
    [
        ("[1]", None, "is not a kubeconfig"),
        ("a: [", None, "is not YAML"),
        ("contexts: []", None, "names no current-context"),
        ("current-context: x", None, "there is no context 'x'"),
        ("contexts: [{name: x, context: {cluster: y}}]", "x", "there is no entry 'y' in clusters"),
        ("contexts: [{name: x, context: {cluster: y}}]\nclusters: [{name: y}]", "x", "has no server"),
    ],
)
def test_what_is_wrong_is_said_with_the_file(tmp_path: Path, text: str, context: str | None, message: str) -> None:
    file = tmp_path / "c"
    file.write_text(text)
    with pytest.raises(InputError, match=message) as caught:
        load_kubeconfig(str(file), context=context)
    assert str(file) in str(caught.value)


def test_a_missing_file_and_none_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match="cannot read"):
        load_kubeconfig(str(tmp_path / "nothing"))
    monkeypatch.delenv("KUBECONFIG", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(InputError, match="no kubeconfig"):
        load_kubeconfig()


def test_in_a_pod(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, text in (("token", "t"), ("namespace", "shop"), ("ca.crt", "CA")):
        (tmp_path / name).write_text(text)
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "127.96.0.1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", "6443")
    found = in_cluster(tmp_path)
    assert (found.server, found.namespace, found.bearer_token()) == ("https://127.96.0.1:6443", "shop", "t")


@pytest.mark.parametrize(
    ("command", "args", "message"),
    [
        ("/nothing/here", [], "cannot be run"),
        ("/bin/sh", ["-c", "echo cannot log in >&2; exit 3"], "cannot log in"),
        ("/bin/sh", ["-c", "echo '{}'"], "failed"),
        ("/bin/sh", ["-c", "echo '{\"status\": {}}'"], "neither a token nor a certificate"),
    ],
)
def test_a_plugin_that_fails_says_so(command: str, args: list[str], message: str) -> None:
    plugin = {"apiVersion": "client.authentication.k8s.io/v1", "command": command, "args": args}
    with pytest.raises(InputError, match=message):
        Cluster(server="https://a", exec_plugin=plugin).login()
