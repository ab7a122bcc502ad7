"""JSON merge patch (RFC 7386)."""

from __future__ import annotations

from typing import Any

from lateen.kube.meta import edit


def merge_patch(target: Any, patch: Any) -> Any:
    """``patch`` laid over ``target``: null removes, objects merge, everything else replaces."""
    if not isinstance(patch, dict):
        return edit(patch)
    result = dict(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        if value is None:
            result.pop(name, None)
        else:
            result[name] = merge_patch(result.get(name), value)
    return result
