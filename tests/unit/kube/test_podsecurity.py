"""Every control of the Pod Security Standards, on a pod that keeps it and a pod that breaks it."""

from __future__ import annotations

from typing import Any

import pytest

from lateen.kube.meta import edit
from lateen.kube.podsecurity import evaluate, message

SAFE: dict[str, Any] = {
    "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
    "containers": [
        {"name": "a", "image": "a:1", "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}}
    ],
}


def pod(*changes: tuple[str, Any]) -> dict[str, Any]:
    """SAFE with values set at dotted paths (a number is an index; None removes)."""
    spec: dict[str, Any] = edit(SAFE)
    for path, value in changes:
        at: Any = spec
        *steps, last = path.split(".")
        for step in steps:
            at = at[int(step)] if isinstance(at, list) else at.setdefault(step, {})
        if value is None:
            del at[last]
        else:
            at[last] = value
    return spec


C = "containers.0"
BASELINE: list[tuple[str, str, list[tuple[str, Any]], str]] = [
    (
        "privileged",
        "privileged",
        [(f"{C}.securityContext.privileged", True)],
        'container "a" must not set securityContext.privileged=true',
    ),
    ("hostNamespaces", "host namespaces", [("hostNetwork", True), ("hostPID", True)], "hostNetwork=true, hostPID=true"),
    ("hostNamespaces", "host namespaces", [("hostIPC", True)], "hostIPC=true"),
    ("hostPorts", "hostPort", [(f"{C}.ports", [{"containerPort": 80, "hostPort": 80}])], 'container "a" uses hostPort 80'),
    (
        "hostPorts",
        "hostPort",
        [(f"{C}.ports", [{"containerPort": 80, "hostPort": 80}, {"containerPort": 81, "hostPort": 81}])],
        'container "a" uses hostPorts 80, 81',
    ),
    ("hostPathVolumes", "hostPath volumes", [("volumes", [{"name": "v", "hostPath": {"path": "/x"}}])], 'volume "v"'),
    (
        "appArmorProfile",
        "forbidden AppArmor profile",
        [("securityContext.appArmorProfile.type", "Unconfined")],
        'pod must not set AppArmor profile type to "Unconfined"',
    ),
    (
        "seLinuxOptions",
        "seLinuxOptions",
        [("securityContext.seLinuxOptions", {"type": "spc_t", "user": "u", "role": "r"})],
        'pod set forbidden securityContext.seLinuxOptions: type "spc_t"; user may not be set; role may not be set',
    ),
    (
        "procMount",
        "procMount",
        [(f"{C}.securityContext.procMount", "Unmasked")],
        'container "a" must not set securityContext.procMount to "Unmasked"',
    ),
    ("sysctls", "forbidden sysctls", [("securityContext.sysctls", [{"name": "kernel.msgmax", "value": "1"}])], "kernel.msgmax"),
    (
        "windowsHostProcess",
        "hostProcess",
        [("securityContext.windowsOptions.hostProcess", True)],
        "pod must not set securityContext.windowsOptions.hostProcess=true",
    ),
    (
        "hostProbesAndHostLifecycle",
        "probe or lifecycle host",
        [(f"{C}.livenessProbe.httpGet", {"host": "1.2.3.4", "port": 1})],
        'container "a" uses probe or lifecycle host "1.2.3.4"',
    ),
    (
        "hostProbesAndHostLifecycle",
        "probe or lifecycle host",
        [(f"{C}.lifecycle.preStop.tcpSocket", {"host": "h", "port": 1})],
        'container "a" uses probe or lifecycle host "h"',
    ),
]
ONLY_BASELINE: list[tuple[str, str, list[tuple[str, Any]], str]] = [
    (
        "capabilities_baseline",
        "non-default capabilities",
        [(f"{C}.securityContext.capabilities.add", ["NET_ADMIN"])],
        'container "a" must not include "NET_ADMIN" in securityContext.capabilities.add',
    ),
    (
        "seccompProfile_baseline",
        "seccompProfile",
        [(f"{C}.securityContext.seccompProfile.type", "Unconfined")],
        'container "a" must not set securityContext.seccompProfile.type to "Unconfined"',
    ),
]
RESTRICTED: list[tuple[str, str, list[tuple[str, Any]], str]] = [
    (
        "restrictedVolumes",
        "restricted volume types",
        [("volumes", [{"name": "v", "nfs": {}}])],
        'volume "v" uses restricted volume type "nfs"',
    ),
    (
        "allowPrivilegeEscalation",
        "allowPrivilegeEscalation != false",
        [(f"{C}.securityContext.allowPrivilegeEscalation", None)],
        'container "a" must set securityContext.allowPrivilegeEscalation=false',
    ),
    (
        "runAsNonRoot",
        "runAsNonRoot != true",
        [("securityContext.runAsNonRoot", None)],
        'pod or container "a" must set securityContext.runAsNonRoot=true',
    ),
    (
        "runAsNonRoot",
        "runAsNonRoot != true",
        [("securityContext.runAsNonRoot", False)],
        "pod must not set securityContext.runAsNonRoot=false",
    ),
    (
        "runAsNonRoot",
        "runAsNonRoot != true",
        [(f"{C}.securityContext.runAsNonRoot", False)],
        'container "a" must not set securityContext.runAsNonRoot=false',
    ),
    ("runAsUser", "runAsUser=0", [("securityContext.runAsUser", 0)], "pod must not set runAsUser=0"),
    ("runAsUser", "runAsUser=0", [(f"{C}.securityContext.runAsUser", 0)], 'container "a" must not set runAsUser=0'),
    (
        "seccompProfile_restricted",
        "seccompProfile",
        [("securityContext.seccompProfile", None)],
        'pod or container "a" must set securityContext.seccompProfile.type to "RuntimeDefault" or "Localhost"',
    ),
    (
        "seccompProfile_restricted",
        "seccompProfile",
        [("securityContext.seccompProfile.type", "Unconfined")],
        'pod must not set securityContext.seccompProfile.type to "Unconfined"',
    ),
    (
        "capabilities_restricted",
        "unrestricted capabilities",
        [(f"{C}.securityContext.capabilities", None)],
        'container "a" must set securityContext.capabilities.drop=["ALL"]',
    ),
    (
        "capabilities_restricted",
        "unrestricted capabilities",
        [(f"{C}.securityContext.capabilities.add", ["CHOWN"])],
        'container "a" must not include "CHOWN" in securityContext.capabilities.add',
    ),
]


@pytest.mark.parametrize(("control", "reason", "changes", "detail"), [*BASELINE, *ONLY_BASELINE])
def test_a_pod_that_breaks_baseline(control: str, reason: str, changes: list[tuple[str, Any]], detail: str) -> None:
    (found,) = evaluate("baseline", pod(*changes))
    assert (found.control, found.reason, found.detail) == (control, reason, detail)
    assert found.spots


@pytest.mark.parametrize(("control", "reason", "changes", "detail"), [*BASELINE, *RESTRICTED])
def test_a_pod_that_breaks_restricted(control: str, reason: str, changes: list[tuple[str, Any]], detail: str) -> None:
    found = {v.control: v for v in evaluate("restricted", pod(*changes))}
    assert (found[control].reason, found[control].detail) == (reason, detail)
    assert set(found) - {control} <= {"restrictedVolumes"}, (
        "nothing else is wrong, but that hostPath is no restricted volume either"
    )


@pytest.mark.parametrize(("control", "reason", "changes", "detail"), RESTRICTED)
def test_baseline_does_not_ask_what_only_restricted_asks(
    control: str, reason: str, changes: list[tuple[str, Any]], detail: str
) -> None:
    assert all(v.control == "seccompProfile_baseline" for v in evaluate("baseline", pod(*changes)))


KEEPS: list[list[tuple[str, Any]]] = [
    [],
    [(f"{C}.securityContext.capabilities.add", ["NET_BIND_SERVICE"])],
    [("securityContext.appArmorProfile.type", "RuntimeDefault")],
    [("securityContext.seLinuxOptions", {"type": "container_t", "level": "s0"})],
    [("securityContext.sysctls", [{"name": "net.ipv4.tcp_rmem", "value": "1"}])],
    [(f"{C}.securityContext.procMount", "Unmasked"), ("hostUsers", False)],
    [("securityContext.runAsNonRoot", None), ("securityContext.runAsUser", 0), ("hostUsers", False)],
    [("securityContext.runAsNonRoot", None), (f"{C}.securityContext.runAsNonRoot", True)],
    [("securityContext.seccompProfile", None), (f"{C}.securityContext.seccompProfile", {"type": "Localhost"})],
    [("os.name", "windows"), (f"{C}.securityContext", None), ("securityContext.seccompProfile", None)],
    [("volumes", [{"name": n, n: {}} for n in ("configMap", "emptyDir", "secret", "csi", "image", "projected")])],
    [(f"{C}.ports", [{"containerPort": 80, "hostPort": 0}])],
    [(f"{C}.livenessProbe.httpGet", {"port": 1})],
]


@pytest.mark.parametrize("changes", KEEPS)
def test_a_pod_that_keeps_restricted(changes: list[tuple[str, Any]]) -> None:
    assert evaluate("restricted", pod(*changes)) == []


def test_init_and_ephemeral_containers_count() -> None:
    bad = {"name": "b", "securityContext": {"privileged": True}}
    for kind in ("initContainers", "ephemeralContainers"):
        (found,) = evaluate("baseline", pod((kind, [bad])))
        assert found.spots == ((("spec", kind, 0, "securityContext", "privileged"), "b"),)


def test_app_armor_annotations() -> None:
    key = "container.apparmor.security.beta.kubernetes.io/a"
    assert evaluate("restricted", pod(), {key: "runtime/default"}) == []
    (found,) = evaluate("baseline", pod(), {key: "unconfined"})
    assert found.detail == f'annotation {key}="unconfined"'


def test_several_containers_are_named() -> None:
    two = [{"name": n, "securityContext": {"privileged": True}} for n in "ab"]
    (found,) = evaluate("baseline", pod(("containers", two)))
    assert found.detail == 'containers "a", "b" must not set securityContext.privileged=true'


def test_the_message_of_admission() -> None:
    violations = evaluate("restricted", {"hostNetwork": True, "containers": [{"name": "a"}]})
    assert message("restricted", violations) == (
        'violates PodSecurity "restricted:latest": host namespaces (hostNetwork=true), '
        'allowPrivilegeEscalation != false (container "a" must set securityContext.allowPrivilegeEscalation=false), '
        'runAsNonRoot != true (pod or container "a" must set securityContext.runAsNonRoot=true), '
        'seccompProfile (pod or container "a" must set securityContext.seccompProfile.type to "RuntimeDefault" or "Localhost"), '
        'unrestricted capabilities (container "a" must set securityContext.capabilities.drop=["ALL"])'
    )


def test_privileged_forbids_nothing() -> None:
    assert evaluate("privileged", {"hostPID": True, "containers": []}) == []
