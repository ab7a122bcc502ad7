"""Whether a certificate and a key are what a proxy can use: it would refuse others without naming who asked for them."""

from __future__ import annotations

from functools import lru_cache

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key


@lru_cache(256)  # everything is translated anew when one thing changed
def fit(chain: bytes, key: bytes) -> bool:
    """Whether ``chain`` is PEM certificates, the first of which is for the PEM ``key``."""
    try:
        first = x509.load_pem_x509_certificates(chain)[0]
        mine = load_pem_private_key(key, None).public_key()
    except (ValueError, TypeError, UnsupportedAlgorithm):
        return False
    form = Encoding.DER, PublicFormat.SubjectPublicKeyInfo
    return first.public_key().public_bytes(*form) == mine.public_bytes(*form)
