"""The parts that several kinds of the Gateway API share."""

from __future__ import annotations

from lateen.traffic.crds.schema import (
    CONTROLLER_PATTERN,
    DURATION_PATTERN,
    GROUP_PATTERN,
    HOSTNAME_PATTERN,
    KIND_PATTERN,
    NAMESPACE_PATTERN,
    SECTION_PATTERN,
    Schema,
    array,
    checked,
    enum,
    integer,
    record,
    string,
    table,
)

GATEWAY_GROUP = "gateway.networking.k8s.io"


def group(default: str | None = None) -> Schema:
    """An API group."""
    return string(most=253, pattern=GROUP_PATTERN, default=default)


def kind(default: str | None = None) -> Schema:
    """A kind."""
    return string(1, 63, KIND_PATTERN, default=default)


NAME = string(1, 253)
NAMESPACE = string(1, 63, NAMESPACE_PATTERN)
SECTION = string(1, 253, SECTION_PATTERN)
HOSTNAME = string(1, 253, HOSTNAME_PATTERN)
PRECISE_HOSTNAME = string(1, 253, SECTION_PATTERN)
PORT = integer(1, 65535)
DURATION = string(pattern=DURATION_PATTERN)
HEADER_NAME = string(1, 256, r"^[A-Za-z0-9!#$%&'*+\-.^_\x60|~]+$")
HEADER_VALUE = string(1, 4096, r"^[!-~]+([\t ]?[!-~]+)*$")
TIME = string(format="date-time")

CONDITIONS = array(
    record(
        {
            "lastTransitionTime": TIME,
            "message": string(most=32768),
            "observedGeneration": integer(0, size="int64"),
            "reason": string(1, 1024, "^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$"),
            "status": enum("True", "False", "Unknown"),
            "type": string(
                most=316,
                pattern=r"^([a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*/)?(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])$",
            ),
        },
        "lastTransitionTime message reason status type",
    ),
    8,
    key="type",
)


def pending(*kinds: str) -> list[dict[str, str]]:
    """The conditions an object has before a controller saw it."""
    waiting = {"lastTransitionTime": "1970-01-01T00:00:00Z", "message": "Waiting for controller", "reason": "Pending"}
    return [{**waiting, "status": "Unknown", "type": k} for k in kinds]


LABEL_SELECTOR = record(
    {
        "matchExpressions": array(
            record({"key": string(), "operator": string(), "values": array(string())}, "key operator"),
        ),
        "matchLabels": table(string()),
    },
    **{"x-kubernetes-map-type": "atomic"},
)

ROUTE_KIND = record({"group": group(GATEWAY_GROUP), "kind": kind()}, "kind")
SECRET_REFERENCE = record({"group": group(""), "kind": kind("Secret"), "name": NAME, "namespace": NAMESPACE}, "name")
LOCAL_REFERENCE = record({"group": group(), "kind": kind(), "name": NAME}, "group kind name")
BACKEND_FIELDS = {"group": group(""), "kind": kind("Service"), "name": NAME, "namespace": NAMESPACE, "port": PORT}
WEIGHT = integer(0, 1000000, default=1)

PARENT_REFERENCE = record(
    {
        "group": group(GATEWAY_GROUP),
        "kind": kind("Gateway"),
        "name": NAME,
        "namespace": NAMESPACE,
        "port": PORT,
        "sectionName": SECTION,
    },
    "name",
)

_HEADERS = array(record({"name": HEADER_NAME, "value": HEADER_VALUE}, "name value"), 16, key="name")
HEADER_MODIFIER = record({"add": _HEADERS, "remove": array(string(), 16, kind="set"), "set": _HEADERS})

HAS_PORT = ("self.group != '' || self.kind != 'Service' || has(self.port)", "a Service needs a port")

MIRROR = checked(
    record(
        {
            "backendRef": checked(record(BACKEND_FIELDS, "name"), HAS_PORT),
            "fraction": checked(
                record({"denominator": integer(1, default=100), "numerator": integer(0)}, "numerator"),
                ("self.numerator <= self.denominator", "numerator must not be greater than denominator"),
            ),
            "percent": integer(0, 100),
        },
        "backendRef",
    ),
    ("!has(self.percent) || !has(self.fraction)", "percent and fraction exclude each other"),
)

ROUTE_STATUS = record(
    {
        "parents": array(
            record(
                {
                    "conditions": {**CONDITIONS, "minItems": 1},
                    "controllerName": string(1, 253, CONTROLLER_PATTERN),
                    "parentRef": PARENT_REFERENCE,
                },
                "conditions controllerName parentRef",
            ),
            32,
        )
    },
    "parents",
)

HOSTNAMES = array(HOSTNAME, 16)
PARENTS = array(PARENT_REFERENCE, 32)
