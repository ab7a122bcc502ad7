"""References from Gateway API objects to Services and Secrets: do they exist, and may they be used from there."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from lateen.kube.meta import Key, Object, key_of, meta
from lateen.traffic.ir import Certificate, PortKey, Service
from lateen.traffic.translate.certificates import fit
from lateen.traffic.translate.conditions import GROUP, Condition, resolved


@dataclass(frozen=True, slots=True)
class Grant:
    """One permission of a ReferenceGrant: from a kind in a namespace to a kind (or one object) in ``target``."""

    source: tuple[str, str, str]  # group, kind, namespace
    target: tuple[str, str, str]  # group, kind, namespace
    name: str


def grants(objects: Iterable[Object]) -> frozenset[Grant]:
    """Every permission."""
    return frozenset(
        Grant(
            (f.get("group") or "", f["kind"], f["namespace"]),
            (t.get("group") or "", t["kind"], meta(o).get("namespace", "")),
            t.get("name") or "",
        )
        for o in objects
        for f in o["spec"].get("from") or ()
        for t in o["spec"].get("to") or ()
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class References:
    """What may be referred to. ``secrets`` are those of type kubernetes.io/tls."""

    services: Mapping[Key, Service] = field(default_factory=dict)
    secrets: Mapping[Key, Object] = field(default_factory=dict)
    grants: frozenset[Grant] = frozenset()

    def permitted(self, kind: str, namespace: str, target_kind: str, target: Key) -> bool:
        """Whether ``kind`` in ``namespace`` may refer to ``target``: its own namespace, or granted."""
        if namespace == target.namespace:
            return True
        source, to = (GROUP, kind, namespace), ("", target_kind, target.namespace)
        return any(Grant(source, to, name) in self.grants for name in ("", target.name))

    def backend(self, ref: Mapping[str, Any], kind: str, namespace: str) -> PortKey | Condition:
        """The service port that a route of ``kind`` in ``namespace`` refers to, or why there is none."""
        if (ref.get("group") or "", ref.get("kind") or "Service") != ("", "Service"):
            return resolved("InvalidKind", f"a backend must be a Service, not {ref.get('kind')}")
        target = Key(ref.get("namespace") or namespace, ref["name"])
        if not self.permitted(kind, namespace, "Service", target):
            return resolved("RefNotPermitted", _not_granted(namespace, "Service", target))
        service = self.services.get(target)
        if service is None:
            return resolved("BackendNotFound", f"there is no Service {target} with a TCP port")
        port = next((p.key for p in service.ports if p.key.port == ref.get("port") and not p.key.transport), None)
        if port is None:
            ports = ", ".join(str(p.key.port) for p in service.ports if not p.key.transport)
            return resolved("BackendNotFound", f"Service {target} has no port {ref.get('port')} (it has {ports})")
        return port

    def certificate(self, ref: Mapping[str, Any], namespace: str) -> Certificate | Condition:
        """The certificate that a Gateway in ``namespace`` refers to, or why there is none."""
        target = Key(ref.get("namespace") or namespace, ref["name"])
        if (ref.get("group") or "", ref.get("kind") or "Secret") != ("", "Secret"):
            return resolved("InvalidCertificateRef", f"a certificate must be a Secret, not {ref.get('kind')}")
        if not self.permitted("Gateway", namespace, "Secret", target):
            return resolved("RefNotPermitted", _not_granted(namespace, "Secret", target))
        secret = self.secrets.get(target)
        if secret is None:
            return resolved("InvalidCertificateRef", f"there is no Secret {target} of type kubernetes.io/tls")
        return _certificate(secret) or resolved("InvalidCertificateRef", f"Secret {target} holds no PEM certificate with its key")


def _not_granted(namespace: str, kind: str, target: Key) -> str:
    return f"no ReferenceGrant in {target.namespace} lets {namespace} use {kind} {target.name}"


def _certificate(secret: Object) -> Certificate | None:
    data = secret.get("data") or {}
    try:
        chain, key = (base64.b64decode(data.get(k) or "", validate=True) for k in ("tls.crt", "tls.key"))
    except binascii.Error:
        return None
    return Certificate(str(key_of(secret)), chain, key) if fit(chain, key) else None
