"""``${...}`` references in texts of the model: their grammar, nothing else.

``${services.cart.http.url}``, ``${services.cart.url}``, ``${resources.db.host}``, ``${env.name}``, ``${env.domain}``,
``${app.name}``, ``${secrets.db.password}``. ``$${`` is a literal ``${``. ``model.rules`` judges whether a reference may stand
where it does; ``render`` gives it its value.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

_TOKEN = re.compile(r"\$\$\{|\$\{([^}]*)\}?")
SERVICE_PARTS = ("url", "host", "port")
ENV_PARTS = ("name", "domain")
ROOTS = ("services", "resources", "env", "app", "secrets")


@dataclass(frozen=True, slots=True)
class Reference:
    """One ``${...}``: its dotted parts, and where it stands in the text."""

    text: str
    start: int
    parts: tuple[str, ...]
    closed: bool = True

    @property
    def root(self) -> str:
        """services, env, app, secrets, or something unknown."""
        return self.parts[0]

    @property
    def service(self) -> tuple[str, str, str]:
        """Service, port name (empty: its first) and part (url, host or port) of a reference to a service."""
        if len(self.parts) == 3:
            return self.parts[1], "", self.parts[2]
        return self.parts[1], self.parts[2], self.parts[3]


def split(text: str) -> Iterator[str | Reference]:
    """The text as literal pieces and references, in order."""
    position = 0
    for found in _TOKEN.finditer(text):
        if found.start() > position:
            yield text[position : found.start()]
        position = found.end()
        if found[0] == "$${":
            yield "${"
        else:
            yield Reference(found[0], found.start(), tuple(p.strip() for p in found[1].split(".")), found[0].endswith("}"))
    if position < len(text):
        yield text[position:]


def references(text: str) -> list[Reference]:
    """Every reference in the text."""
    return [piece for piece in split(text) if isinstance(piece, Reference)] if "${" in text else []
