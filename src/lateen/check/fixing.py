"""Carries safe changes into YAML text: comments, order and quotes stay. Pure: the CLI reads and writes the files.

Only the document that is changed is written anew; every other byte of the file stays as it is.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from io import StringIO
from typing import Any

from lateen.check.finding import Edit, Finding
from lateen.check.manifest import Manifest


def fixable(findings: Sequence[Finding]) -> dict[int, tuple[Manifest, list[Edit]]]:
    """The changes by manifest, for manifests that stand in a text."""
    found: dict[int, tuple[Manifest, list[Edit]]] = {}
    for f in findings:
        if f.edits and f.manifest is not None and f.manifest.span is not None:
            found.setdefault(id(f.manifest), (f.manifest, []))[1].extend(f.edits)
    return found


def fixed(text: str, changes: Sequence[tuple[Manifest, Sequence[Edit]]]) -> str:
    """``text`` with the changes, all of manifests that were read from it."""
    spans: dict[tuple[int, int], list[Edit]] = {}
    for manifest, edits in changes:
        assert manifest.span is not None
        below = [Edit((*manifest.prefix, *e.path), e.value) for e in edits]
        spans.setdefault(manifest.span, []).extend(below)
    for (start, end), edits in sorted(spans.items(), reverse=True):
        text = text[:start] + _document(text[start:end], edits) + text[end:]
    return text


def _document(part: str, edits: Sequence[Edit]) -> str:
    from ruamel.yaml import YAML

    head = re.match(r"---[^\n]*\n", part)
    before = head.group(0) if head else ""
    yaml = YAML()
    yaml.preserve_quotes, yaml.width = True, 1_000_000
    if re.search(r"^( *)[\w.\-/]+:\s*\n\1 +- ", part, re.MULTILINE):
        yaml.indent(mapping=2, sequence=4, offset=2)
    data = yaml.load(part[len(before) :])
    for edit in edits:
        _apply(data, edit)
    out = StringIO()
    yaml.dump(data, out)
    return before + out.getvalue()


def _apply(data: Any, edit: Edit) -> None:
    *steps, last = edit.path
    at: Any = data
    for step in steps:
        if isinstance(at, dict) and at.get(step) is None:
            at[step] = {}
        at = at[step]
    if edit.value is None:
        if last in at:
            del at[last]
    else:
        at[last] = edit.value
