"""Changes of rendered objects, for what the model has no word for."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from lateen.model.base import Model


class Target(Model):
    """Which objects a patch changes."""

    kind: str = Field(description="Their kind.")
    name: str | None = Field(default=None, description="Their name, `*` matches anything. Default: all.")


class Patch(Model):
    """A change of rendered objects. It must hit something. Exactly one of merge and json."""

    target: Target = Field(description="Which objects.")
    merge: dict[str, Any] | None = Field(
        default=None, description="A strategic merge patch; `{$patch: delete}` takes the objects out."
    )
    json_: list[dict[str, Any]] | None = Field(default=None, alias="json", description="A JSON patch (RFC 6902).")
