"""GatewayClass, Gateway, ReferenceGrant."""

from __future__ import annotations

from lateen.traffic.crds.common import (
    CONDITIONS,
    HOSTNAME,
    LABEL_SELECTOR,
    LOCAL_REFERENCE,
    NAME,
    NAMESPACE,
    PORT,
    ROUTE_KIND,
    SECRET_REFERENCE,
    SECTION,
    group,
    kind,
    pending,
)
from lateen.traffic.crds.schema import (
    ADDRESS_TYPE_PATTERN,
    CONTROLLER_PATTERN,
    array,
    checked,
    enum,
    integer,
    record,
    string,
    table,
)

GATEWAY_CLASS = record(
    {
        "spec": record(
            {
                "controllerName": checked(
                    string(1, 253, CONTROLLER_PATTERN), ("self == oldSelf", "controllerName cannot be changed")
                ),
                "description": string(most=64),
                "parametersRef": record(
                    {"group": group(), "kind": kind(), "name": NAME, "namespace": NAMESPACE}, "group kind name"
                ),
            },
            "controllerName",
        ),
        "status": record(
            {
                "conditions": {**CONDITIONS, "default": pending("Accepted")},
                "supportedFeatures": array(record({"name": string()}, "name"), 64, key="name"),
            },
            default={"conditions": pending("Accepted")},
        ),
    },
    "spec",
)

_ALLOWED_NAMESPACES = record(
    {"from": enum("All", "Selector", "Same", default="Same"), "selector": LABEL_SELECTOR}, default={"from": "Same"}
)

_LISTENER = record(
    {
        "allowedRoutes": record(
            {"kinds": array(ROUTE_KIND, 8), "namespaces": _ALLOWED_NAMESPACES}, default={"namespaces": {"from": "Same"}}
        ),
        "hostname": HOSTNAME,
        "name": SECTION,
        "port": PORT,
        "protocol": string(
            1,
            255,
            r"^[a-zA-Z0-9]([-a-zA-Z0-9]*[a-zA-Z0-9])?$|[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*\/[A-Za-z0-9]+$",
        ),
        "tls": checked(
            record(
                {
                    "certificateRefs": array(SECRET_REFERENCE, 64),
                    "mode": enum("Terminate", "Passthrough", default="Terminate"),
                    "options": table(string(0, 4096), 16),
                }
            ),
            (
                "self.mode != 'Terminate' || size(self.certificateRefs) > 0 || size(self.options) > 0",
                "mode Terminate needs certificateRefs or options",
            ),
        ),
    },
    "name port protocol",
)

_LISTENER_RULES = (
    ("self.all(l, !(l.protocol in ['HTTP', 'TCP', 'UDP']) || !has(l.tls))", "tls is not for protocols HTTP, TCP and UDP"),
    (
        "self.all(l, l.protocol != 'HTTPS' || !has(l.tls) || l.tls.mode == 'Terminate')",
        "protocol HTTPS needs tls of mode Terminate",
    ),
    (
        "self.all(l, !(l.protocol in ['TCP', 'UDP']) || !has(l.hostname))",
        "hostname is not for protocols TCP and UDP",
    ),
    (
        (
            "self.all(a, self.exists_one(b, a.port == b.port && a.protocol == b.protocol"
            " && (has(a.hostname) ? a.hostname : '') == (has(b.hostname) ? b.hostname : '')))"
        ),
        "two listeners must differ in port, protocol or hostname",
    ),
)

_ADDRESS = record(
    {"type": string(1, 253, ADDRESS_TYPE_PATTERN, default="IPAddress"), "value": string(most=253)},
)

_LISTENER_STATUS = record(
    {
        "attachedRoutes": integer(),
        "conditions": CONDITIONS,
        "name": SECTION,
        "supportedKinds": array(ROUTE_KIND, 8),
    },
    "attachedRoutes conditions name",
)

GATEWAY = record(
    {
        "spec": record(
            {
                "addresses": array(_ADDRESS, 16),
                "gatewayClassName": NAME,
                "infrastructure": record(
                    {
                        "annotations": table(string(0, 4096), 16),
                        "labels": table(string(0, 63, "^(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?$"), 8),
                        "parametersRef": LOCAL_REFERENCE,
                    }
                ),
                "listeners": checked(array(_LISTENER, 64, key="name", minItems=1), *_LISTENER_RULES),
            },
            "gatewayClassName listeners",
        ),
        "status": record(
            {
                "addresses": array(record({"type": _ADDRESS["properties"]["type"], "value": string(1, 253)}, "value"), 16),
                "conditions": {**CONDITIONS, "default": pending("Accepted", "Programmed")},
                "listeners": array(_LISTENER_STATUS, 64, key="name"),
            },
            default={"conditions": pending("Accepted", "Programmed")},
        ),
    },
    "spec",
)

REFERENCE_GRANT = record(
    {
        "spec": record(
            {
                "from": array(
                    record({"group": group(), "kind": kind(), "namespace": NAMESPACE}, "group kind namespace"), 16, minItems=1
                ),
                "to": array(record({"group": group(), "kind": kind(), "name": NAME}, "group kind"), 16, minItems=1),
            },
            "from to",
        )
    },
    "spec",
)
