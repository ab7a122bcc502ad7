"""Golden stories: objects in ``case.in.yaml``, what the proxies shall do and the statuses in ``case.out.yaml``."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from enum import Enum
from pathlib import Path
from typing import Any

import pytest
import yaml

from lateen.kube.meta import Object, key_of, labels_of, meta
from lateen.traffic.ir import Snapshot
from lateen.traffic.translate.conditions import Condition
from lateen.traffic.translate.gateways import Places, World, translate_gateways
from lateen.traffic.translate.ingress import translate_ingresses
from lateen.traffic.translate.references import References, grants
from lateen.traffic.translate.services import SERVICE_LABEL, translate_service

STORIES = sorted((Path(__file__).parents[2] / "golden" / "translate").glob("*.in.yaml"))


def plain(value: Any) -> Any:
    """Data as YAML: defaults are left out, so a story shows what is particular."""
    if isinstance(value, Condition):
        state = {True: "True", False: "False", None: "Unknown"}[value.status]
        return f"{value.type}={state} {value.reason}" + (f": {value.message}" if value.message else "")
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        found = {f.name: (getattr(value, f.name), f) for f in dataclasses.fields(value)}
        return {n: plain(v) for n, (v, f) in found.items() if f.default is dataclasses.MISSING or v != f.default}
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return "/".join(str(v) for v in value if v != "")
    if isinstance(value, Mapping):
        return {str(plain(k)): plain(v) for k, v in sorted(value.items(), key=lambda item: str(item[0]))}
    if isinstance(value, tuple | list | frozenset):
        return [plain(v) for v in value]
    return value.decode() if isinstance(value, bytes) else value


def told(objects: list[Object]) -> dict[str, Any]:
    by_kind: dict[str, list[Object]] = {}
    for obj in objects:
        by_kind.setdefault(obj["kind"], []).append(obj)
    slices = by_kind.get("EndpointSlice", [])
    services = {}
    for obj in by_kind.get("Service", []):
        mine = [s for s in slices if labels_of(s).get(SERVICE_LABEL) == meta(obj)["name"]]
        if (service := translate_service(obj, mine, unprivileged_start=1024)) is not None:
            services[service.key] = service
    world = World(
        classes=by_kind.get("GatewayClass", []),
        gateways=by_kind.get("Gateway", []),
        routes=by_kind.get("HTTPRoute", []),
        grpc_routes=by_kind.get("GRPCRoute", []),
        namespaces={meta(n)["name"]: labels_of(n) for n in by_kind.get("Namespace", [])},
        references=References(
            services=services,
            secrets={key_of(s): s for s in by_kind.get("Secret", [])},
            grants=grants(by_kind.get("ReferenceGrant", [])),
        ),
        places=Places(ports={80: 18080}, unprivileged_start=1024),
    )
    result = translate_gateways(world)
    classes, found = by_kind.get("IngressClass", []), by_kind.get("Ingress", [])
    ingresses = translate_ingresses(found, classes, world.references, world.places)
    gateways = (*result.gateways, *ingresses.gateways)
    snapshot = Snapshot(services=services, gateways=gateways, mesh_routes=result.mesh_routes)
    assert snapshot.consistent() == []
    more = {"grpc_routes": plain(result.grpc_statuses)} if result.grpc_statuses else {}
    more |= {"ingresses": plain(ingresses.statuses)} if ingresses.statuses else {}
    return {
        "services": plain(services),
        "gateways": plain(gateways),
        "mesh_routes": plain(result.mesh_routes),
        "statuses": {"gateways": plain(result.gateway_statuses), "routes": plain(result.route_statuses), **more},
    }


@pytest.mark.parametrize("story", STORIES, ids=lambda p: p.name.removesuffix(".in.yaml"))
def test_story(story: Path, golden: Callable[[Path, str], None]) -> None:
    objects = [o for o in yaml.safe_load_all(story.read_text()) if o]
    text = yaml.safe_dump({k: v for k, v in told(objects).items() if v}, sort_keys=False, width=120, allow_unicode=True)
    golden(story.with_name(story.name.replace(".in.", ".out.")), text)


def test_there_are_stories() -> None:
    assert len(STORIES) >= 6
