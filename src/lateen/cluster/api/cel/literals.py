"""Typed literals of mutation policies, ``Object.spec{replicas: 1}`` and ``JSONPatch{op: "add"}``, as the maps that they are. Pure.

The evaluator knows no types of Kubernetes' objects; what a literal makes is checked by the object's own schema afterwards.
"""

from __future__ import annotations

import json
import re

_ESCAPES = (("__underscores__", "__"), ("__dot__", "."), ("__dash__", "-"), ("__slash__", "/"))
# Texts and comments pass as they are; an opening brace may belong to a literal.
_TOKEN = re.compile(
    r"""(?P<text>[rRbB]{0,2}(?:\"{3}.*?\"{3}|'{3}.*?'{3}|"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*')|//[^\n]*)"""
    r"""|(?P<literal>\b(?:Object(?:\s*\.\s*\w+)*|JSONPatch)\s*\{)|(?P<open>[({\[])|(?P<close>[)}\]])|(?P<comma>,)""",
    re.DOTALL,
)
_FIELD = re.compile(r"(?:\s|//[^\n]*\n)*(\??)\s*([A-Za-z_]\w*)\s*:")


def plain(text: str) -> str:
    """The expression with maps in the place of typed literals."""
    parts: list[str] = []
    stack: list[bool] = []  # whether each open bracket is a literal's
    at = 0
    while (found := _TOKEN.search(text, at)) is not None:
        parts.append(text[at : found.start()])
        at = found.end()
        kind = found.lastgroup
        parts.append("{" if kind == "literal" else found[0])
        if kind in ("literal", "open"):
            stack.append(kind == "literal")
        elif kind == "close" and stack:
            stack.pop()
        if kind in ("literal", "comma") and stack and stack[-1] and (name := _FIELD.match(text, at)) is not None:
            parts.append(f"{name[1]}{json.dumps(field(name[2]))}:")
            at = name.end()
    return "".join(parts) + text[at:]


def field(name: str) -> str:
    """A field's own name, of the one that an expression must write: ``__namespace__`` is ``namespace``."""
    for escape, char in _ESCAPES:
        name = name.replace(escape, char)
    return name[2:-2] if name.startswith("__") and name.endswith("__") and len(name) > 4 else name
