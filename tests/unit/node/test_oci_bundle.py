"""Bundles: what crun is told, for pods of every kind. The golden file is the whole config.json."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tests.conftest import Golden

from lateen.cluster.node.environment import ConfigError
from lateen.cluster.node.runtimes import oom
from lateen.cluster.node.runtimes.oci import cgroups, security
from lateen.cluster.node.runtimes.oci.bundle import Machine, Place, config, host_namespaces
from lateen.cluster.node.runtimes.oci.seccomp import default_profile
from lateen.cluster.node.runtimes.oci.security import Accounts, User
from lateen.cluster.node.seam import ContainerSpec, Mount

GOLDEN = Path(__file__).parent / "golden"
ACCOUNTS = Accounts(
    passwd="root:x:0:0::/root:/bin/sh\nweb:x:101:102::/srv:/bin/sh\n", group="root:x:0:\nweb:x:102:\nextra:x:103:web,other\n"
)


def spec(container: dict[str, Any] | None = None, pod: dict[str, Any] | None = None) -> ContainerSpec:
    whole = {"name": "app", **(container or {})}
    return ContainerSpec(
        id="u_app_0",
        pod_uid="u",
        name="app",
        attempt=0,
        image="x",
        rootfs=None,
        scratch=Path("/s"),
        argv=["serve", "--all"],
        env={"A": "1"},
        cwd="/srv",
        log=Path("/l"),
        mounts=[Mount(source=Path("/v/data"), target="/data"), Mount(source=Path("/v/c"), target="/etc/c", read_only=True)],
        pod={"metadata": {"name": "p", "namespace": "ns", "uid": "u"}, "spec": pod or {}},
        container=whole,
    )


def made(container: dict[str, Any] | None = None, pod: dict[str, Any] | None = None, **place: Any) -> dict[str, Any]:
    one = spec(container, pod)
    where = Place(**{"root": Path("/r"), "cgroup": "/g/u_app_0", "hostname": "p", **place})
    return config(one, User(uid=101, gid=102, groups=(7,)), where, Machine(memory=8 << 30, unified=True, swap=True))


def test_whole_config(golden: Golden) -> None:
    limits = {"requests": {"cpu": "250m", "memory": "64Mi"}, "limits": {"cpu": "500m", "memory": "128Mi"}}
    result = made({"resources": limits}, {"containers": []}, namespaces={"network": "/run/netns/p"})
    result["linux"]["seccomp"]["syscalls"][0]["names"] = ["(see seccomp.py)"]
    golden(GOLDEN / "oci_bundle.json", json.dumps(result, indent=1) + "\n")


def test_privileged_has_everything_and_no_filter() -> None:
    linux = made({"securityContext": {"privileged": True}})["linux"]
    assert "seccomp" not in linux
    assert "maskedPaths" not in linux
    assert linux["resources"]["devices"] == [{"allow": True, "access": "rwm"}]


def test_host_namespaces_are_not_made() -> None:
    hosts = host_namespaces({"spec": {"hostPID": True, "hostNetwork": True}})
    kinds = [n["type"] for n in made(namespaces=hosts)["linux"]["namespaces"]]
    assert kinds == ["ipc", "mount", "cgroup"]


def test_shared_namespaces_are_joined_and_named_once() -> None:
    result = made(namespaces={"ipc": "/proc/9/ns/ipc", "uts": "/proc/9/ns/uts"}, shared_memory=Path("/dev/shm/p"))
    assert {"type": "uts", "path": "/proc/9/ns/uts"} in result["linux"]["namespaces"]
    assert "hostname" not in result
    assert [m["source"] for m in result["mounts"] if m["destination"] == "/dev/shm"] == ["/dev/shm/p"]


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        (None, "SCMP_ACT_ERRNO"),
        ({"type": "RuntimeDefault"}, "SCMP_ACT_ERRNO"),
        ({"type": "Unconfined"}, None),
        ({"type": "Localhost", "localhostProfile": "x"}, "SCMP_ACT_LOG"),
    ],
)
def test_seccomp_profiles(wanted: Any, found: Any) -> None:
    container = {"securityContext": {"seccompProfile": wanted}} if wanted else {}
    linux = made(container, localhost_seccomp={"defaultAction": "SCMP_ACT_LOG"})["linux"]
    assert (linux.get("seccomp") or {}).get("defaultAction") == found


def test_capabilities_open_their_calls() -> None:
    def calls(*names: str) -> set[str]:
        rules = default_profile(names, "x86_64")["syscalls"]
        return {n for r in rules if r["action"] == "SCMP_ACT_ALLOW" and "args" not in r for n in r["names"]}

    assert not {"mount", "setns", "bpf", "keyctl", "unshare"} & calls()
    assert {"mount", "setns", "unshare", "clone3"} <= calls("CAP_SYS_ADMIN")
    assert "chroot" in calls("CAP_SYS_CHROOT")
    assert "chroot" not in calls()


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({}, 14),
        ({"drop": ["ALL"]}, 0),
        ({"drop": ["ALL"], "add": ["NET_BIND_SERVICE"]}, 1),
        ({"add": ["CAP_SYS_TIME"], "drop": ["mknod"]}, 14),
        ({"add": ["ALL"]}, 41),
    ],
)
def test_capabilities(change: dict[str, Any], expected: int) -> None:
    assert len(security.capabilities({"securityContext": {"capabilities": change}})) == expected


@pytest.mark.parametrize(
    ("container", "pod", "image", "expected"),
    [
        ({}, {}, "", User(uid=0, gid=0)),
        ({}, {}, "web", User(uid=101, gid=102, groups=(103,))),
        ({}, {}, "web:extra", User(uid=101, gid=103)),
        ({}, {}, "5000", User(uid=5000, gid=0)),
        ({}, {"runAsUser": 101, "supplementalGroups": [9], "fsGroup": 8}, "", User(uid=101, gid=102, groups=(9, 8, 103))),
        ({"runAsUser": 5}, {"runAsUser": 101, "runAsGroup": 6}, "web", User(uid=5, gid=6)),
        ({}, {"runAsUser": 101, "supplementalGroupsPolicy": "Strict"}, "", User(uid=101, gid=102)),
    ],
)
def test_users(container: dict[str, Any], pod: dict[str, Any], image: str, expected: User) -> None:
    whole = {"metadata": {"name": "p"}, "spec": {"securityContext": pod}}
    assert security.user(whole, {"name": "c", "securityContext": container}, image, ACCOUNTS) == expected


@pytest.mark.parametrize(
    ("container", "image", "said"),
    [
        ({}, "", "container has runAsNonRoot and image will run as root"),
        ({}, "web", "container has runAsNonRoot and image has non-numeric user (web), cannot verify user is non-root"),
        ({"runAsUser": 0}, "101", "container's runAsUser breaks non-root policy"),
    ],
)
def test_run_as_non_root(container: dict[str, Any], image: str, said: str) -> None:
    pod = {"metadata": {"name": "p", "namespace": "n", "uid": "u"}, "spec": {"securityContext": {"runAsNonRoot": True}}}
    with pytest.raises(ConfigError) as caught:
        security.user(pod, {"name": "c", "securityContext": container}, image, ACCOUNTS)
    assert str(caught.value) == f'{said} (pod: "p_n(u)", container: c)'


def test_amounts() -> None:
    assert cgroups.shares("250m") == 256
    assert cgroups.shares(None) == 2
    assert cgroups.quota({"resources": {"limits": {"cpu": "500m"}}}) == 50_000
    assert cgroups.quota({"resources": {"limits": {"cpu": "1m"}}}) == 1000
    assert cgroups.quota({}) == 0


@pytest.mark.parametrize(
    ("quality", "request_", "expected"),
    [("Guaranteed", "1Gi", -997), ("BestEffort", None, 1000), ("Burstable", "4Gi", 500), ("Burstable", "64Gi", 3)],
)
def test_who_is_killed_first(quality: str, request_: str | None, expected: int) -> None:
    container = {"resources": {"requests": {"memory": request_} if request_ else {}}}
    assert oom.oom_score_adj({"status": {"qosClass": quality}}, container, 8 << 30) == expected


def test_cgroup_files(tmp_path: Path) -> None:
    folder = tmp_path / "memory/l/c"
    folder.mkdir(parents=True)
    (folder / "memory.oom_control").write_text("oom_kill_disable 0\nunder_oom 0\noom_kill 2\n")
    assert cgroups.Cgroups("l", tmp_path).oom_kills("c") == 2
    unified = tmp_path / "v2"
    (unified / "l/c").mkdir(parents=True)
    (unified / "cgroup.controllers").write_text("memory")
    (unified / "l/c/memory.events").write_text("oom 1\noom_kill 1\noom_group_kill 0\n")
    second = cgroups.Cgroups("l", unified)
    assert (second.unified, second.oom_kills("c")) == (True, 1)
    second.limit_cpu("c", 20_000)
    assert (unified / "l/c/cpu.max").read_text() == "20000 100000"


@pytest.mark.parametrize(
    ("cpu", "memory", "wrote"), [("1500m", "64Mi", ("512", "150000", str(64 * 2**20))), (None, None, ("512", "-1", "-1"))]
)
def test_a_running_containers_limits_in_the_first_version(
    tmp_path: Path, cpu: str | None, memory: str | None, wrote: tuple[str, str, str]
) -> None:
    names = {"cpu": ("cpu.shares", "cpu.cfs_quota_us"), "memory": ("memory.limit_in_bytes",)}
    for controller, files in names.items():
        folder = tmp_path / controller / "l" / "c"
        folder.mkdir(parents=True)
        for name in files:
            (folder / name).write_text("1")
    limits = {k: v for k, v in (("cpu", cpu), ("memory", memory)) if v}
    cgroups.Cgroups("l", tmp_path).resize("c", {"resources": {"requests": {"cpu": "500m"}, "limits": limits}})
    found = [(tmp_path / c / "l" / "c" / name).read_text() for c, files in names.items() for name in files]
    assert tuple(found) == wrote


def test_and_in_the_second(tmp_path: Path) -> None:
    (tmp_path / "l/c").mkdir(parents=True)
    (tmp_path / "cgroup.controllers").touch()
    groups = cgroups.Cgroups("l", tmp_path)
    groups.resize("c", {"resources": {"requests": {"cpu": "1"}, "limits": {"memory": "1Mi"}}})
    found = {p.name: p.read_text() for p in (tmp_path / "l/c").iterdir()}
    assert found == {"cpu.weight": "39", "cpu.max": "max 100000", "memory.max": str(2**20)}
