"""The named formats of CEL's ``format`` library: what is wrong with a text that should be one. Pure."""

from __future__ import annotations

import base64
import uuid
from collections.abc import Callable, Iterable
from datetime import date, datetime
from urllib.parse import urlsplit

from lateen.kube import names


def _by(check: Callable[[str], object], words: str) -> Callable[[str], list[str]]:
    """The problem of a check that raises."""

    def problems(text: str) -> list[str]:
        try:
            check(text)
        except ValueError:  # binascii's is one
            return [words]
        return []

    return problems


def _uri(text: str) -> None:
    found = urlsplit(text)
    if not found.scheme or " " in text:
        raise ValueError(text)


_CHECKS: dict[str, Callable[[str], Iterable[str]]] = {
    "dns1123Label": names.dns_label,
    "dns1123Subdomain": names.dns_subdomain,
    "dns1035Label": names.dns_1035_label,
    "qualifiedName": names.qualified_name,
    "dns1123LabelPrefix": lambda text: names.dns_label(text.removesuffix("-")),
    "dns1123SubdomainPrefix": lambda text: names.dns_subdomain(text.removesuffix("-")),
    "dns1035LabelPrefix": lambda text: names.dns_1035_label(text.removesuffix("-")),
    "labelValue": names.label_value,
    "uri": _by(_uri, "invalid URI"),
    "uuid": _by(uuid.UUID, "does not match the UUID format"),
    "byte": _by(lambda text: base64.b64decode(text, validate=True), "invalid base64"),
    "date": _by(date.fromisoformat, "invalid date"),
    "datetime": _by(lambda text: datetime.fromisoformat(text.replace("Z", "+00:00")), "invalid datetime"),
}
FORMATS = tuple(_CHECKS)


def problems(name: str, text: str) -> list[str]:
    """What keeps ``text`` from being a ``name``; empty when nothing does."""
    return list(_CHECKS[name](text))
