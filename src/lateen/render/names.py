"""Names, labels and hashes of rendered objects: the one place that decides them. Selectors are made here and never change."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from math import ceil
from typing import Any

from lateen.images import reference
from lateen.kube.meta import Object
from lateen.model import Application
from lateen.model.types import slug as slug

PREFIX = "app.kubernetes.io"


def selector(app: Application, service: str) -> dict[str, str]:
    """What chooses the pods of a service. Immutable in a Deployment: nothing that can vary may enter here."""
    return {f"{PREFIX}/name": service, f"{PREFIX}/instance": app.name}


def labels(app: Application, name: str, component: str, version: str = "") -> dict[str, str]:
    """The recommended labels of Kubernetes, after the service's own."""
    service = app.services.get(name)
    return {
        **(service.labels if service is not None else {}),
        **selector(app, name),
        **({f"{PREFIX}/version": version} if version else {}),
        f"{PREFIX}/component": component,
        f"{PREFIX}/part-of": app.name,
        f"{PREFIX}/managed-by": "lateen",
    }


def service_labels(app: Application, service: str) -> dict[str, str]:
    """The labels of the objects beside the workload. They carry no version: a new version does not touch these objects."""
    return labels(app, service, app.services[service].role)


def obj(api_version: str, kind: str, name: str, *, app: Application, labels: Mapping[str, str], **fields: Any) -> Object:
    """An object of the application's namespace. ``fields`` follow metadata in the order given; empty ones are left out."""
    metadata = {"name": name, "namespace": app.namespace, "labels": dict(labels)}
    return {
        "apiVersion": api_version,
        "kind": kind,
        "metadata": metadata,
        **{k: v for k, v in fields.items() if v not in (None, {}, [])},
    }


def priority_class(app: Application, priority: str | None) -> str:
    """The PriorityClass of a service: the one it names; for a number, the one made for it."""
    if priority is None:
        return ""
    return f"{app.namespace}-{priority}" if is_number(priority) else priority


def is_number(priority: str) -> bool:
    """Whether a priority is a number, for which a class is made."""
    return re.fullmatch(r"-?\d{1,10}", priority) is not None


def image_version(image: str) -> str:
    """The version label of an image: its tag, else the head of its digest, else empty."""
    found = reference.parse(image)
    text = found.tag if found.tag not in ("", "latest") else found.digest.partition(":")[2][:12]
    return re.sub(r"[^A-Za-z0-9]+$", "", text[:63])


def content_hash(*parts: Any) -> str:
    """Ten hex digits that change when a part does."""
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:10]


def variable(name: str) -> str:
    """``order-store`` as a part of a variable's name: ``ORDER_STORE``."""
    return name.upper().replace("-", "_")


def seconds(duration: float) -> int:
    """Whole seconds, rounded up: most of Kubernetes knows no smaller ones."""
    return ceil(duration)
