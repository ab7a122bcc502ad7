"""JSON merge patch (RFC 7386)."""

from __future__ import annotations

from typing import Any

from lateen.kube.meta import edit


def merge_patch(target: Any, patch: Any) -> Any:
    """``patch`` laid over a copy of ``target``: null removes, objects merge, everything else replaces."""
    if not isinstance(patch, dict):
        return edit(patch)
    return _merge(edit(target) if isinstance(target, dict) else {}, patch)


def _merge(result: dict[str, Any], patch: dict[str, Any]) -> dict[str, Any]:
    for name, value in patch.items():
        if value is None:
            result.pop(name, None)
        elif isinstance(value, dict):
            below = result.get(name)
            result[name] = _merge(below if isinstance(below, dict) else {}, value)
        else:
            result[name] = edit(value)
    return result
