"""The JSON Schema of the application file, for editors, ``lateen schema`` and the reference."""

from __future__ import annotations

from typing import Any

from lateen.model.application import App

DIALECT = "https://json-schema.org/draft/2020-12/schema"
ID = "https://lateen.dev/schema/lateen.v1.json"


def schema() -> dict[str, Any]:
    """JSON Schema, draft 2020-12, with a description of every field."""
    body = App.model_json_schema(by_alias=True, mode="validation")
    return {"$schema": DIALECT, "$id": ID, **body, "title": "lateen application"}
