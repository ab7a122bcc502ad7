"""TLS towards what the API server calls. Contexts are kept: making one costs more than a request."""

from __future__ import annotations

import base64
import binascii
import ssl
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from lateen.cluster.api.streaming.seam import Connection

_HANDSHAKE_SECONDS = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Trust:
    """Whom to believe. ``bundle`` is a caBundle as objects carry it (base64 of PEM; '' for the machine's own authorities);
    ``certificate`` and ``key`` are files of the certificate that we show."""

    bundle: str = ""
    insecure: bool = False
    certificate: Path | None = None
    key: Path | None = None

    def context(self) -> ssl.SSLContext:
        """The TLS settings. ssl.SSLError or ValueError for a bundle that is none."""
        return _context(self)


@lru_cache(maxsize=256)
def _context(trust: Trust) -> ssl.SSLContext:
    try:
        data = base64.b64decode(trust.bundle, validate=False).decode() if trust.bundle else None
    except (binascii.Error, UnicodeDecodeError) as error:
        raise ValueError("unable to load root certificates: unable to parse bytes as PEM block") from error
    context = ssl.create_default_context(cadata=data)
    if trust.insecure:
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    if trust.certificate is not None:
        context.load_cert_chain(trust.certificate, trust.key)
    return context


async def secured(connection: Connection, trust: Trust, host: str) -> Connection:
    """The same connection with TLS on it; closed when that fails. OSError, ValueError."""
    reader, writer = connection
    try:
        await writer.start_tls(trust.context(), server_hostname=host, ssl_handshake_timeout=_HANDSHAKE_SECONDS)
    except BaseException:
        writer.close()
        raise
    return reader, writer
