"""Stories of the StatefulSet planner: what kube-controller-manager would do next."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from lateen.cluster.controllers import statefulset_plan as plan
from lateen.cluster.controllers.revisions import LABEL, new_revision
from lateen.kube.meta import Object, meta, owner_reference, timestamp

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
OLD, NEW = "web-old", "web-new"


def stateful_set(replicas: int = 3, **spec: Any) -> Object:
    template = {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "c", "image": "new"}]}}
    strategy = {"type": "RollingUpdate", "rollingUpdate": {"partition": 0}}
    base = {"replicas": replicas, "serviceName": "web", "selector": {"matchLabels": {"app": "web"}}, "template": template}
    return {
        "apiVersion": "apps/v1",
        "kind": "StatefulSet",
        "metadata": {"name": "web", "namespace": "default", "uid": "s", "generation": 1},
        "spec": {**base, "updateStrategy": strategy, **spec},
    }


def revision(name: str, image: str) -> Object:
    made = new_revision(stateful_set(), 1)
    made["metadata"]["name"] = name
    made["data"]["spec"]["template"]["spec"]["containers"][0]["image"] = image
    return made


def pod(text: str) -> Object:
    """``2`` is a healthy pod of the new revision; ``2o`` an old one; ``!`` not ready, ``-`` terminating, ``x`` failed."""
    number, marks = int(text.rstrip("o!-x")), text.lstrip("0123456789")
    labels = {"app": "web", plan.POD_NAME: f"web-{number}", LABEL: OLD if "o" in marks else NEW}
    metadata = {"name": f"web-{number}", "namespace": "default", "uid": f"u{number}", "labels": labels}
    if "-" in marks:
        metadata["deletionTimestamp"] = timestamp(NOW)
    ready = {"type": "Ready", "status": "False" if "!" in marks else "True", "lastTransitionTime": timestamp(NOW)}
    return {"metadata": metadata, "spec": {}, "status": {"phase": "Failed" if "x" in marks else "Running", "conditions": [ready]}}


def view(pods: str, replicas: int = 3, *, set_: Object | None = None, **spec: Any) -> plan.View:
    made = set_ or stateful_set(replicas, **spec)
    return plan.View(
        set=made, pods=[pod(t) for t in pods.split()], current=revision(OLD, "old"), update=revision(NEW, "new"), now=NOW
    )


def told(found: plan.View) -> str:
    return " ".join(f"{s.verb} {meta(s.pod)['name']}" for s in plan.steps(found))


PARALLEL = {"podManagementPolicy": "Parallel"}


@pytest.mark.parametrize(
    ("pods", "replicas", "spec", "expected"),
    [
        ("", 3, {}, "create web-0"),
        ("0", 3, {}, "create web-1"),
        ("0!", 3, {}, ""),
        ("0 1! 2", 3, {}, ""),
        ("0 2", 3, {}, "create web-1"),
        ("", 3, PARALLEL, "create web-0 create web-1 create web-2"),
        ("0! 2", 3, PARALLEL, "create web-1"),
        ("", 2, {"ordinals": {"start": 5}}, "create web-5"),
        ("0 1x 2", 3, {}, "delete web-1"),
        ("0 1-", 3, {}, ""),
        # scaling down: the highest first, one at a time, and only while the others are well
        ("0 1 2 3 4", 3, {}, "delete web-4"),
        ("0 1 2 3 4-", 3, {}, ""),
        ("0! 1 2 3", 3, {}, ""),
        ("0 1 2 3!", 3, {}, "delete web-3"),
        ("0 1 2 3 4", 3, PARALLEL, "delete web-4 delete web-3"),
        # updates
        ("0o 1o 2o", 3, {}, "delete web-2"),
        ("0o 1o 2!", 3, {}, ""),
        ("0o 1o 2", 3, {}, "delete web-1"),
        ("0o 1o 2o", 3, {"updateStrategy": {"type": "OnDelete"}}, ""),
        ("0o 1o 2", 3, {"updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"partition": 2}}}, ""),
        ("0o 1o 2o", 3, {"updateStrategy": {"rollingUpdate": {"maxUnavailable": 2}}}, "delete web-2 delete web-1"),
        ("0o 1o 2! 3", 4, PARALLEL | {"updateStrategy": {"rollingUpdate": {"maxUnavailable": "50%"}}}, "delete web-1"),
    ],
)  # fmt: skip
def test_what_comes_next(pods: str, replicas: int, spec: dict[str, Any], expected: str) -> None:
    assert told(view(pods, replicas, **spec)) == expected


def test_below_the_partition_a_lost_pod_comes_back_as_it_was() -> None:
    found = view("1o 2", 3, updateStrategy={"type": "RollingUpdate", "rollingUpdate": {"partition": 2}})
    (step,) = plan.steps(found)
    assert step.pod["spec"]["containers"][0]["image"] == "old"
    assert step.pod["metadata"]["labels"][LABEL] == OLD


def test_a_pod_has_its_identity_and_its_claims() -> None:
    template = {"metadata": {"name": "data"}, "spec": {"resources": {"requests": {"storage": "1Gi"}}}}
    made = stateful_set(volumeClaimTemplates=[template])
    found = plan.new_pod(made, 1, NEW)
    assert found["metadata"]["labels"] == {"app": "web", plan.POD_NAME: "web-1", plan.POD_INDEX: "1", LABEL: NEW}
    assert (found["spec"]["hostname"], found["spec"]["subdomain"]) == ("web-1", "web")
    assert found["spec"]["volumes"] == [{"name": "data", "persistentVolumeClaim": {"claimName": "data-web-1"}}]
    (claim,) = plan.new_claims(made, "web-1")
    assert (meta(claim)["name"], meta(claim)["labels"]) == ("data-web-1", {"app": "web"})


@pytest.mark.parametrize(
    ("deleted", "scaled", "number", "owner"),
    [
        ("Retain", "Retain", 0, None),
        ("Retain", "Retain", 9, None),
        ("Delete", "Retain", 0, "StatefulSet"),
        ("Delete", "Retain", 9, "StatefulSet"),
        ("Retain", "Delete", 0, None),
        ("Retain", "Delete", 9, "Pod"),
        ("Delete", "Delete", 0, "StatefulSet"),
        ("Delete", "Delete", 9, "Pod"),
    ],
)
def test_whose_a_claim_is(deleted: str, scaled: str, number: int, owner: str | None) -> None:
    made = stateful_set(persistentVolumeClaimRetentionPolicy={"whenDeleted": deleted, "whenScaled": scaled})
    theirs = {"kind": "Backup", "name": "b", "uid": "b", "apiVersion": "v1"}
    claim = {"metadata": {"name": f"data-web-{number}", "ownerReferences": [theirs, owner_reference(made)]}}
    refs = plan.claim_owners(made, claim, pod(str(number)), number)
    assert refs[0] == theirs
    assert [r["kind"] for r in refs[1:]] == ([owner] if owner else [])


def test_an_update_that_is_through_makes_its_revision_the_current_one() -> None:
    assert plan.new_status(view("0 1 2"))["currentRevision"] == NEW
    half = plan.new_status(view("0o 1 2"))
    assert (half["currentRevision"], half["currentReplicas"], half["updatedReplicas"]) == (OLD, 1, 2)
    assert plan.new_status(view("0 1 2!"))["currentRevision"] == OLD
