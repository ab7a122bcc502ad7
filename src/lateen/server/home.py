"""Where everything of a user lies on disk: ``$LATEEN_HOME`` (default ``~/.lateen``) and one folder per cluster.

Read by the CLI and the daemon; light to import. The picture is in docs/architecture.md.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lateen.errors import InputError

DEFAULT_NAME = "default"


def home() -> Path:
    """``$LATEEN_HOME``, or ``~/.lateen``."""
    return Path(os.environ.get("LATEEN_HOME") or Path.home() / ".lateen").absolute()


@dataclass(frozen=True, slots=True)
class ClusterHome:
    """The folder of one cluster. Nothing is created by asking for a path."""

    name: str
    root: Path

    @property
    def settings_file(self) -> Path:
        return self.root / "cluster.json"

    @property
    def kubeconfig(self) -> Path:
        return self.root / "kubeconfig"

    @property
    def pki(self) -> Path:
        return self.root / "pki"

    @property
    def database(self) -> Path:
        return self.root / "state.db"

    @property
    def log(self) -> Path:
        return self.root / "daemon.log"

    @property
    def lock(self) -> Path:
        return self.root / "daemon.lock"

    @property
    def system(self) -> Path:
        return self.root / "system"

    @property
    def volumes(self) -> Path:
        return self.root / "volumes"

    def node(self, name: str) -> Path:
        return self.root / "nodes" / name

    @property
    def images(self) -> Path:
        return self.root.parent.parent / "images"

    def socket(self, purpose: str) -> Path:
        """A Unix socket path that fits in 107 bytes, whatever the length of the state folder."""
        digest = hashlib.sha256(str(self.root).encode()).hexdigest()[:12]
        return socket_folder() / f"{digest}-{purpose}"

    def sockets(self) -> list[Path]:
        """The socket files that are there: none when the cluster was stopped."""
        return list(socket_folder().glob(self.socket("*").name))

    def remove_sockets(self) -> None:
        """Remove the socket files of a cluster that is stopped."""
        for left in self.sockets():
            left.unlink(missing_ok=True)

    def settings(self) -> dict[str, Any]:
        """What the last daemon wrote about itself; empty before the first start."""
        try:
            found: dict[str, Any] = json.loads(self.settings_file.read_text())
        except FileNotFoundError:
            return {}
        except ValueError as error:
            raise InputError(
                f"{self.settings_file} is not readable: {error}", hint=f"run `lateen cluster reset --name {self.name}`"
            ) from error
        return found

    def make(self) -> None:
        """Create the folder. Only its user may enter: it holds Secrets, in the database and in pods' volumes."""
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            self.root.chmod(0o700)
        except OSError as error:
            raise InputError(f"cannot make {self.root}: {error.strerror}", hint="choose another place with LATEEN_HOME") from error

    def write_settings(self, settings: dict[str, Any]) -> None:
        self.make()
        scratch = self.settings_file.with_suffix(".new")
        scratch.write_text(json.dumps(settings, indent=2))
        scratch.replace(self.settings_file)


def socket_folder() -> Path:
    """A folder for sockets that only this user can enter."""
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    folder = Path(runtime) / "lateen" if runtime and Path(runtime).is_dir() else Path(f"/tmp/lateen-{os.getuid()}")  # noqa: S108 - checked below
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if folder.stat().st_uid != os.getuid():
        raise InputError(f"{folder} belongs to somebody else", hint="set XDG_RUNTIME_DIR to a folder of your own")
    return folder


def cluster_home(name: str) -> ClusterHome:
    """The home of the cluster ``name``. InputError for a name that is no DNS label."""
    if not re.fullmatch(r"[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?", name):
        raise InputError(f"{name!r} is not a cluster name", hint="use up to 32 lower-case letters, digits and dashes")
    return ClusterHome(name, home() / "clusters" / name)


def cluster_names() -> list[str]:
    """Every cluster that has a folder."""
    folder = home() / "clusters"
    return sorted(p.name for p in folder.iterdir() if (p / "cluster.json").exists()) if folder.is_dir() else []
