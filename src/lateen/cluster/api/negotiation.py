"""What a client accepts: plain JSON, YAML, a Table, or only metadata. ``server`` asks after each verb; pure but for the clock."""

from __future__ import annotations

from enum import Enum
from functools import lru_cache

from lateen.cluster.api import statuses
from lateen.errors import NotAcceptableError


class Form(Enum):
    """The form of an answer."""

    PLAIN = "plain"
    YAML = "yaml"
    TABLE = "Table"
    METADATA = "PartialObjectMetadata"
    METADATA_LIST = "PartialObjectMetadataList"
    DISCOVERY = "APIGroupDiscoveryList"


_FORMS = {f.value: f for f in Form}
_PLAIN = ("application/json", "*/*", "application/*")


@lru_cache(maxsize=256)
def form_of(accept: str) -> Form:
    """The first form in ``accept`` that the server can produce. NotAcceptableError if there is none."""
    for part in accept.split(",") if accept.strip() else ("*/*",):
        kind, *settings = (p.strip() for p in part.split(";"))
        options = dict(s.partition("=")[::2] for s in settings)
        if kind in _PLAIN:
            wanted = options.get("as")
            if wanted is None:
                return Form.PLAIN
            found = _FORMS.get(wanted)
            if (
                found is not None
                and options.get("v") in ("v1", "v2", "v1beta1")
                and not (found is Form.DISCOVERY and options["v"] != "v2")
            ):
                return found
        elif kind in ("application/yaml", "text/yaml"):
            return Form.YAML
    raise not_acceptable()


def not_acceptable() -> NotAcceptableError:
    """None of the accepted forms can be produced."""
    kinds = "application/json, application/yaml"
    return statuses.not_acceptable(f"only the following media types are accepted: {kinds}")
