"""What the server refused, in words that say what to do: field conflicts with their owner, invalid fields, missing rights."""

from __future__ import annotations

import re

from lateen.apply.refs import Ref
from lateen.errors import ApiError, ConflictError, FailedError, ForbiddenError, InputError, InvalidError, LateenError

_OWNER = re.compile(
    r'conflict with "(?P<manager>[^"]+)"(?: with subresource "(?P<subresource>[^"]+)")?(?: using (?P<version>\S+))?'
)
FORCE = "run again with --force-conflicts to take the fields over, or leave them out of your manifest"


def explain(ref: Ref, error: ApiError, where: str = "") -> LateenError:
    """The error for people. InputError for what the user can change in the manifest, else FailedError."""
    place = f"{where}: " if where else ""
    causes = error.details.get("causes") or []
    if isinstance(error, ConflictError) and any(c.get("reason") == "FieldManagerConflict" for c in causes):
        fields = "".join(f"\n  {c.get('field')} is owned by {_owner(str(c.get('message') or ''))}" for c in causes)
        return FailedError(f"{place}{ref}: another manager owns fields of it{fields}\n  {FORCE}")
    if isinstance(error, InvalidError) or error.code == 400:
        lines = [f"{c.get('field')}: {c.get('message')}" for c in causes]
        return InputError(f"{ref}: " + ("\n  ".join(lines) if lines else error.message), where=where)
    if isinstance(error, ForbiddenError):
        return FailedError(f"{place}{ref}: {error.message}\n  ask for the right, or use another context")
    return FailedError(f"{place}{ref}: {error.message}")


def _owner(message: str) -> str:
    found = _OWNER.search(message)
    if found is None:
        return message
    return found["manager"] + (f" (by {found['subresource']})" if found["subresource"] else "")
