"""As whom to ask a registry: docker's config file with its helpers, podman's, and the pull secrets of pods.

Matching is the kubelet's: hosts may have wildcards, and a longer path goes first. Helpers are programs, so only the user's own
files may name them, never a Secret.
"""

from __future__ import annotations

import base64
import binascii
import fnmatch
import os
import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import orjson

from lateen.errors import FailedError
from lateen.images.reference import HUB

_HUB_NAMES = ("index.docker.io", "registry-1.docker.io")
_HELPER_SECONDS = 30.0
_TOKEN_USER = "<token>"  # noqa: S105 - what helpers write for an identity token


@dataclass(frozen=True, slots=True, kw_only=True)
class Credential:
    """A user with a password, or an identity token."""

    user: str = ""
    password: str = field(default="", repr=False)
    token: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Keyring:
    """Entries by host and path, and helper programs by host ('' is for every other)."""

    entries: tuple[tuple[str, Credential], ...] = ()
    helpers: Mapping[str, str] = field(default_factory=dict)

    def __or__(self, other: Keyring) -> Keyring:
        return Keyring(entries=self.entries + other.entries, helpers={**other.helpers, **self.helpers})

    def find(self, host: str, path: str) -> list[Credential]:
        """Every credential to try, best first. Runs a helper: blocking. FailedError when it does not work."""
        wanted = _plain(host)
        fitting = [(len(key), c) for key, c in self.entries if _fits(key, wanted, path)]
        found = [c for _, c in sorted(fitting, key=lambda f: -f[0])]
        helper = self.helpers.get(wanted) or self.helpers.get("", "")
        if helper and (asked := _ask(helper, "https://index.docker.io/v1/" if wanted == HUB else host)):
            found.insert(0, asked)
        return list(dict.fromkeys(found))


def _plain(host: str) -> str:
    return HUB if host in _HUB_NAMES else host


def _fits(key: str, host: str, path: str) -> bool:
    wanted, _, below = key.partition("/")
    if not fnmatch.fnmatchcase(host, wanted) or host.count(".") != wanted.count("."):
        return False
    return not below or path == below or path.startswith(below + "/")


def own() -> Keyring:
    """What this user is logged in to, by docker or podman. Blocking."""
    folder = Path(os.environ.get("DOCKER_CONFIG") or Path.home() / ".docker")
    files = [folder / "config.json"]
    if runtime := os.environ.get("XDG_RUNTIME_DIR"):
        files.append(Path(runtime) / "containers" / "auth.json")
    found = Keyring()
    for file in files:
        try:
            document = orjson.loads(file.read_bytes())
        except OSError:
            continue
        except ValueError as error:
            raise FailedError(f"{file} is not JSON: {error}") from error
        if isinstance(document, dict):
            found |= Keyring(entries=tuple(_entries(document.get("auths"))), helpers=_helpers(document))
    return found


def of_secrets(secrets: Iterable[Mapping[str, Any]]) -> Keyring:
    """What pull secrets hold. One that cannot be read counts as empty, as for the kubelet."""
    found = Keyring()
    for secret in secrets:
        data = secret.get("data") or {}
        for key in (".dockerconfigjson", ".dockercfg"):
            try:
                document = orjson.loads(base64.b64decode(data[key]))
            except (KeyError, ValueError, TypeError):
                continue
            auths = document.get("auths") if key == ".dockerconfigjson" and isinstance(document, dict) else document
            found |= Keyring(entries=tuple(_entries(auths)))
    return found


def _entries(auths: Any) -> Iterable[tuple[str, Credential]]:
    for server, entry in (auths if isinstance(auths, dict) else {}).items():
        if isinstance(entry, dict) and (credential := _credential(entry)):
            yield _key(server), credential


def _key(server: str) -> str:
    """Host and path of what config files write as https://index.docker.io/v1/, r.io or r.io/team."""
    parts = urlsplit(server if "://" in server else f"//{server}")
    path = parts.path.strip("/")
    host = _plain(parts.netloc)
    return host if path in ("", "v1", "v2") else f"{host}/{path}"


def _credential(entry: Mapping[str, Any]) -> Credential | None:
    user, password = str(entry.get("username") or ""), str(entry.get("password") or "")
    if auth := entry.get("auth"):
        try:
            user, _, password = base64.b64decode(str(auth)).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            return None
    token = str(entry.get("identitytoken") or "")
    return Credential(user=user, password=password.rstrip("\0"), token=token) if user or token else None


def _helpers(document: Mapping[str, Any]) -> dict[str, str]:
    named = {_key(host): str(name) for host, name in (document.get("credHelpers") or {}).items()}
    return {**named, **({"": str(document["credsStore"])} if document.get("credsStore") else {})}


def _ask(helper: str, server: str) -> Credential | None:
    """What a credential helper says; None when it knows nothing of the server."""
    program = f"docker-credential-{helper}"
    try:
        done = subprocess.run([program, "get"], input=server, capture_output=True, text=True, timeout=_HELPER_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise FailedError(f"the credential helper {program} cannot be run: {error}") from error
    if done.returncode != 0:
        if "credentials not found" in done.stdout + done.stderr:
            return None
        raise FailedError(f"the credential helper {program} failed: {(done.stderr or done.stdout).strip()}")
    said = orjson.loads(done.stdout)
    if said.get("Username") == _TOKEN_USER:
        return Credential(token=said["Secret"])
    return Credential(user=said["Username"], password=said["Secret"])
