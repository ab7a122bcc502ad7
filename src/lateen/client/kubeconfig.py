"""Kubeconfig files: which server, and as whom. Read by the CLI; the embedded cluster writes files of the same form.

Follows client-go's loading rules: ``--kubeconfig``, else the files of $KUBECONFIG merged (first wins), else ~/.kube/config, else
the ServiceAccount of the pod this runs in. Credentials: token, token file, client certificate, exec plugin.
"""

from __future__ import annotations

import atexit
import base64
import binascii
import json
import os
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from lateen.errors import InputError

_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclass(slots=True, kw_only=True)
class Cluster:
    """One server and one user. ``namespace`` is the context's default."""

    server: str
    name: str = ""
    namespace: str = "default"
    ca_data: str = ""
    insecure: bool = False
    certificate_file: str = ""
    key_file: str = ""
    token: str = ""
    token_file: str = ""
    exec_plugin: Mapping[str, Any] = field(default_factory=dict)
    tls_server_name: str = ""
    logged_in: bool = False

    def bearer_token(self) -> str:
        """The token to send now; a token file is read anew, because it may have been rotated."""
        return Path(self.token_file).read_text().strip() if self.token_file else self.token

    def login(self) -> None:
        """Take the credentials of the exec plugin. Blocks; again after a 401, because they expire. InputError if it fails."""
        if self.exec_plugin:
            status = _run_plugin(self.exec_plugin)
            self.token = str(status.get("token") or "")
            if status.get("clientCertificateData"):
                self.certificate_file = _private_file(status["clientCertificateData"])
                self.key_file = _private_file(status["clientKeyData"])
        self.logged_in = True


def load_kubeconfig(path: str | None = None, *, context: str | None = None) -> Cluster:
    """The cluster of ``context`` (default: the current one). InputError names the file and what is wrong."""
    files = _files(path)
    if not files:
        folder = Path("/var/run/secrets/kubernetes.io/serviceaccount")
        if folder.is_dir() and not context:
            return in_cluster(folder)
        raise InputError("there is no kubeconfig", hint="set KUBECONFIG, or name a file with --kubeconfig")
    merged = _merge([(f, _read(f)) for f in files])
    name = context or merged["current-context"]
    if not name:
        raise InputError(f"{files[0]} names no current-context", hint=_choices("--context", merged["contexts"]))
    if name not in merged["contexts"]:
        raise InputError(
            f"there is no context {name!r} in {', '.join(map(str, files))}", hint=_choices("--context", merged["contexts"])
        )
    file, chosen = merged["contexts"][name]
    _, cluster = _entry(merged, "clusters", chosen.get("cluster"), file)
    user_file, user = _entry(merged, "users", chosen.get("user"), file) if chosen.get("user") else (file, {})
    return _cluster(name, chosen, (file, cluster), (user_file, user))


def in_cluster(folder: Path) -> Cluster:
    """The cluster that this process runs in, by its ServiceAccount's ``folder``."""
    host, port = os.environ.get("KUBERNETES_SERVICE_HOST"), os.environ.get("KUBERNETES_SERVICE_PORT", "443")
    if not host:
        raise InputError("KUBERNETES_SERVICE_HOST is not set", hint="this runs outside of a cluster: name one with --kubeconfig")
    return Cluster(
        server=f"https://{host}:{port}",
        name="in-cluster",
        namespace=(folder / "namespace").read_text().strip(),
        ca_data=(folder / "ca.crt").read_text(),
        token_file=str(folder / "token"),
    )


def _files(path: str | None) -> list[Path]:
    if path:
        return [Path(path)]
    listed = [Path(p) for p in os.environ.get("KUBECONFIG", "").split(os.pathsep) if p]
    return [p for p in listed or [Path.home() / ".kube" / "config"] if p.exists()]


def _read(file: Path) -> dict[str, Any]:
    try:
        found = yaml.load(file.read_text(), Loader=_LOADER)  # noqa: S506 - _LOADER is a safe loader
    except OSError as error:
        raise InputError(f"cannot read {file}: {error.strerror}") from error
    except yaml.YAMLError as error:
        raise InputError(f"{file} is not YAML: {error}") from error
    if not isinstance(found, dict):
        raise InputError(f"{file} is not a kubeconfig: a map was expected")
    return found


def _merge(found: Sequence[tuple[Path, Mapping[str, Any]]]) -> dict[str, Any]:
    merged: dict[str, Any] = {"current-context": "", "contexts": {}, "clusters": {}, "users": {}}
    for file, config in found:
        merged["current-context"] = merged["current-context"] or config.get("current-context") or ""
        for part in ("contexts", "clusters", "users"):
            for entry in config.get(part) or ():
                merged[part].setdefault(entry["name"], (file, entry.get(part[:-1]) or {}))
    return merged


def _entry(merged: Mapping[str, Any], part: str, name: Any, file: Path) -> tuple[Path, Mapping[str, Any]]:
    if name not in merged[part]:
        raise InputError(f"{file}: there is no entry {name!r} in {part}", hint=_choices("known", merged[part]))
    found: tuple[Path, Mapping[str, Any]] = merged[part][name]
    return found


def _choices(word: str, names: Mapping[str, Any]) -> str:
    return f"{word}: {', '.join(sorted(map(str, names))) or '(none)'}"


def _cluster(
    name: str, context: Mapping[str, Any], at: tuple[Path, Mapping[str, Any]], as_whom: tuple[Path, Mapping[str, Any]]
) -> Cluster:
    (file, cluster), (user_file, user) = at, as_whom
    if not cluster.get("server"):
        raise InputError(f"{file}: the cluster of context {name!r} has no server")
    return Cluster(
        server=str(cluster["server"]).rstrip("/"),
        name=name,
        namespace=context.get("namespace") or "default",
        ca_data=_data(file, cluster, "certificate-authority"),
        insecure=bool(cluster.get("insecure-skip-tls-verify")),
        certificate_file=_as_file(user_file, user, "client-certificate"),
        key_file=_as_file(user_file, user, "client-key"),
        token=user.get("token") or "",
        token_file=_relative(user_file, user["tokenFile"]) if user.get("tokenFile") else "",
        exec_plugin=user.get("exec") or {},
        tls_server_name=cluster.get("tls-server-name") or "",
    )


def _relative(file: Path, path: str) -> str:
    return str(file.parent / path)


def _data(file: Path, entry: Mapping[str, Any], name: str) -> str:
    """PEM text given inline (``name-data``) or as a path (``name``)."""
    if inline := entry.get(f"{name}-data"):
        try:
            return base64.b64decode(inline, validate=True).decode()
        except (binascii.Error, UnicodeDecodeError) as error:
            raise InputError(f"{file}: {name}-data is not base64 of PEM text") from error
    if path := entry.get(name):
        try:
            return Path(_relative(file, path)).read_text()
        except OSError as error:
            raise InputError(f"{file}: cannot read {name} {path}: {error.strerror}") from error
    return ""


def _as_file(file: Path, entry: Mapping[str, Any], name: str) -> str:
    """A path to PEM text: ssl takes client certificates only from files."""
    if not entry.get(f"{name}-data"):
        return _relative(file, entry[name]) if entry.get(name) else ""
    return _private_file(_data(file, entry, name))


def _private_file(text: str) -> str:
    """The path of a file with ``text`` that only this user can read, and that goes with the process."""
    handle, path = tempfile.mkstemp(prefix="lateen-", suffix=".pem")
    with os.fdopen(handle, "w") as pem:
        pem.write(text)
    atexit.register(lambda: Path(path).unlink(missing_ok=True))
    return path


def _run_plugin(plugin: Mapping[str, Any]) -> Mapping[str, Any]:
    """The ``status`` that an exec credential plugin (client.authentication.k8s.io) answers: token, or certificate and key."""
    argv = [plugin["command"], *(plugin.get("args") or ())]
    info = {"apiVersion": plugin["apiVersion"], "kind": "ExecCredential", "spec": {"interactive": False}}
    env = {e["name"]: e["value"] for e in plugin.get("env") or ()}
    try:
        done = subprocess.run(
            argv, capture_output=True, text=True, check=True, env={**os.environ, **env, "KUBERNETES_EXEC_INFO": json.dumps(info)}
        )
        status: Mapping[str, Any] = json.loads(done.stdout)["status"]
        if not status.get("token") and not (status.get("clientCertificateData") and status.get("clientKeyData")):
            raise KeyError("it gave neither a token nor a certificate with its key")
        return status
    except OSError as error:
        message = f"the credential plugin {argv[0]} cannot be run: {error.strerror}"
        raise InputError(message, hint=plugin.get("installHint") or "") from error
    except (subprocess.CalledProcessError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"the credential plugin {argv[0]} failed: {getattr(error, 'stderr', '') or error}") from error
