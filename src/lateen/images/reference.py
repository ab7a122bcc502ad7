"""Image references: ``[registry/]repository[:tag][@digest]``, parsed once, here.

Grammar: the distribution reference grammar (lower-case path components, 128-character tags, sha256 digests).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import NewType

from lateen.errors import FailedError, InputError

Digest = NewType("Digest", str)

HUB = "docker.io"

_DIGEST = re.compile("sha256:[0-9a-f]{64}")
_COMPONENT = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_HOST = r"(?:localhost|[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)+)(?::\d+)?|[A-Za-z0-9-]+:\d+"
_REFERENCE = re.compile(
    rf"(?:(?P<host>{_HOST})/)?(?P<path>{_COMPONENT}(?:/{_COMPONENT})*)"
    r"(?::(?P<tag>[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}))?(?:@(?P<digest>sha256:[0-9a-f]{64}))?"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """A parsed reference. ``repository`` carries the registry host, if any; an empty tag with no digest means ``latest``."""

    repository: str
    tag: str = ""
    digest: Digest = Digest("")

    @property
    def registry(self) -> str:
        """The registry's host, docker.io where none is written."""
        host, slash, _ = self.repository.partition("/")
        return host if slash and _is_host(host) else HUB

    @property
    def hosted(self) -> bool:
        """Whether it names its registry."""
        return "/" in self.repository and _is_host(self.repository.partition("/")[0])

    @property
    def path(self) -> str:
        """The repository at its registry."""
        host, slash, rest = self.repository.partition("/")
        path = rest if slash and _is_host(host) else self.repository
        return f"library/{path}" if self.registry == HUB and "/" not in path else path

    def __str__(self) -> str:
        return self.repository + (f":{self.tag}" if self.tag else "") + (f"@{self.digest}" if self.digest else "")


def checked_digest(text: object) -> Digest:
    """A digest from outside. FailedError unless it is a SHA-256."""
    if not isinstance(text, str) or not _DIGEST.fullmatch(text):
        raise FailedError(f"{text!r} is no digest: only sha256 is known")
    return Digest(text)


def _is_host(text: str) -> bool:
    return text == "localhost" or "." in text or ":" in text


def parse(text: str) -> Reference:
    """The reference written in ``text``. InputError says which part is wrong."""
    found = _REFERENCE.fullmatch(text)
    if found is None:
        raise InputError(
            f"{text!r} is not an image reference",
            hint="write [registry/]name[:tag][@sha256:...], the name in lower case, for example registry.example.com/shop/cart:1.4",
        )
    host, path = found["host"], found["path"]
    digest = Digest(found["digest"] or "")
    tag = found["tag"] or ("" if digest else "latest")
    return Reference(repository=f"{host}/{path}" if host else path, tag=tag, digest=digest)
