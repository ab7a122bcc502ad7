"""A live namespace as objects: everything in it that somebody declared. Reads only, through ``lateen.client``."""

from __future__ import annotations

import re

from lateen.adopt.manifests.objects import Given, Key, key
from lateen.adopt.nodes import Loss
from lateen.client import Client
from lateen.client.discovery import Discovery
from lateen.errors import ApiError
from lateen.kube.meta import Object, meta
from lateen.kube.resources import NAMESPACES

_DERIVED = ("events", "endpoints", "endpointslices", "controllerrevisions", "leases")


async def objects(client: Client, namespace: str) -> tuple[list[Given], list[Loss]]:
    """The objects of a namespace, and what could not be read. NotFoundError if there is no such namespace."""
    found = [Given(await client.get(NAMESPACES, namespace), f"namespaces/{namespace}")]
    losses: list[Loss] = []
    seen: set[str] = set()
    for resource in await Discovery(client).preferred():
        if (
            not resource.namespaced
            or "list" not in resource.verbs
            or resource.plural in _DERIVED
            or resource.group_resource in seen
        ):
            continue
        if "metrics.k8s.io" in resource.api_version:
            continue
        seen.add(resource.group_resource)
        place = f"namespaces/{namespace}/{resource.plural}"
        try:
            listed = await client.list(resource, namespace)
        except ApiError as error:
            losses.append(Loss(place, resource.plural, f"they cannot be read: {error}"))
            continue
        found += [Given(o, f"{place}/{o['metadata']['name']}") for o in listed.items]
    return _declared(found), losses


def _declared(found: list[Given]) -> list[Given]:
    """Without claims that StatefulSets make, and counts that autoscalers set: nobody declared them."""
    scaled = {_target(g.obj) for g in found if g.obj.get("kind") == "HorizontalPodAutoscaler"}
    result = []
    for given in found:
        kind, name = key(given.obj)
        if kind == "PersistentVolumeClaim" and any(re.fullmatch(p, name) for p in _claims(found)):
            continue
        if (kind, name) in scaled:
            spec = {k: v for k, v in given.obj["spec"].items() if k != "replicas"}
            given = Given({**given.obj, "spec": spec}, given.where)
        result.append(given)
    return result


def _target(scaler: Object) -> Key:
    reference = scaler["spec"]["scaleTargetRef"]
    return reference["kind"], reference["name"]


def _claims(found: list[Given]) -> list[str]:
    """Patterns of the names of claims that StatefulSets make."""
    sets = [g.obj for g in found if g.obj.get("kind") == "StatefulSet"]
    return [
        rf"{re.escape(meta(claim)['name'])}-{re.escape(meta(owner)['name'])}-\d+"
        for owner in sets
        for claim in owner["spec"].get("volumeClaimTemplates") or ()
    ]
