"""Workloads, and the objects beside them, as services of the model: the guess that patches then correct."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from lateen.adopt.manifests import pods
from lateen.adopt.manifests.objects import Key, key
from lateen.adopt.nodes import filled
from lateen.kube.meta import Object, labels_of, meta
from lateen.model.types import slug

_KINDS = {"Deployment": None, "StatefulSet": "stateful", "DaemonSet": "daemon", "Job": "job", "CronJob": "cron"}
_NAME = re.compile(r"[a-z]([-a-z0-9]{0,61}[a-z0-9])?")
_MODES = {"ReadWriteOnce": "rwo", "ReadWriteMany": "rwx", "ReadOnlyMany": "rox"}


@dataclass(slots=True)
class Guess:
    """A service, and which wanted object each of its rendered ones stands for: rendered key -> wanted key."""

    name: str
    fields: dict[str, Any]
    pairs: dict[Key, Key] = field(default_factory=dict)
    privileged: bool = False


def guesses(objects: Mapping[Key, Object]) -> list[Guess]:
    """A guess for each workload whose name can be a service's."""
    taken: dict[str, Guess] = {}
    for found in objects.values():
        kind, name = key(found)
        if kind in _KINDS and _NAME.fullmatch(name) and name not in taken and (found.get("spec") or {}):
            taken[name] = _guess(found, objects)
    return list(taken.values())


def template_of(workload: Object) -> Object:
    """The pods it makes."""
    spec = workload["spec"]
    found: Object = (spec["jobTemplate"]["spec"] if workload["kind"] == "CronJob" else spec)["template"]
    return found


def _guess(workload: Object, objects: Mapping[Key, Object]) -> Guess:
    kind, name = key(workload)
    template, spec = template_of(workload), workload["spec"]
    reached = _service(name, template, objects)
    ports = pods.service_ports(reached["spec"].get("ports") or [], template) if reached else {}
    fields = {"kind": _KINDS[kind], **pods.service(template, ports), "labels": _labels(workload, template)}
    guess = Guess(name, fields, privileged=pods.breaks_baseline(template))
    guess.pairs[kind, f"{name}-*" if kind == "Job" else name] = (kind, name)
    if reached is not None and ports:
        guess.pairs["Service", name] = key(reached)
    if ports:
        _public(name, ports, objects)
    fields |= _storage(workload, template, objects)
    fields |= _config(name, template, objects)
    fields |= _scale(guess, workload, objects)
    if kind in ("Job", "CronJob"):
        fields |= _job(spec, kind)
    else:
        fields["rollout"] = _rollout(spec, kind, ready="ready" in (fields.get("health") or {}))
    _budget(guess, template, objects)
    account = str(template["spec"].get("serviceAccountName") or "default")
    if account == name and ("ServiceAccount", account) in objects:
        fields.pop("identity", None)  # lateen makes one of that name
    guess.fields = filled(fields)
    return guess


def _selects(selector: Mapping[str, str] | None, labels: Mapping[str, str]) -> bool:
    return bool(selector) and (selector or {}).items() <= labels.items()


def _service(name: str, template: Object, objects: Mapping[Key, Object]) -> Object | None:
    """The Service of the pods: the one of the workload's name, else the first that no other workload's name claims."""
    labels = labels_of(template)
    found = [o for (k, _), o in objects.items() if k == "Service" and _selects((o.get("spec") or {}).get("selector"), labels)]
    same = [o for o in found if meta(o)["name"] == name]
    workloads = {n for k, n in objects if k in _KINDS}
    others = [o for o in found if meta(o)["name"] not in workloads]
    return next(iter([*same, *others]), None)


def _labels(workload: Object, template: Object) -> dict[str, str]:
    """Labels that the workload and its pods share, but for those that lateen gives."""
    both = labels_of(workload).items() & labels_of(template).items()
    return {k: str(v) for k, v in labels_of(workload).items() if (k, v) in both and not k.startswith("app.kubernetes.io/")}


def _storage(workload: Object, template: Object, objects: Mapping[Key, Object]) -> dict[str, Any]:
    """Claim templates of a StatefulSet, claims that are named as lateen names them, and scratch volumes of a size."""
    mounts = {m["name"]: m["mountPath"] for m in template["spec"]["containers"][0].get("volumeMounts") or () if "subPath" not in m}
    result: dict[str, Any] = {}
    for claim in workload["spec"].get("volumeClaimTemplates") or ():
        if (path := mounts.get(meta(claim)["name"])) is not None:
            result[path] = _claim(claim["spec"])
    for volume in template["spec"].get("volumes") or ():
        path = mounts.get(volume["name"])
        named = (volume.get("persistentVolumeClaim") or {}).get("claimName")
        claim = objects.get(("PersistentVolumeClaim", str(named)))
        if path and claim is not None and named == f"{meta(workload)['name']}-{slug(path)}":
            result[path] = _claim(claim["spec"]) | ({"perReplica": False} if workload["kind"] == "StatefulSet" else {})
        elif path and (volume.get("emptyDir") or {}).get("sizeLimit"):
            result[path] = {"size": str(volume["emptyDir"]["sizeLimit"]), "ephemeral": True}
    return {"storage": {p: s for p, s in result.items() if s.get("size")}}


def _public(name: str, ports: dict[str, Any], objects: Mapping[Key, Object]) -> None:
    """Mark the ports of the load balancer that lateen puts beside a Service."""
    balancer = objects.get(("Service", f"{name}-public"))
    if balancer is None or balancer["spec"].get("type") != "LoadBalancer":
        return
    for port in balancer["spec"].get("ports") or ():
        if (found := ports.get(str(port.get("name")))) is not None:
            ports[port["name"]] = {**(found if isinstance(found, dict) else {"port": found}), "public": True}


def _config(name: str, template: Object, objects: Mapping[Key, Object]) -> dict[str, Any]:
    """Configuration files, where a ConfigMap is named and mounted as lateen does it: after its content, a file each."""
    volume: Object = next((v for v in template["spec"].get("volumes") or () if v["name"] == "config"), {})
    source = volume.get("configMap") or {}
    found = objects.get(("ConfigMap", str(source.get("name"))))
    if found is None or not re.fullmatch(rf"{name}-config-[0-9a-f]{{10}}", str(source.get("name"))):
        return {}
    modes = {i["path"]: i.get("mode", 0o644) for i in source.get("items") or ()}
    mounts = [m for m in template["spec"]["containers"][0].get("volumeMounts") or () if m["name"] == "config" and "subPath" in m]
    files = {
        m["mountPath"]: {"content": found["data"][m["subPath"]], "mode": f"{modes.get(m['subPath'], 0o444):04o}"}
        for m in mounts
        if m["subPath"] in (found.get("data") or {})
    }
    return {"config": {p: f if f["mode"] != "0444" else {"content": f["content"]} for p, f in files.items()}}


def _claim(spec: Mapping[str, Any]) -> dict[str, Any]:
    size = ((spec.get("resources") or {}).get("requests") or {}).get("storage")
    mode = next((_MODES[m] for m in spec.get("accessModes") or () if m in _MODES), "rwo")
    return filled({"size": size, "class": spec.get("storageClassName"), "mode": mode if mode != "rwo" else None})


def _scale(guess: Guess, workload: Object, objects: Mapping[Key, Object]) -> dict[str, Any]:
    kind, name = key(workload)
    for other in objects.values():
        spec = other.get("spec") or {}
        reference = spec.get("scaleTargetRef") or {}
        if other.get("kind") == "HorizontalPodAutoscaler" and (reference.get("kind"), reference.get("name")) == (kind, name):
            shares = {
                m["resource"]["name"]: m["resource"]["target"].get("averageUtilization")
                for m in spec.get("metrics") or ()
                if m.get("type") == "Resource"
            }
            if shares.get("cpu") or shares.get("memory"):
                guess.pairs["HorizontalPodAutoscaler", name] = key(other)
                bounds = {"min": spec.get("minReplicas", 1), "max": spec.get("maxReplicas")}
                return {"scale": filled({**bounds, "cpu": shares.get("cpu"), "memory": shares.get("memory")})}
    count = workload["spec"].get("replicas", 1)
    return {"replicas": count} if count != 1 and kind in ("Deployment", "StatefulSet") else {}


def _budget(guess: Guess, template: Object, objects: Mapping[Key, Object]) -> None:
    for other in objects.values():
        spec = other.get("spec") or {}
        if other.get("kind") == "PodDisruptionBudget" and _selects(
            (spec.get("selector") or {}).get("matchLabels"), labels_of(template)
        ):
            guess.pairs["PodDisruptionBudget", guess.name] = key(other)
            if (least := spec.get("minAvailable")) is not None:
                guess.fields["availability"] = {**(guess.fields.get("availability") or {}), "minAvailable": least}
            return


def _rollout(spec: Mapping[str, Any], kind: str, *, ready: bool) -> dict[str, Any]:
    settle = spec.get("minReadySeconds", 0)
    result: dict[str, Any] = {"minReady": settle if settle != (0 if ready else 2) else None}
    if kind == "Deployment":
        strategy = spec.get("strategy") or {}
        bounds = strategy.get("rollingUpdate") or {}
        result["deadline"] = spec.get("progressDeadlineSeconds")
        result["history"] = spec.get("revisionHistoryLimit")
        if strategy.get("type") == "Recreate":
            result["strategy"] = "recreate"
        else:
            surge, missing = bounds.get("maxSurge", "25%"), bounds.get("maxUnavailable", "25%")
            result |= {"surge": surge if surge != "25%" else None, "unavailable": missing if missing != 0 else None}
    if kind == "DaemonSet":
        bounds = (spec.get("updateStrategy") or {}).get("rollingUpdate") or {}
        result |= {"surge": bounds.get("maxSurge") or None, "unavailable": bounds.get("maxUnavailable")}
    return {k: v for k, v in result.items() if v is not None}


def _job(spec: Mapping[str, Any], kind: str) -> dict[str, Any]:
    inner = spec["jobTemplate"]["spec"] if kind == "CronJob" else spec
    job: dict[str, Any] = {
        "completions": inner.get("completions"),
        "parallelism": inner.get("parallelism"),
        "indexed": True if inner.get("completionMode") == "Indexed" else None,
        "retries": inner.get("backoffLimit"),
        "timeout": inner.get("activeDeadlineSeconds"),
        "keep": inner.get("ttlSecondsAfterFinished"),
        "suspend": True if (spec if kind == "CronJob" else inner).get("suspend") else None,
    }
    if kind == "CronJob":
        job |= {"concurrency": str(spec.get("concurrencyPolicy", "Allow")).lower(), "timeZone": spec.get("timeZone")}
        job["deadline"] = spec.get("startingDeadlineSeconds")
    found: dict[str, Any] = {"job": {k: v for k, v in job.items() if v is not None}}
    return found | ({"schedule": spec.get("schedule")} if kind == "CronJob" else {})


def claimed(found: Iterable[Guess]) -> set[Key]:
    """Wanted objects that some service stands for."""
    return {wanted for guess in found for wanted in guess.pairs.values()}
