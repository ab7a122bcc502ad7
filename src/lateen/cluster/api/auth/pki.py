"""The cluster's own certificate authority and what it signs. ES256 throughout: an RSA key costs 50 ms, a P-256 key one.

``load_or_make`` keeps everything in one folder, files readable by the owner only.
"""

from __future__ import annotations

import ipaddress
import os
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from lateen.cluster.api.outward.tls import Trust

_YEARS = timedelta(days=3650)
FRONT_PROXY = "front-proxy-client"
_SKEW = timedelta(minutes=5)
_NAMES = ("localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc.cluster.local")


@dataclass(frozen=True, slots=True)
class Pair:
    """A certificate and its key, PEM."""

    certificate: bytes
    key: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Pki:
    """The files of one cluster."""

    folder: Path
    ca: Pair
    server: Pair
    front_proxy_ca: Pair  # an authority of its own: who shows its certificates to extension API servers may name any user
    service_account_key: bytes  # PEM; signs ServiceAccount tokens

    @property
    def ca_file(self) -> Path:
        return self.folder / "ca.crt"

    def front_proxy(self) -> Trust:
        """Who the API server is to extension API servers."""
        return Trust(certificate=self.folder / f"{FRONT_PROXY}.crt", key=self.folder / f"{FRONT_PROXY}.key")

    def server_context(self) -> ssl.SSLContext:
        """TLS settings of the API server; client certificates of our CA are accepted, none is asked of anybody."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.folder / "server.crt", self.folder / "server.key")
        context.load_verify_locations(cadata=self.ca.certificate.decode())
        context.verify_mode = ssl.CERT_OPTIONAL
        return context


def load_or_make(folder: Path, addresses: Sequence[str]) -> Pki:
    """The PKI in ``folder``; made if it is not there, the serving certificate anew if it does not name ``addresses``."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    ca = _kept(folder, "ca") or _store(folder, "ca", make_ca())
    server = _kept(folder, "server")
    if server is None or not _covers(server, addresses):
        server = _store(folder, "server", sign(ca, "kube-apiserver", server=True, addresses=addresses))
    front = _kept(folder, "front-proxy-ca") or _store(folder, "front-proxy-ca", make_ca("front-proxy-ca"))
    if _kept(folder, FRONT_PROXY) is None:
        _store(folder, FRONT_PROXY, sign(front, FRONT_PROXY))
    key_file = folder / "sa.key"
    if not key_file.exists():
        _write(key_file, _pem(ec.generate_private_key(ec.SECP256R1())))
    return Pki(folder=folder, ca=ca, server=server, front_proxy_ca=front, service_account_key=key_file.read_bytes())


def make_ca(name: str = "lateen-ca") -> Pair:
    """A new self-signed authority."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    usage = x509.KeyUsage(
        digital_signature=True,
        key_cert_sign=True,
        crl_sign=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )
    builder = _builder(subject, subject, key.public_key()).add_extension(
        x509.BasicConstraints(ca=True, path_length=None), critical=True
    )
    return _pair(builder.add_extension(usage, critical=True).sign(key, hashes.SHA256()), key)


def sign(
    ca: Pair,
    common_name: str,
    *,
    groups: Sequence[str] = (),
    server: bool = False,
    addresses: Sequence[str] = (),
    names: Sequence[str] = _NAMES,
) -> Pair:
    """A certificate for a user (``groups`` as organisations) or, with ``server``, for addresses and names (ours)."""
    key = ec.generate_private_key(ec.SECP256R1())
    issuer = x509.load_pem_x509_certificate(ca.certificate)
    attributes = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, g) for g in groups]
    subject = x509.Name([*attributes, x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
    use = ExtendedKeyUsageOID.SERVER_AUTH if server else ExtendedKeyUsageOID.CLIENT_AUTH
    builder = _builder(subject, issuer.subject, key.public_key())
    builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
    builder = builder.add_extension(x509.ExtendedKeyUsage([use]), critical=False)
    authority = x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer.public_key())  # type: ignore[arg-type]
    builder = builder.add_extension(authority, critical=False)
    if server:
        known: list[x509.GeneralName] = [x509.DNSName(n) for n in names]
        known += [x509.IPAddress(ipaddress.ip_address(a)) for a in addresses]
        builder = builder.add_extension(x509.SubjectAlternativeName(known), critical=False)
    ca_key = serialization.load_pem_private_key(ca.key, None)
    return _pair(builder.sign(ca_key, hashes.SHA256()), key)  # type: ignore[arg-type]


def _builder(subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
    now = datetime.now(UTC)  # a certificate is about the machine's own time
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _SKEW)
        .not_valid_after(now + _YEARS)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )


def _pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption_algorithm=serialization.NoEncryption()
    )


def _pair(certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> Pair:
    return Pair(certificate.public_bytes(serialization.Encoding.PEM), _pem(key))


def _kept(folder: Path, name: str) -> Pair | None:
    try:
        return Pair((folder / f"{name}.crt").read_bytes(), (folder / f"{name}.key").read_bytes())
    except FileNotFoundError:
        return None


def _store(folder: Path, name: str, pair: Pair) -> Pair:
    _write(folder / f"{name}.key", pair.key)
    _write(folder / f"{name}.crt", pair.certificate)
    return pair


def _write(file: Path, data: bytes) -> None:
    scratch = file.with_suffix(file.suffix + ".new")
    with os.fdopen(os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as out:
        out.write(data)
        out.flush()
        os.fsync(out.fileno())
    scratch.replace(file)


def _covers(pair: Pair, addresses: Sequence[str]) -> bool:
    certificate = x509.load_pem_x509_certificate(pair.certificate)
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    found = {str(a) for a in names.get_values_for_type(x509.IPAddress)}
    fresh = certificate.not_valid_after_utc - datetime.now(UTC) > timedelta(days=30)
    return fresh and set(addresses) <= found
