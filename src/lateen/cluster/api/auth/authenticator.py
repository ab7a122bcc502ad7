"""Credentials to users: client certificates of our CA, static tokens, ServiceAccount tokens. Called for every HTTPS request."""

from __future__ import annotations

from cryptography import x509
from cryptography.x509.oid import NameOID

from lateen.cluster.api.auth.tokens import ServiceAccountTokens, StaticTokens
from lateen.cluster.api.user import UserInfo
from lateen.errors import UnauthorizedError

AUTHENTICATED = "system:authenticated"
_CACHED = 1024


class Authenticator:
    """Asks each kind of credential in turn."""

    def __init__(self, static: StaticTokens, accounts: ServiceAccountTokens) -> None:
        self._static, self._accounts = static, accounts
        self._certificates: dict[bytes, UserInfo] = {}

    def authenticate(self, *, token: str, certificate: bytes | None) -> UserInfo | None:
        """The user; None without credentials. UnauthorizedError for credentials that are nobody's."""
        if certificate is not None:
            return self._of_certificate(certificate)
        if not token:
            return None
        user = self._static.user(token) or self._accounts.user(token)
        if user is None:
            raise UnauthorizedError("Unauthorized")
        return user

    def _of_certificate(self, der: bytes) -> UserInfo:
        """TLS has verified it: common name is the user, organisations are the groups."""
        found = self._certificates.get(der)
        if found is None:
            subject = x509.load_der_x509_certificate(der).subject
            name = subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value
            groups = [str(a.value) for a in subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)]
            found = UserInfo(name=str(name), groups=(*groups, AUTHENTICATED))
            if len(self._certificates) >= _CACHED:
                self._certificates.clear()
            self._certificates[der] = found
        return found
