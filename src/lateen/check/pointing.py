"""Finds the place of a field in plain block YAML by its lines alone: fifty times faster than composing the document anew.

Only what is unmistakable is answered; anything else (flow style, anchors, quotes, text over several lines) is None, and
``check.reading`` then asks the YAML parser. Both give the same places: a test compares them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from lateen.check.manifest import Path

Place = tuple[int, int, int]
"""Line, column and length, 0-based."""
_KEY = re.compile(r"([A-Za-z0-9_][^\s:#,\[\]{}]*):(?:\s+(.*))?$")
_UNCLEAR = re.compile(r"<<:|(^|\s)[&*!]\S|\t|^\s*\?\s|\r", re.MULTILINE)
_ODD_VALUE = tuple("&*!|>{[\"'%@`#?")


@dataclass(slots=True)
class Lines:
    """The lines of one document."""

    lines: list[str]

    @classmethod
    def of(cls, text: str) -> Lines | None:
        """None when the document has anything that lines alone do not tell."""
        if _UNCLEAR.search(text):
            return None
        lines = text.split("\n")
        if lines[0].startswith("---"):
            if lines[0].strip() != "---":
                return None
            lines[0] = ""
        return cls(lines)

    def find(self, path: Path) -> Place | None:
        """The place of ``path``, or of the nearest thing around it that exists; None when it is not clear."""
        line = self._content(0)
        if line is None or self._indent(line) != 0:
            return None
        column, first, place = 0, "", (line, 0, len(self.lines[line].rstrip()))
        for depth, step in enumerate(path):
            found = self._key(line, column, first, step) if isinstance(step, str) else self._item(line, column, step)
            if found is None:
                return place
            line, column, first, place, value = found
            if value is _ODD or (value and depth < len(path) - 1):
                return None
            if value:
                return place
            if isinstance(step, str):
                below = self._content(line + 1)
                dash = below is not None and self.lines[below].lstrip().startswith("-")
                if below is None or self._indent(below) < column + (not dash):
                    return place if depth < len(path) - 1 else None  # the key has no value
                line, column, first = below, self._indent(below), ""
        return place

    def _key(self, line: int, column: int, first: str, name: str) -> tuple[int, int, str, Place, str] | None:
        """(line, column, "", place, value) of a key of the map that begins at ``line``; ``first`` is that line without a dash."""
        at: int | None = line
        while at is not None:
            text = first if at == line and first else self.lines[at]
            indent = len(text) - len(text.lstrip(" "))
            if indent < column:
                return None
            if indent == column and not text.startswith("-", column):  # a dash here: the list of the key before
                entry = _KEY.match(text[column:])
                if entry is None:
                    return (at, column, "", (at, column, 1), _ODD)
                if entry[1] == name:
                    return (at, column, "", *self._value(at, column, entry[1], entry[2] or ""))
            at = self._content(at + 1)
        return None

    def _value(self, line: int, column: int, name: str, value: str) -> tuple[Place, str]:
        """Where a finding at the key points: at the value when that is a plain word, else at the key."""
        value = value.rstrip()
        after = self._content(line + 1)
        runs_on = bool(value) and after is not None and self._indent(after) > column
        if runs_on or value.startswith(_ODD_VALUE) or " #" in value:
            return (line, column, len(name)), _ODD
        if value:
            return (line, self.lines[line].index(value, column + len(name) + 1), len(value)), value
        return (line, column, len(name)), ""

    def _item(self, line: int, column: int, index: int) -> tuple[int, int, str, Place, str] | None:
        """The same of an item of the list that begins at ``line``."""
        at: int | None = line
        count = -1
        while at is not None:
            text = self.lines[at]
            indent = len(text) - len(text.lstrip(" "))
            if indent < column or (indent == column and not text.startswith("-", column)):
                return None
            if indent == column:
                count += 1
                if count == index:
                    return self._inside(at, column, text)
            at = self._content(at + 1)
        return None

    def _inside(self, line: int, column: int, text: str) -> tuple[int, int, str, Place, str]:
        rest = text[column + 1 :]
        inner = column + 1 + len(rest) - len(rest.lstrip(" "))
        if not rest.strip() or _KEY.match(text[inner:]) is None:
            return (line, column, "", (line, inner, 1), _ODD)
        return (line, inner, " " * inner + text[inner:], (line, inner, max(1, len(text.rstrip()) - inner)), "")

    def _content(self, line: int) -> int | None:
        """The first line from ``line`` on that is neither empty nor a comment."""
        for i in range(line, len(self.lines)):
            text = self.lines[i].lstrip(" ")
            if text and not text.startswith("#"):
                return i
        return None

    def _indent(self, line: int) -> int:
        text = self.lines[line]
        return len(text) - len(text.lstrip(" "))


_ODD = "\0"
