"""What list and watch share: selectors, resource versions, continue tokens."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from lateen.cluster.api import statuses
from lateen.cluster.api.call import Call
from lateen.cluster.api.fields import field_matcher
from lateen.cluster.api.selecting import label_matcher
from lateen.kube.meta import Object

Matcher = Callable[[Object], bool]


def matcher(call: Call) -> Matcher | None:
    """What labelSelector and fieldSelector (and a name in the path) let through; None lets everything through."""
    parts: list[Matcher] = []
    if text := call.option("labelSelector"):
        parts.append(label_matcher(text))
    if text := call.option("fieldSelector"):
        parts.append(field_matcher(call.served, text))
    if not parts:
        return None
    if len(parts) == 1:
        return parts[0]
    first, second = parts
    return lambda obj: first(obj) and second(obj)


def revision_option(call: Call) -> int | None:
    """``resourceVersion`` as a number; None when unset. BadRequestError for anything else."""
    text = call.option("resourceVersion")
    if not text:
        return None
    if not text.isdigit():
        raise statuses.bad_request(f"invalid resource version {text!r}")
    return int(text)


@dataclass(frozen=True, slots=True)
class Continue:
    """Where a list goes on: ``start`` is the next key, ``revision`` the list's (-1: the newest)."""

    revision: int
    start: str

    def encode(self) -> str:
        """The token handed to the client: opaque."""
        data = orjson.dumps({"v": "meta.k8s.io/v1", "rv": self.revision, "start": self.start})
        return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def parse_continue(text: str, prefix: str) -> Continue:
    """The token taken apart. BadRequestError if it is not one of this collection."""
    try:
        found: Mapping[str, Any] = orjson.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
        token = Continue(int(found["rv"]), str(found["start"]))
    except (binascii.Error, ValueError, KeyError, TypeError) as error:
        raise statuses.bad_request("continue key is not valid: encoded start key is invalid") from error
    if not token.start.startswith(prefix):
        raise statuses.bad_request("continue key is not valid: it belongs to another collection")
    return token
