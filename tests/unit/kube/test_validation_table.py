"""What each kind refuses, a line per rule: an object, and the finding in Kubernetes' form."""

from __future__ import annotations

from typing import Any

import pytest

from lateen.kube.validation import validate

LABELS = {"app": "a"}
POD = {
    "containers": [{"name": "c", "image": "i", "terminationMessagePolicy": "File", "imagePullPolicy": "Always"}],
    "dnsPolicy": "ClusterFirst",
}


def template(restart: str = "Always") -> dict[str, Any]:
    return {"metadata": {"labels": LABELS}, "spec": POD | {"restartPolicy": restart}}


def made(kind: str, spec: Any = None, **fields: Any) -> dict[str, Any]:
    versions = {
        "Job": "batch/v1",
        "DaemonSet": "apps/v1",
        "StatefulSet": "apps/v1",
        "HorizontalPodAutoscaler": "autoscaling/v2",
        "StorageClass": "storage.k8s.io/v1",
        "RuntimeClass": "node.k8s.io/v1",
        "NetworkPolicy": "networking.k8s.io/v1",
        "Lease": "coordination.k8s.io/v1",
    }
    spec = {"spec": spec} if spec is not None else {}
    return {"apiVersion": versions.get(kind, "v1"), "kind": kind, "metadata": {"name": "x", "namespace": "d"}, **spec, **fields}


def workload(kind: str, **spec: Any) -> dict[str, Any]:
    strategy = {"updateStrategy": {"type": "RollingUpdate"}} | (
        {"podManagementPolicy": "Parallel"} if kind == "StatefulSet" else {}
    )
    return made(kind, {"selector": {"matchLabels": LABELS}, "template": template(), **strategy, **spec})


def job(restart: str = "Never", **spec: Any) -> dict[str, Any]:
    return made("Job", {"template": template(restart), **spec})


def scaler(**spec: Any) -> dict[str, Any]:
    return made("HorizontalPodAutoscaler", {"scaleTargetRef": {"kind": "Deployment", "name": "x"}, "maxReplicas": 3, **spec})


def rolling(**fields: Any) -> dict[str, Any]:
    return {"type": "RollingUpdate", "rollingUpdate": fields}


def pod(container: dict[str, Any] | None = None, **spec: Any) -> dict[str, Any]:
    main = POD["containers"][0] | ({"securityContext": container} if container else {})  # type: ignore[operator]
    return made("Pod", POD | {"restartPolicy": "Always", "containers": [main], **spec})


def sysctl(name: str, **spec: Any) -> dict[str, Any]:
    return pod(securityContext={"sysctls": [{"name": name, "value": "1"}]}, **spec)


RULE = {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]}
CPU = {"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization"}}}
CASES = {
    "spec.template.spec.restartPolicy": job("OnFailure", podFailurePolicy={"rules": [RULE]}),
    "spec.podFailurePolicy.rules[0].action": job(podFailurePolicy={"rules": [RULE | {"action": "Foo"}]}),
    "spec.podFailurePolicy.rules[0].onExitCodes.values[0]": job(
        podFailurePolicy={"rules": [{"action": "Count", "onExitCodes": {"operator": "In", "values": [0]}}]}
    ),
    "spec.backoffLimitPerIndex": job(backoffLimitPerIndex=1),
    "spec.successPolicy": job(successPolicy={"rules": [{"succeededCount": 1}]}),
    "spec.successPolicy.rules": job(completionMode="Indexed", completions=1, successPolicy={"rules": []}),
    "spec.podReplacementPolicy": job(podReplacementPolicy="X"),
    "spec.updateStrategy.rollingUpdate.maxUnavailable": workload("DaemonSet", updateStrategy=rolling(maxSurge=0, maxUnavailable=0)),
    "spec.updateStrategy.rollingUpdate.partition": workload("StatefulSet", updateStrategy=rolling(partition=-1)),
    "spec.ordinals.start": workload("StatefulSet", ordinals={"start": -1}),
    "spec.persistentVolumeClaimRetentionPolicy.whenScaled": workload(
        "StatefulSet", persistentVolumeClaimRetentionPolicy={"whenScaled": "Foo"}
    ),
    "spec.template.metadata.labels": made(
        "ReplicationController", {"selector": {"app": "b"}, "template": template(), "replicas": 1}
    ),
    "spec.replicas": made("ReplicationController", {"selector": LABELS, "template": template(), "replicas": -1}),
    "spec.maxReplicas": scaler(minReplicas=5),
    "spec.metrics[0].resource.target.averageUtilization": scaler(metrics=[CPU]),
    "spec.metrics[0].pods": scaler(metrics=[{"type": "Pods"}]),
    "spec.hard[pods]": made("ResourceQuota", {"hard": {"pods": "-1"}}),
    "spec.hard[gpus]": made("ResourceQuota", {"hard": {"gpus": "1"}}),
    "spec.hard[services]": made("ResourceQuota", {"hard": {"services": "1.5"}}),
    "spec.scopes[0]": made("ResourceQuota", {"hard": {"cpu": "1"}, "scopes": ["BestEffort"]}),
    "spec.scopes": made("ResourceQuota", {"hard": {"pods": "1"}, "scopes": ["Terminating", "NotTerminating"]}),
    "spec.scopeSelector.matchExpressions[0].scopeName": made(
        "ResourceQuota", {"scopeSelector": {"matchExpressions": [{"scopeName": "Odd", "operator": "Exists"}]}}
    ),
    "spec.scopeSelector.matchExpressions[0].values": made(
        "ResourceQuota", {"scopeSelector": {"matchExpressions": [{"scopeName": "PriorityClass", "operator": "In"}]}}
    ),
    "spec.scopeSelector.matchExpressions[0].operator": made(
        "ResourceQuota", {"scopeSelector": {"matchExpressions": [{"scopeName": "BestEffort", "operator": "DoesNotExist"}]}}
    ),
    "spec.limits[0].min[cpu]": made("LimitRange", {"limits": [{"type": "Container", "min": {"cpu": "2"}, "max": {"cpu": "1"}}]}),
    "reclaimPolicy": made("StorageClass", provisioner="a/b", reclaimPolicy="Foo"),
    "volumeBindingMode": made("StorageClass", provisioner="a/b", volumeBindingMode="Bar"),
    "spec.taints[0].effect": made("Node", {"taints": [{"key": "a", "effect": "Foo"}]}),
    "handler": made("RuntimeClass", handler="A B"),
    "spec.ingress[0].from[0].ipBlock.cidr": made(
        "NetworkPolicy", {"podSelector": {}, "ingress": [{"from": [{"ipBlock": {"cidr": "nope"}}]}]}
    ),
    "spec.egress[0].to[0].ipBlock.except[0]": made(
        "NetworkPolicy", {"podSelector": {}, "egress": [{"to": [{"ipBlock": {"cidr": "10.0.0.0/8", "except": ["11.0.0.0/16"]}}]}]}
    ),
    "spec.leaseDurationSeconds": made("Lease", {"leaseDurationSeconds": -1}),
    "spec.containers[0].securityContext": pod({"privileged": True, "allowPrivilegeEscalation": False}),
    "spec.containers[0].securityContext.runAsUser": pod({"runAsUser": -1}),
    "spec.containers[0].securityContext.seccompProfile.localhostProfile": pod({"seccompProfile": {"type": "Localhost"}}),
    "spec.securityContext.seccompProfile.localhostProfile": pod(
        securityContext={"seccompProfile": {"type": "Localhost", "localhostProfile": "/etc/x"}}
    ),
    "spec.securityContext.appArmorProfile.type": pod(securityContext={"appArmorProfile": {"type": "Foo"}}),
    "spec.securityContext.supplementalGroups[1]": pod(securityContext={"supplementalGroups": [0, 2**31]}),
    "spec.securityContext.fsGroupChangePolicy": pod(securityContext={"fsGroupChangePolicy": "Never"}),
    "spec.securityContext.sysctls[0].name": sysctl("net.core.somaxconn", hostNetwork=True),
    "spec.dnsConfig": pod(dnsPolicy="None"),
    "spec.dnsConfig.nameservers": pod(dnsPolicy="None", dnsConfig={"searches": ["a.b"]}),
    "spec.dnsConfig.nameservers[0]": pod(dnsConfig={"nameservers": ["nope"]}),
    "spec.dnsConfig.options[0]": pod(dnsConfig={"options": [{"value": "2"}]}),
    "data[a]": made("Secret", data={"a": "###"}, type="Opaque"),
}


@pytest.mark.parametrize("field", CASES)
def test_it_is_refused_for_this_and_nothing_else(field: str) -> None:
    assert {e.field for e in validate(CASES[field])} == {field}


GOOD = (
    job(podFailurePolicy={"rules": [RULE]}, podReplacementPolicy="Failed"),
    job(completionMode="Indexed", completions=2, backoffLimitPerIndex=1, successPolicy={"rules": [{"succeededIndexes": "0"}]}),
    workload("DaemonSet", updateStrategy=rolling(maxSurge=1, maxUnavailable=0)),
    workload("StatefulSet", updateStrategy=rolling(partition=0, maxUnavailable=1)),
    made("ReplicationController", {"selector": LABELS, "template": template(), "replicas": 1}),
    scaler(
        minReplicas=1,
        metrics=[{"type": "Resource", "resource": {"name": "cpu", "target": {"type": "AverageValue", "averageValue": "1"}}}],
    ),
    made("LimitRange", {"limits": [{"type": "Container", "min": {"cpu": "1"}, "default": {"cpu": "2"}, "max": {"cpu": "2"}}]}),
    made("NetworkPolicy", {"podSelector": {}, "ingress": [{}], "policyTypes": ["Ingress", "Egress"]}),
    pod({"privileged": True}, dnsPolicy="None", dnsConfig={"nameservers": ["1.1.1.1"], "searches": ["a.b.", "x_y.b", "."]}),
    sysctl("net/ipv4/ip_local_port_range"),
    made("Secret", data={"a": "aGk="}, type="Opaque"),
    made("Lease", {"leaseDurationSeconds": 15}),
    made("Node", {"taints": [{"key": "a", "effect": "NoExecute"}]}),
    made(
        "ResourceQuota",
        {
            "hard": {"pods": "5", "requests.cpu": "500m", "limits.memory": "1Gi"},
            "scopeSelector": {"matchExpressions": [{"scopeName": "PriorityClass", "operator": "In", "values": ["high"]}]},
        },
    ),
    made(
        "ResourceQuota",
        {"hard": {"count/jobs.batch": "2", "requests.nvidia.com/gpu": "1", "requests.storage": "1Gi", "hugepages-2Mi": "1Gi"}},
    ),
)


@pytest.mark.parametrize("obj", GOOD, ids=lambda o: o["kind"])
def test_what_is_right_passes(obj: dict[str, Any]) -> None:
    assert validate(obj) == []
