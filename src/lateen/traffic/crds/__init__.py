"""The kinds of the Gateway API that lateen installs, as CustomResourceDefinitions. The server installs them at boot.

Written by hand as a compact table of facts; a test compares every field with the published definitions. Fields of the
experimental channel are left out: an unknown field is told to the user instead of being ignored.
"""

from __future__ import annotations

from typing import Any

from lateen.kube.meta import Object
from lateen.kube.resources import GATEWAYCLASSES, GATEWAYS, GRPCROUTES, HTTPROUTES, REFERENCEGRANTS, Resource

BUNDLE = "v1.6.0"


def crds() -> list[Object]:
    """The definitions."""
    from lateen.traffic.crds.gateway import GATEWAY, GATEWAY_CLASS, REFERENCE_GRANT
    from lateen.traffic.crds.routes import GRPC_ROUTE, HTTP_ROUTE

    hostnames = _column("Hostnames", ".spec.hostnames")
    return [
        _crd(
            GATEWAYCLASSES,
            GATEWAY_CLASS,
            _column("Controller", ".spec.controllerName"),
            _column("Accepted", _condition("Accepted")),
            _age(),
            _column("Description", ".spec.description", priority=1),
        ),
        _crd(
            GATEWAYS,
            GATEWAY,
            _column("Class", ".spec.gatewayClassName"),
            _column("Address", ".status.addresses[*].value"),
            _column("Programmed", _condition("Programmed")),
            _age(),
        ),
        _crd(HTTPROUTES, HTTP_ROUTE, hostnames, _age()),
        _crd(GRPCROUTES, GRPC_ROUTE, hostnames, _age()),
        _crd(REFERENCEGRANTS, REFERENCE_GRANT, _age()),
    ]


def _column(name: str, path: str, *, kind: str = "string", priority: int = 0) -> dict[str, Any]:
    column: dict[str, Any] = {"name": name, "type": kind, "jsonPath": path}
    return column | ({"priority": priority} if priority else {})


def _age() -> dict[str, Any]:
    return _column("Age", ".metadata.creationTimestamp", kind="date")


def _condition(kind: str) -> str:
    return f'.status.conditions[?(@.type=="{kind}")].status'


def _crd(resource: Resource, schema: dict[str, Any], *columns: dict[str, Any]) -> Object:
    whole = {**schema, "properties": {**_TYPE, **schema["properties"]}}
    version: dict[str, Any] = {
        "name": resource.version,
        "served": True,
        "storage": True,
        "schema": {"openAPIV3Schema": whole},
        "additionalPrinterColumns": list(columns),
    }
    if "status" in resource.subresources:
        version["subresources"] = {"status": {}}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {
            "name": resource.group_resource,
            "annotations": {
                # Groups under k8s.io must name their approval; this is the one of the Gateway API itself.
                "api-approved.kubernetes.io": "https://github.com/kubernetes-sigs/gateway-api/pull/4735",
                "gateway.networking.k8s.io/bundle-version": BUNDLE,
                "gateway.networking.k8s.io/channel": "standard",
            },
        },
        "spec": {
            "group": resource.group,
            "scope": "Namespaced" if resource.namespaced else "Cluster",
            "names": {
                "kind": resource.kind,
                "listKind": f"{resource.kind}List",
                "plural": resource.plural,
                "singular": resource.singular,
                "shortNames": list(resource.short_names),
                "categories": ["gateway-api"],
            },
            "versions": [version],
        },
    }


_TYPE = {"apiVersion": {"type": "string"}, "kind": {"type": "string"}, "metadata": {"type": "object"}}
