"""CertificateSigningRequests: approved ones of Kubernetes' own signers get their certificate; old ones go.

Follows kube-controller-manager's csrsigning and csrcleaner. Nothing is approved here: people and tools do that.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable
from typing import Any

from cryptography import x509
from cryptography.x509.oid import NameOID

from lateen.cluster.controllers.kit import Kit, spec_of, status_of
from lateen.kube.meta import Key, Object, condition_true, meta, parse_time, timestamp
from lateen.kube.resources import CSRS
from lateen.reconcile import DONE, Controller, Result, Source

CLIENT, KUBELET = "kubernetes.io/kube-apiserver-client", "kubernetes.io/kube-apiserver-client-kubelet"
SERVING, LEGACY = "kubernetes.io/kubelet-serving", "kubernetes.io/legacy-unknown"
SIGNERS = frozenset((CLIENT, KUBELET, SERVING, LEGACY))
_SIGNATURE = {"digital signature", "key encipherment"}
_YEAR = 365 * 24 * 3600.0
_DECIDED, _PENDING = 3600.0, 24 * 3600.0  # seconds a request is kept


def controller(kit: Kit) -> Controller:
    """The controller, fed by requests."""
    return Controller(
        name="certificates", reconciler=SigningReconciler(kit), sources=[Source(informer=kit.informer(CSRS))], clock=kit.clock
    )


class SigningReconciler:
    """One request: signed, refused, or taken away when its time is over."""

    def __init__(self, kit: Kit) -> None:
        self._kit, self._requests = kit, kit.informer(CSRS)

    async def reconcile(self, key: Key) -> Result:
        request = self._requests.get(key)
        if request is None or meta(request).get("deletionTimestamp"):
            return DONE
        left = self._left(request)
        if left <= 0:
            await self._kit.client.delete(CSRS, key.name)
            return DONE
        if _waits(request):
            await self._kit.client.update_status(CSRS, {**request, "status": status_of(request) | self._outcome(request)})
        return Result(left)

    def _left(self, request: Object) -> float:
        """Seconds until nobody needs it any longer."""
        decided = [c for c in status_of(request).get("conditions") or () if c["type"] in ("Approved", "Denied", "Failed")]
        moments = [c.get("lastUpdateTime") for c in decided] or [meta(request)["creationTimestamp"]]
        age = max((self._kit.clock.now() - parse_time(m)).total_seconds() for m in moments if m)
        return (_DECIDED if decided else _PENDING) - age

    def _outcome(self, request: Object) -> dict[str, Any]:
        spec = spec_of(request)
        pem = base64.b64decode(spec["request"])
        try:
            if why := "; ".join(unfit(spec, x509.load_pem_x509_csr(pem))):
                raise ValueError(why)
            sign = self._kit.settings.certify
            issued = sign(pem, spec["usages"], min(spec.get("expirationSeconds") or _YEAR, _YEAR))
        except ValueError as error:
            now = timestamp(self._kit.clock.now())
            failed = {"type": "Failed", "status": "True", "reason": "SignerValidationFailure", "message": str(error)}
            failed |= {"lastUpdateTime": now, "lastTransitionTime": now}
            return {"conditions": [*(status_of(request).get("conditions") or ()), failed]}
        return {"certificate": base64.b64encode(issued).decode()}


def _waits(request: Object) -> bool:
    """Whether it is approved, ours to sign, and not signed yet."""
    return (
        spec_of(request)["signerName"] in SIGNERS
        and condition_true(request, "Approved")
        and not condition_true(request, "Denied")
        and not condition_true(request, "Failed")
        and not status_of(request).get("certificate")
    )


def unfit(spec: Object, request: x509.CertificateSigningRequest) -> Iterable[str]:
    """Why the signer does not sign what was asked."""
    signer, usages = spec["signerName"], set(spec["usages"])
    if signer == LEGACY:
        return
    main = "server auth" if signer == SERVING else "client auth"
    if main not in usages or not usages <= {main, *_SIGNATURE}:
        yield f'usages did not match {{"digital signature", "key encipherment", "{main}"}}'
    if signer == CLIENT:
        return
    names = [str(a.value) for a in request.subject.get_attributes_for_oid(NameOID.COMMON_NAME)]
    groups = [str(a.value) for a in request.subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)]
    if groups != ["system:nodes"]:
        yield "subject organization is not system:nodes"
    if not names or not names[0].startswith("system:node:"):
        yield "subject common name does not begin with system:node:"
    found = _alternatives(request)
    if signer == KUBELET and found:
        yield "DNS, IP, email and URI subjectAltNames are not allowed"
    if signer == SERVING and (not found or not all(isinstance(n, x509.DNSName | x509.IPAddress) for n in found)):
        yield "DNS or IP subjectAltName is required"
    if signer == SERVING and spec.get("username") not in names:
        yield "username in CSR must match subject common name"


def _alternatives(request: x509.CertificateSigningRequest) -> list[x509.GeneralName]:
    try:
        return list(request.extensions.get_extension_for_class(x509.SubjectAlternativeName).value)
    except x509.ExtensionNotFound:
        return []
