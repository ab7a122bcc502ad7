"""A pod's volumes on this node: made before its containers start, kept current while they run, removed at the end.

Used by the pod worker. Each volume is a folder of the host; the runtime mounts or translates it. What cannot be had raises
FailedError, which the worker turns into a FailedMount event and tries again.
"""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from lateen.aio.clock import Clock
from lateen.client.client import Client
from lateen.cluster.node import atomic, ownership, payload
from lateen.cluster.node.seam import Mount
from lateen.errors import ApiError, FailedError, NotFoundError
from lateen.kube.claims import ephemeral_claim, made_for
from lateen.kube.meta import Object, key_of, meta, parse_time, uid_of
from lateen.kube.resources import CONFIGMAPS, PVCS, PVS, SECRETS, SERVICEACCOUNTS, Resource

_RESOURCES: Mapping[str, Resource] = {"ConfigMap": CONFIGMAPS, "Secret": SECRETS}
_MADE = ("configMap", "secret", "projected", "downwardAPI")
_FOREIGN = {"hostPath", "image"}  # nothing of the pod's own: it is never given to its group
ImageFolder = Callable[[str, str], Awaitable[Path]]
_TOKEN_SECONDS, _TOKEN_AGE_MOST = 3607, 24 * 3600.0


@dataclass(slots=True)
class _Token:
    text: str
    refresh_at: float


@dataclass(slots=True)
class Volumes:
    """The volumes of one pod under ``folder``, and under ``memory`` those that lie in memory; ``images`` gives an image's files."""

    client: Client
    clock: Clock
    folder: Path
    allocatable: Mapping[str, str]
    memory: Path
    images: ImageFolder | None = None
    paths: dict[str, Path] = field(default_factory=dict)
    _read_only: set[str] = field(default_factory=set)
    _images: set[str] = field(default_factory=set)
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
        if context.get("fsGroup") is None or os.geteuid() != 0 or _FOREIGN & volume.keys() or any(kind in volume for kind in _MADE):
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

    async def _make(self, pod: Object, volume: Mapping[str, Any]) -> Path:
        if any(kind in volume for kind in _MADE):
            self._read_only.add(volume["name"])
            return await self._written(pod, volume, self.folder / volume["name"])
        if "hostPath" in volume:
            return await asyncio.to_thread(_host_path, volume["hostPath"])
        if "persistentVolumeClaim" in volume:
            if volume["persistentVolumeClaim"].get("readOnly"):
                self._read_only.add(volume["name"])
            return await self._claimed(pod, volume["persistentVolumeClaim"]["claimName"])
        if "ephemeral" in volume:
            return await self._claimed(pod, ephemeral_claim(pod, volume), own=True)
        if "image" in volume:
            self._read_only.add(volume["name"])
            self._images.add(volume["name"])
            return await self._image(volume["name"], volume["image"])
        if "emptyDir" in volume or set(volume) == {"name"}:
            return await asyncio.to_thread(self._empty, volume)
        kind = next(k for k in volume if k != "name")
        raise FailedError(f"volumes of type {kind} are not supported by this node")

    async def _image(self, name: str, source: Mapping[str, Any]) -> Path:
        """The image that the volume had first, as long as it is there: a link keeps it, and keeps it from being collected."""
        link = self.folder / name
        if link.is_symlink() and link.exists():
            return link.readlink()
        if self.images is None:
            raise FailedError("this node has no images")
        path = await self.images(source.get("reference") or "", source.get("pullPolicy") or "")
        self.folder.mkdir(parents=True, exist_ok=True)
        link.unlink(missing_ok=True)
        link.symlink_to(path)
        return path

    def _empty(self, volume: Mapping[str, Any]) -> Path:
        in_memory = (volume.get("emptyDir") or {}).get("medium") == "Memory"
        path: Path = (self.memory if in_memory else self.folder) / volume["name"]
        path.mkdir(parents=True, exist_ok=True)
        path.chmod(0o777)
        return path

    async def _claimed(self, pod: Object, claim_name: str, *, own: bool = False) -> Path:
        namespace = meta(pod).get("namespace", "")
        claim = await self.client.get(PVCS, claim_name, namespace)
        if own and not made_for(pod, claim):
            raise FailedError(f"PVC {namespace}/{claim_name} was not created for pod {key_of(pod)} (pod is not owner)")
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
        owner = _token_owner(pod) if tokens else None
        group = ((pod.get("spec") or {}).get("securityContext") or {}).get("fsGroup") if os.geteuid() == 0 else None
        files = payload.files_of(
            pod, volume, fetched, tokens=tokens, allocatable=self.allocatable, private=owner is not None or group is not None
        )
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
        return _Token(answer["token"], self.clock.monotonic() + max(10.0, min(left * 0.8, _TOKEN_AGE_MOST)))

    def mounts(self, container: Mapping[str, Any], expanded: Callable[[str], str]) -> Sequence[Mount]:
        """Where the container sees its volumes. ``expanded`` resolves ``subPathExpr``. FailedError for a volume that is none."""
        if container.get("volumeDevices"):
            raise FailedError("volumes as block devices (volumeDevices) are not supported by this node")
        return [self._mount(m, expanded) for m in container.get("volumeMounts") or ()]

    def _mount(self, mount: Mapping[str, Any], expanded: Callable[[str], str]) -> Mount:
        path = self.paths.get(mount["name"])
        if path is None:
            raise FailedError(f'volume "{mount["name"]}" is mounted but the pod declares no such volume')
        inner = mount.get("subPath") or _whole(expanded(mount.get("subPathExpr") or ""))
        return Mount(
            source=_within(path, inner, make=mount["name"] not in self._images) if inner else path,
            target=mount["mountPath"],
            read_only=bool(mount.get("readOnly")) or mount["name"] in self._read_only,
            propagation=mount.get("mountPropagation") or "",
        )


def _whole(text: str) -> str:
    """What a subPathExpr came to, when every variable in it is known."""
    if missing := re.search(r"\$\(([^()]*)\)", text):
        raise FailedError(f'missing value for "{missing[1]}"')
    return text


def _within(volume: Path, inner: str, *, make: bool) -> Path:
    """A place inside a volume, made if missing and allowed. Links may lead anywhere in the volume, not out of it."""
    if ".." in PurePosixPath(inner).parts or inner.startswith("/"):
        raise FailedError(f"subPath {inner!r} must stay inside the volume")
    top = volume.resolve()
    place = (top / inner).resolve()
    if not place.is_relative_to(top):
        raise FailedError(f'failed to prepare subPath for volumeMount: subpath "{inner}" leads out of the volume')
    if not place.exists():
        if not make:
            raise FailedError(f'failed to prepare subPath for volumeMount: the image has no "{inner}"')
        place.mkdir(parents=True)
        place.chmod(top.stat().st_mode & 0o7777)
    return place


def _token_owner(pod: Object) -> int | None:
    """Who must be able to read a token of mode 0600: the one user that all containers run as, when the node is root."""
    spec = pod.get("spec") or {}
    common = (spec.get("securityContext") or {}).get("runAsUser")
    every = [*(spec.get("initContainers") or ()), *(spec.get("containers") or ())]
    users = {(c.get("securityContext") or {}).get("runAsUser", common) for c in every} or {common}
    user = users.pop() if len(users) == 1 else None
    return int(user) if user is not None and os.geteuid() == 0 else None


def _host_path(source: Mapping[str, Any]) -> Path:
    path, kind = Path(source["path"]), source.get("type") or ""
    if kind in ("", "DirectoryOrCreate") and not path.exists():
        path.mkdir(mode=0o755, parents=True)
    elif kind == "FileOrCreate" and not path.exists():
        path.touch(mode=0o644)
    if kind:
        holds, what = _HOST_TYPES[kind]
        if not holds(path):
            raise FailedError(f"hostPath type check failed: {path} is not a {what}")
    return path


_HOST_TYPES: Mapping[str, tuple[Callable[[Path], bool], str]] = {
    "Directory": (Path.is_dir, "directory"),
    "DirectoryOrCreate": (Path.is_dir, "directory"),
    "File": (Path.is_file, "file"),
    "FileOrCreate": (Path.is_file, "file"),
    "Socket": (Path.is_socket, "socket file"),
    "CharDevice": (Path.is_char_device, "character device"),
    "BlockDevice": (Path.is_block_device, "block device"),
}
