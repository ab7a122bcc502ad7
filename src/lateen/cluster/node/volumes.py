"""A pod's volumes on this node: made before its containers start, kept current while they run, removed at the end.

Used by the pod worker. Each volume is a folder of the host; the runtime mounts or translates it. What cannot be had raises
FailedError, which the worker turns into a FailedMount event and tries again.
"""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from lateen.aio.clock import Clock
from lateen.client.client import Client
from lateen.cluster.node import atomic, ownership, payload
from lateen.cluster.node.seam import Mount
from lateen.errors import ApiError, FailedError, NotFoundError
from lateen.kube.meta import Object, meta, parse_time, uid_of
from lateen.kube.resources import CONFIGMAPS, PVCS, PVS, SECRETS, SERVICEACCOUNTS, Resource

_RESOURCES: Mapping[str, Resource] = {"ConfigMap": CONFIGMAPS, "Secret": SECRETS}
_MADE = ("configMap", "secret", "projected", "downwardAPI")
_TOKEN_SECONDS = 3607


@dataclass(slots=True)
class _Token:
    text: str
    refresh_at: float


@dataclass(slots=True)
class Volumes:
    """The volumes of one pod under ``folder``."""

    client: Client
    clock: Clock
    folder: Path
    allocatable: Mapping[str, str]
    paths: dict[str, Path] = field(default_factory=dict)
    _tokens: dict[tuple[str, str], _Token] = field(default_factory=dict)

    async def setup(self, pod: Object) -> None:
        """Make every volume. Idempotent: called again, what is written follows what changed."""
        for volume in (pod.get("spec") or {}).get("volumes") or ():
            try:
                path = self.paths[volume["name"]] = await self._make(pod, volume)
                await self._own(pod, volume, path)
            except (FailedError, ApiError, OSError, KeyError) as error:
                raise FailedError(f'MountVolume.SetUp failed for volume "{volume["name"]}" : {error}') from error

    async def _own(self, pod: Object, volume: Mapping[str, Any], path: Path) -> None:
        """fsGroup, on every volume that the pod may write to; host paths stay as they are."""
        context = (pod.get("spec") or {}).get("securityContext") or {}
        if context.get("fsGroup") is None or os.geteuid() != 0 or "hostPath" in volume or any(kind in volume for kind in _MADE):
            return
        policy = context.get("fsGroupChangePolicy") or "Always"
        await asyncio.to_thread(ownership.give, path, int(context["fsGroup"]), policy=policy)

    async def refresh(self, pod: Object) -> None:
        """Write anew what shows ConfigMaps, Secrets, tokens or the pod itself."""
        for volume in (pod.get("spec") or {}).get("volumes") or ():
            if any(kind in volume for kind in _MADE):
                await self._written(pod, volume, self.folder / volume["name"])

    def refresh_at(self) -> float | None:
        """When (monotonic) the first token wants to be made anew."""
        return min((t.refresh_at for t in self._tokens.values()), default=None)

    def remove(self) -> None:
        """Drop what was made here; claims and host paths stay. Blocking."""
        shutil.rmtree(self.folder, ignore_errors=True)

    async def _make(self, pod: Object, volume: Mapping[str, Any]) -> Path:
        if any(kind in volume for kind in _MADE):
            return await self._written(pod, volume, self.folder / volume["name"])
        if "hostPath" in volume:
            return await asyncio.to_thread(_host_path, volume["hostPath"])
        if "persistentVolumeClaim" in volume:
            return await self._claimed(pod, volume["persistentVolumeClaim"]["claimName"])
        if "ephemeral" in volume:
            return await self._claimed(pod, f"{meta(pod)['name']}-{volume['name']}")
        if "emptyDir" in volume or set(volume) == {"name"}:
            return self._empty(pod, volume)
        kind = next(k for k in volume if k != "name")
        raise FailedError(f"volumes of type {kind} are not supported by this node")

    def _empty(self, pod: Object, volume: Mapping[str, Any]) -> Path:
        path: Path = self.folder / volume["name"]
        path.mkdir(parents=True, exist_ok=True)
        path.chmod(0o777)
        return path

    async def _claimed(self, pod: Object, claim_name: str) -> Path:
        namespace = meta(pod).get("namespace", "")
        claim = await self.client.get(PVCS, claim_name, namespace)
        name = (claim.get("spec") or {}).get("volumeName")
        if not name or (claim.get("status") or {}).get("phase") != "Bound":
            raise FailedError(f'PersistentVolumeClaim is not bound: "{claim_name}"')
        spec = (await self.client.get(PVS, name)).get("spec") or {}
        path = (spec.get("hostPath") or spec.get("local") or {}).get("path")
        if not path:
            raise FailedError(f'PersistentVolume "{name}" is of a kind that this node cannot mount: it knows hostPath and local')
        await asyncio.to_thread(Path(path).mkdir, parents=True, exist_ok=True)
        return Path(path)

    async def _written(self, pod: Object, volume: Mapping[str, Any], path: Path) -> Path:
        fetched = {ref: await self._fetch(pod, *ref) for ref in payload.references(volume)}
        tokens = {t["path"]: await self._token(pod, volume["name"], t) for t in payload.tokens_of(volume)}
        files = payload.files_of(pod, volume, fetched, tokens, self.allocatable)
        owner = _token_owner(pod) if tokens else None
        group = ((pod.get("spec") or {}).get("securityContext") or {}).get("fsGroup") if os.geteuid() == 0 else None
        if group is not None:
            files = {name: file._replace(mode=file.mode | 0o440) for name, file in files.items()}
        await asyncio.to_thread(atomic.write, path, files, uid=owner, gid=group)
        return path

    async def _fetch(self, pod: Object, kind: str, name: str) -> Object | None:
        try:
            return await self.client.get(_RESOURCES[kind], name, meta(pod).get("namespace", ""))
        except NotFoundError:
            return None

    async def _token(self, pod: Object, volume: str, source: Mapping[str, Any]) -> str:
        key = (volume, source["path"])
        known = self._tokens.get(key)
        if known is None or self.clock.monotonic() >= known.refresh_at:
            known = self._tokens[key] = await self._request(pod, source)
        return known.text

    async def _request(self, pod: Object, source: Mapping[str, Any]) -> _Token:
        namespace = meta(pod).get("namespace", "")
        account = (pod.get("spec") or {}).get("serviceAccountName") or "default"
        spec: Object = {"expirationSeconds": source.get("expirationSeconds") or _TOKEN_SECONDS}
        spec["audiences"] = [source["audience"]] if source.get("audience") else []
        spec["boundObjectRef"] = {"kind": "Pod", "apiVersion": "v1", "name": meta(pod)["name"], "uid": uid_of(pod)}
        request = {
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenRequest",
            "metadata": {"name": account, "namespace": namespace},
            "spec": spec,
        }
        answer = (await self.client.create(SERVICEACCOUNTS, request, subresource="token"))["status"]
        left = (parse_time(answer["expirationTimestamp"]) - self.clock.now()).total_seconds()
        return _Token(answer["token"], self.clock.monotonic() + max(10.0, left * 0.8))

    def mounts(self, container: Mapping[str, Any], expanded: Callable[[str], str]) -> Sequence[Mount]:
        """Where the container sees its volumes. ``expanded`` resolves ``subPathExpr``. FailedError for a volume that is none."""
        return [self._mount(m, expanded) for m in container.get("volumeMounts") or ()]

    def _mount(self, mount: Mapping[str, Any], expanded: Callable[[str], str]) -> Mount:
        path = self.paths.get(mount["name"])
        if path is None:
            raise FailedError(f'volume "{mount["name"]}" is mounted but the pod declares no such volume')
        inner = mount.get("subPath") or expanded(mount.get("subPathExpr") or "")
        if inner:
            if ".." in PurePosixPath(inner).parts or inner.startswith("/"):
                raise FailedError(f"subPath {inner!r} must stay inside the volume")
            path = path / inner
            if not path.exists():
                path.mkdir(parents=True)
        return Mount(source=path, target=mount["mountPath"], read_only=bool(mount.get("readOnly")))


def _token_owner(pod: Object) -> int | None:
    """Who must be able to read a token of mode 0600: the user that the containers run as, when the node is root."""
    user = ((pod.get("spec") or {}).get("securityContext") or {}).get("runAsUser")
    return int(user) if user is not None and os.geteuid() == 0 else None


def _host_path(source: Mapping[str, Any]) -> Path:
    path, kind = Path(source["path"]), source.get("type") or ""
    if kind == "DirectoryOrCreate":
        path.mkdir(parents=True, exist_ok=True)
    elif kind == "FileOrCreate":
        path.touch()
    tests = {"Directory": path.is_dir, "File": path.is_file, "Socket": path.is_socket}
    if kind in tests and not tests[kind]():
        raise FailedError(f"hostPath type check failed: {path} is not a {kind.lower()}")
    if not path.exists():
        raise FailedError(f"hostPath {path} does not exist")
    return path
