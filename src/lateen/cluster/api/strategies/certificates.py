"""CertificateSigningRequest: it says who asked, keeps its spec, and who approves or signs must be allowed to for its signer."""

from __future__ import annotations

import base64
import binascii
from typing import Any

from lateen.cluster.api import statuses
from lateen.cluster.api.auth.rbac import Attributes
from lateen.cluster.api.auth.signing import USAGES, read_request
from lateen.cluster.api.call import Backend, Call
from lateen.cluster.api.strategies.base import Strategy
from lateen.kube.meta import Object, timestamp
from lateen.kube.validation.errors import FieldError, forbidden, invalid, required

GROUP = "certificates.k8s.io"
CLIENT = "kubernetes.io/kube-apiserver-client"
_DECISIONS = ("Approved", "Denied")


def _create(backend: Backend, call: Call, new: Object) -> None:
    spec = new.setdefault("spec", {})
    user = call.user
    for name, value in (("username", user.name), ("uid", user.uid), ("groups", list(user.groups))):
        spec.pop(name, None)
        if value:
            spec[name] = value
    spec.pop("extra", None)
    if user.extra:
        spec["extra"] = {k: list(v) for k, v in user.extra.items()}
    spec.setdefault("usages", ["digital signature", "key encipherment"])
    errors = _faults(spec)
    if errors:
        raise statuses.invalid_fields(call.served.resource, new["metadata"].get("name", ""), errors)
    if spec["signerName"] == CLIENT and "system:masters" in _organizations(spec):
        why = f"use of {CLIENT} signer with system:masters group is not allowed"
        raise statuses.forbidden(call.served.resource, new["metadata"].get("name", ""), why)


def _faults(spec: Object) -> list[FieldError]:
    errors = []
    if not spec.get("signerName"):
        errors.append(required("spec.signerName", ""))
    elif "/" not in spec["signerName"].strip("/"):
        text = "must be a fully qualified domain and path of the form 'example.com/signer-name'"
        errors.append(invalid("spec.signerName", spec["signerName"], text))
    try:
        read_request(base64.b64decode(spec.get("request") or "", validate=True))
    except (ValueError, binascii.Error) as error:
        errors.append(invalid("spec.request", spec.get("request") or "", str(error)))
    if not spec["usages"]:
        errors.append(required("spec.usages", ""))
    errors += [invalid(f"spec.usages[{i}]", u, "unknown usage") for i, u in enumerate(spec["usages"]) if u not in USAGES]
    seconds = spec.get("expirationSeconds")
    if seconds is not None and seconds < 600:
        errors.append(invalid("spec.expirationSeconds", seconds, "may not specify a duration less than 600 seconds (10 minutes)"))
    return errors


def _organizations(spec: Object) -> list[str]:
    subject = read_request(base64.b64decode(spec["request"])).subject
    return [str(a.value) for a in subject if a.oid.dotted_string == "2.5.4.10"]


def _update(backend: Backend, call: Call, new: Object, old: Object) -> None:
    new["spec"] = old.get("spec") or {}


def _status(backend: Backend, call: Call, new: Object, old: Object) -> None:
    """``approval`` decides, ``status`` reports: each leaves the other's part as it was."""
    given, known = new.get("status") or {}, old.get("status") or {}
    before = known.get("conditions") or []
    if call.path.subresource == "approval":
        if _decisions(given) != _decisions(known):
            _permitted(backend, call, old, "approve")
        status = {**known, "conditions": given.get("conditions") or []}
    else:
        if given.get("certificate") != known.get("certificate"):
            _permitted(backend, call, old, "sign")
        decided = [c for c in before if c["type"] in _DECISIONS]
        status = {**given, "conditions": decided + [c for c in given.get("conditions") or () if c["type"] not in _DECISIONS]}
    status["conditions"] = _dated(status["conditions"], before, timestamp(backend.clock.now()))
    if faults := list(_undone(status, known)):
        raise statuses.invalid_fields(call.served.resource, call.name, faults)
    new["status"] = {k: v for k, v in status.items() if v}


def _decisions(status: Object) -> dict[str, Any]:
    return {c["type"]: c.get("status") for c in status.get("conditions") or () if c["type"] in _DECISIONS}


def _permitted(backend: Backend, call: Call, obj: Object, verb: str) -> None:
    signer = obj["spec"]["signerName"]
    for name in (signer, f"{signer.partition('/')[0]}/*"):
        if backend.access.rbac.allowed(call.user, Attributes(verb=verb, group=GROUP, resource="signers", name=name)):
            return
    raise statuses.forbidden(call.served.resource, call.name, f'user not permitted to {verb} requests with signerName "{signer}"')


def _dated(conditions: list[Object], before: list[Object], now: str) -> list[Object]:
    states = {c["type"]: c.get("status") for c in before}
    dated = []
    for found in conditions:
        condition = {**found}
        condition.setdefault("status", "True")
        if not condition.get("lastUpdateTime"):
            condition["lastUpdateTime"] = now
        if states.get(condition["type"]) != condition["status"] or not condition.get("lastTransitionTime"):
            condition["lastTransitionTime"] = now
        dated.append(condition)
    return dated


def _undone(status: dict[str, Any], known: dict[str, Any]) -> list[FieldError]:
    """What may not be taken back: decisions, failures, a certificate."""
    types = {c["type"] for c in status["conditions"]}
    lost = {c["type"] for c in known.get("conditions") or ()} & {*_DECISIONS, "Failed"} - types
    errors = [forbidden("status.conditions", f'updates may not remove a condition of type "{kind}"') for kind in sorted(lost)]
    if set(_DECISIONS) <= types:
        errors.append(invalid("status.conditions", "Denied", "Approved and Denied conditions are mutually exclusive"))
    if known.get("certificate") and status.get("certificate") != known["certificate"]:
        errors.append(forbidden("status.certificate", "updates may not change an issued certificate"))
    return errors


STRATEGIES = {f"{GROUP}/certificatesigningrequests": Strategy(create=_create, update=_update, status_update=_status)}
