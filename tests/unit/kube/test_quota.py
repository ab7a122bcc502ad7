"""ResourceQuota arithmetic: what counts, what a quota is about, in which words."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from lateen.kube import quota as rules
from lateen.kube.meta import Object

NOW = datetime(2030, 1, 1, tzinfo=UTC)


def container(name: str = "c", requests: Any = None, limits: Any = None, **more: Any) -> Object:
    return {"name": name, "image": "i", "resources": {"requests": requests or {}, "limits": limits or {}}, **more}


def pod(*containers: Object, **spec: Any) -> Object:
    return {"metadata": {"name": "p", "namespace": "d"}, "spec": {"containers": list(containers), **spec}}


def text(amounts: rules.Amounts) -> dict[str, str]:
    return {n: rules.text(n, a) for n, a in sorted(amounts.items())}


def test_a_pod_counts_its_containers_sidecars_and_overhead() -> None:
    asked = pod(
        container(requests={"cpu": "500m", "memory": "1Gi"}, limits={"memory": "2Gi"}),
        initContainers=[
            container("side", requests={"cpu": "100m"}, restartPolicy="Always"),
            container("init", requests={"cpu": "1"}),
        ],
        overhead={"cpu": "50m"},
    )
    assert text(rules.usage("pods", asked, NOW)) == {
        "count/pods": "1",
        "cpu": "1150m",  # the init container beside the sidecar, and the overhead
        "limits.memory": "2Gi",
        "memory": "1Gi",
        "pods": "1",
        "requests.cpu": "1150m",
        "requests.memory": "1Gi",
    }


def test_a_pod_that_ended_is_only_an_object() -> None:
    ended = pod(container(requests={"cpu": "1"})) | {"status": {"phase": "Succeeded"}}
    assert text(rules.usage("pods", ended, NOW)) == {"count/pods": "1"}
    late = pod(container())
    late["metadata"] |= {"deletionTimestamp": "2029-12-31T23:59:00Z", "deletionGracePeriodSeconds": 30}
    assert text(rules.usage("pods", late, NOW)) == {"count/pods": "1"}


def test_services_and_claims_count_by_kind() -> None:
    balancer = {"metadata": {}, "spec": {"type": "LoadBalancer", "ports": [{"nodePort": 30000}, {"nodePort": 30001}]}}
    assert text(rules.usage("services", balancer, NOW)) == {
        "count/services": "1",
        "services": "1",
        "services.loadbalancers": "1",
        "services.nodeports": "2",
    }
    claim = {"metadata": {}, "spec": {"storageClassName": "gold", "resources": {"requests": {"storage": "5Gi"}}}}
    assert text(rules.usage("persistentvolumeclaims", claim, NOW)) == {
        "count/persistentvolumeclaims": "1",
        "gold.storageclass.storage.k8s.io/persistentvolumeclaims": "1",
        "gold.storageclass.storage.k8s.io/requests.storage": "5Gi",
        "persistentvolumeclaims": "1",
        "requests.storage": "5Gi",
    }
    assert text(rules.usage("jobs.batch", {"metadata": {}}, NOW)) == {"count/jobs.batch": "1"}


@pytest.mark.parametrize(
    ("scope", "expected"),
    [
        ({"scopes": ["BestEffort"]}, (True, False)),
        ({"scopes": ["NotBestEffort"]}, (False, True)),
        ({"scopes": ["Terminating"]}, (False, True)),
        ({"scopes": ["NotTerminating", "BestEffort"]}, (True, False)),
        (
            {"scopeSelector": {"matchExpressions": [{"scopeName": "PriorityClass", "operator": "In", "values": ["high"]}]}},
            (False, True),
        ),
        ({"scopeSelector": {"matchExpressions": [{"scopeName": "PriorityClass", "operator": "DoesNotExist"}]}}, (True, False)),
        ({"scopes": ["CrossNamespacePodAffinity"]}, (False, True)),
    ],
)
def test_scopes(scope: Object, expected: tuple[bool, bool]) -> None:
    plain = pod(container())
    term = {"topologyKey": "zone", "namespaces": ["other"]}
    special = pod(
        container(requests={"cpu": "1"}),
        activeDeadlineSeconds=5,
        priorityClassName="high",
        affinity={"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]}},
    )
    assert (rules.covers({"spec": scope}, "pods", plain), rules.covers({"spec": scope}, "pods", special)) == expected
    assert not rules.covers({"spec": scope}, "services", {"metadata": {}})


def test_what_must_be_said() -> None:
    asked = pod(container("a", requests={"cpu": "1"}), container("b", limits={"memory": "1Gi"}))
    assert rules.unsaid(["cpu", "limits.memory", "pods"], asked) == "cpu for: b; limits.memory for: a"
    assert rules.unsaid(["pods", "services"], asked) == ""


def test_what_goes_over() -> None:
    hard = rules.hard_of({"spec": {"hard": {"pods": "2", "requests.memory": "1Gi", "cpu": "1"}}})
    used = {"pods": hard["pods"], "requests.memory": hard["requests.memory"] / 2}
    more = {"pods": hard["cpu"], "requests.memory": hard["requests.memory"] / 2, "cpu": -hard["cpu"]}
    assert rules.over(hard, used, more) == ("pods",)
    assert rules.listed(hard, hard) == "cpu=1,pods=2,requests.memory=1Gi"
