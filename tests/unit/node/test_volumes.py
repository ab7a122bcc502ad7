"""Volumes of a pod: what is made where, sub paths, host paths, projections, tokens."""

from __future__ import annotations

import os
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from lateen.aio.clock import VirtualClock
from lateen.client.client import Client
from lateen.client.inprocess import InProcessTransport
from lateen.cluster.api.server import ApiServer
from lateen.cluster.api.user import ADMIN
from lateen.cluster.node import payload
from lateen.cluster.node.environment import expand
from lateen.cluster.node.runtimes.wishes import unkept
from lateen.cluster.node.seam import Mount
from lateen.cluster.node.volumes import Volumes
from lateen.cluster.storage.memory import MemoryStorage
from lateen.errors import FailedError
from lateen.kube.meta import Object
from lateen.kube.resources import CONFIGMAPS, PODS, SERVICEACCOUNTS


class Rig:
    def __init__(self, client: Client, clock: VirtualClock, folder: Path) -> None:
        self.client, self.clock, self.folder = client, clock, folder
        self.volumes = Volumes(client, clock, folder / "volumes", {}, folder / "memory")

    async def mount(self, source: Object, **mount: Any) -> Mount:
        pod = {"metadata": {"name": "p", "namespace": "default"}, "spec": {"volumes": [{"name": "v", **source}]}}
        await self.volumes.setup(pod)
        container = {"volumeMounts": [{"name": "v", "mountPath": "/v", **mount}]}
        return next(iter(self.volumes.mounts(container, lambda text: expand(text, {"NAME": "one"}))))


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[Rig]:
    clock = VirtualClock()
    async with ApiServer(MemoryStorage(), clock=clock) as server:
        yield Rig(Client(InProcessTransport(server.handler_for(ADMIN))), clock, tmp_path)


async def test_empty_folders_lie_on_disk_or_in_memory(rig: Rig) -> None:
    assert (await rig.mount({"emptyDir": {}})).source == rig.folder / "volumes/v"
    in_memory = await rig.mount({"emptyDir": {"medium": "Memory"}})
    assert in_memory.source == rig.folder / "memory/v"
    assert in_memory.source.stat().st_mode & 0o777 == 0o777


async def test_images_are_volumes_that_nobody_writes_to(rig: Rig, tmp_path: Path) -> None:
    asked: list[tuple[str, str]] = []
    (tmp_path / "files/in").mkdir(parents=True)

    async def images(ref: str, policy: str) -> Path:
        asked.append((ref, policy))
        return tmp_path / "files"

    source = {"image": {"reference": "data:1", "pullPolicy": "Always"}}
    with pytest.raises(FailedError, match="has no images"):
        await rig.mount(source)
    rig.volumes.images = images
    mount = await rig.mount(source)
    assert (mount.source, mount.read_only) == (tmp_path / "files", True)
    assert (await rig.mount(source, subPath="in")).source == tmp_path / "files/in"
    with pytest.raises(FailedError, match='the image has no "out"'):
        await rig.mount(source, subPath="out")
    assert not (tmp_path / "files/out").exists()
    assert asked == [("data:1", "Always")]  # once: the pod keeps what it has


async def test_sub_paths_stay_inside(rig: Rig) -> None:
    made = await rig.mount({"emptyDir": {}}, subPathExpr="logs/$(NAME)")
    assert made.source == (rig.folder / "volumes/v/logs/one").resolve()
    assert made.source.is_dir() and made.source.stat().st_mode & 0o777 == 0o777
    (rig.folder / "volumes/v/out").symlink_to("/etc")
    with pytest.raises(FailedError, match="leads out of the volume"):
        await rig.mount({"emptyDir": {}}, subPath="out")
    with pytest.raises(FailedError, match='missing value for "WHAT"'):
        await rig.mount({"emptyDir": {}}, subPathExpr="$(WHAT)")


async def test_configuration_is_read_only_and_a_sub_path_of_it_a_file(rig: Rig) -> None:
    await rig.client.create(CONFIGMAPS, {"metadata": {"name": "c", "namespace": "default"}, "data": {"a": "1", "b": "2"}})
    found = await rig.mount({"configMap": {"name": "c", "defaultMode": 0o400}}, subPath="a")
    assert found.read_only and found.source.read_text() == "1"
    assert found.source.stat().st_mode & 0o777 == 0o400
    optional = {"configMap": {"name": "none", "optional": True}}
    assert [n for n in os.listdir((await rig.mount(optional)).source) if not n.startswith("..")] == []


async def test_host_paths_by_type(rig: Rig) -> None:
    place = rig.folder / "host"
    assert (await rig.mount({"hostPath": {"path": str(place / "d"), "type": "DirectoryOrCreate"}})).source.is_dir()
    assert (await rig.mount({"hostPath": {"path": str(place / "f"), "type": "FileOrCreate"}})).source.is_file()
    assert (await rig.mount({"hostPath": {"path": "/dev/null", "type": "CharDevice"}})).source == Path("/dev/null")
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(place / "s"))
    listener.close()
    await rig.mount({"hostPath": {"path": str(place / "s"), "type": "Socket"}})
    for kind, what in (("Directory", "directory"), ("BlockDevice", "block device"), ("Socket", "socket file")):
        with pytest.raises(FailedError, match=f"hostPath type check failed: .*/host/f is not a {what}"):
            await rig.mount({"hostPath": {"path": str(place / "f"), "type": kind}})


def test_projections_that_are_not_there_are_refused() -> None:
    volume = {"projected": {"sources": [{"clusterTrustBundle": {"name": "x", "path": "y"}}]}}
    with pytest.raises(FailedError, match="projections of type clusterTrustBundle are not supported by this node"):
        payload.files_of({}, volume, {}, tokens={}, allocatable={})


def test_tokens_are_private_only_when_somebody_owns_them() -> None:
    volume = {"projected": {"defaultMode": 0o644, "sources": [{"serviceAccountToken": {"path": "t"}}]}}
    assert payload.files_of({}, volume, {}, tokens={"t": "x"}, allocatable={})["t"].mode == 0o644
    assert payload.files_of({}, volume, {}, tokens={"t": "x"}, allocatable={}, private=True)["t"].mode == 0o600


async def test_a_token_is_made_anew_at_four_fifths_of_its_time(rig: Rig) -> None:
    await rig.client.create(SERVICEACCOUNTS, {"metadata": {"name": "default", "namespace": "default"}})
    container = {"name": "app", "image": "x"}
    source = {"projected": {"sources": [{"serviceAccountToken": {"path": "t", "expirationSeconds": 1000}}]}}
    pod = {
        "metadata": {"name": "p", "namespace": "default"},
        "spec": {"containers": [container], "volumes": [{"name": "v", **source}]},
    }
    made = await rig.client.create(PODS, pod)
    await rig.volumes.setup(made)
    first = (rig.folder / "volumes/v/t").read_text()
    due = rig.volumes.refresh_at()
    assert due is not None and due - rig.clock.monotonic() == pytest.approx(800, abs=1)
    await rig.clock.advance(799)
    await rig.volumes.refresh(made)
    assert (rig.folder / "volumes/v/t").read_text() == first
    await rig.clock.advance(2)
    await rig.volumes.refresh(made)
    assert (rig.folder / "volumes/v/t").read_text() != first


async def test_block_devices_are_refused(rig: Rig) -> None:
    with pytest.raises(FailedError, match="volumeDevices"):
        rig.volumes.mounts({"volumeDevices": [{"name": "v", "devicePath": "/dev/x"}]}, str)


def test_what_a_process_runs_without() -> None:
    context = {"capabilities": {"drop": ["ALL"]}, "readOnlyRootFilesystem": True, "runAsUser": 5, "allowPrivilegeEscalation": False}
    pod = {"spec": {"containers": [{"securityContext": context}], "securityContext": {"sysctls": [{"name": "x"}]}}}
    assert unkept(pod, root=True) == ["capabilities", "readOnlyRootFilesystem", "sysctls"]
    assert unkept(pod, root=False) == ["capabilities", "readOnlyRootFilesystem", "runAsUser", "sysctls"]
    assert unkept({"spec": {"containers": [{}]}}, root=False) == []
