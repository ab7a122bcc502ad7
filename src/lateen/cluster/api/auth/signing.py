"""Certificates from signing requests: what a request asks for, and the certificate that the cluster's authority gives.

Called by the API server, which looks at a CertificateSigningRequest as it is made, and through boot by the controller that signs.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.x509.oid import ExtendedKeyUsageOID

from lateen.cluster.api.auth.pki import Pair

BACKDATE = timedelta(minutes=5)
_KEY_USES = {
    "signing": "digital_signature",
    "digital signature": "digital_signature",
    "content commitment": "content_commitment",
    "key encipherment": "key_encipherment",
    "data encipherment": "data_encipherment",
    "key agreement": "key_agreement",
    "cert sign": "key_cert_sign",
    "crl sign": "crl_sign",
}
_ALL_KEY_USES = (*dict.fromkeys(_KEY_USES.values()), "encipher_only", "decipher_only")
_EXTENDED = {
    "any": ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE,
    "server auth": ExtendedKeyUsageOID.SERVER_AUTH,
    "client auth": ExtendedKeyUsageOID.CLIENT_AUTH,
    "code signing": ExtendedKeyUsageOID.CODE_SIGNING,
    "email protection": ExtendedKeyUsageOID.EMAIL_PROTECTION,
    "s/mime": ExtendedKeyUsageOID.EMAIL_PROTECTION,
    "timestamping": ExtendedKeyUsageOID.TIME_STAMPING,
    "ocsp signing": ExtendedKeyUsageOID.OCSP_SIGNING,
}
USAGES = frozenset((*_KEY_USES, *_EXTENDED, "encipher only", "decipher only"))


def read_request(pem: bytes) -> x509.CertificateSigningRequest:
    """The request. ValueError when it is none, or its signature is wrong."""
    try:
        request = x509.load_pem_x509_csr(pem)
    except ValueError as error:
        raise ValueError("PEM block type must be CERTIFICATE REQUEST") from error
    if not request.is_signature_valid:
        raise ValueError("signature is not valid")
    return request


def certify(ca: Pair, pem: bytes, usages: Sequence[str], seconds: float) -> bytes:
    """The certificate (PEM): the request's subject, names and key, our usages and time. ValueError."""
    request, issuer = read_request(pem), x509.load_pem_x509_certificate(ca.certificate)
    now = datetime.now(UTC)  # a certificate is about the machine's own time
    builder = (
        x509.CertificateBuilder()
        .subject_name(request.subject)
        .issuer_name(issuer.subject)
        .public_key(request.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - BACKDATE)
        .not_valid_after(min(now + timedelta(seconds=seconds), issuer.not_valid_after_utc))
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer.public_key()), critical=False)  # type: ignore[arg-type]
    )
    builder = _with_uses(builder, usages)
    if names := names_of(request):
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    key = serialization.load_pem_private_key(ca.key, None)
    return builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)  # type: ignore[arg-type]


def names_of(request: x509.CertificateSigningRequest) -> list[x509.GeneralName]:
    """The request's alternative names."""
    try:
        return list(request.extensions.get_extension_for_class(x509.SubjectAlternativeName).value)
    except x509.ExtensionNotFound:
        return []


def _with_uses(builder: x509.CertificateBuilder, usages: Sequence[str]) -> x509.CertificateBuilder:
    wanted = {_KEY_USES[u] for u in usages if u in _KEY_USES}
    if wanted:
        builder = builder.add_extension(x509.KeyUsage(**{name: name in wanted for name in _ALL_KEY_USES}), critical=True)
    extended = [_EXTENDED[u] for u in dict.fromkeys(usages) if u in _EXTENDED]
    return builder.add_extension(x509.ExtendedKeyUsage(extended), critical=False) if extended else builder
