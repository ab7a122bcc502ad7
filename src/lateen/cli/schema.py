"""``lateen schema``: JSON Schema of the application file."""

from __future__ import annotations

import json

from lateen.cli.output import say


def schema() -> None:
    """Print the JSON Schema of lateen.yaml, for editors: `lateen schema > lateen.schema.json`."""
    from lateen.model import schema as model_schema

    say(json.dumps(model_schema(), indent=2))
