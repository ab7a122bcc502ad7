"""Template code in YAML: objects are dumped with placeholders where code belongs, then every placeholder gives way to its code.

So the YAML of a template is as well-formed as any other, and whatever looks like code in the user's own texts is escaped.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from lateen.kube.yamltext import dump

_HOLE = re.compile(r"lateen-hole-\d+-z9q")
_ALONE = re.compile(r"( *)((?:- )*)(lateen-hole-\d+-z9q)(: null)?")
_VALUE = re.compile(r"( *(?:- )*)(.*?:|-) (lateen-hole-\d+-z9q)")
_INDENT = re.compile(r"@(\d+)@")


@dataclass(frozen=True, slots=True)
class _Hole:
    kind: str  # value, block or lines
    code: str
    pipe: str = ""


@dataclass(slots=True)
class Holes:
    """The code of one chart. Equal code has one placeholder, so objects that differ in nothing else are equal."""

    _known: dict[_Hole, str] = field(default_factory=dict)
    _codes: dict[str, _Hole] = field(default_factory=dict)
    _raw: dict[tuple[str, str], Any] = field(default_factory=dict)

    def value(self, code: str, pipe: str = "quote") -> str:
        """A scalar; ``pipe`` makes YAML of it, and is left out inside a longer text."""
        return self._of(_Hole("value", code, pipe))

    def block(self, code: str) -> str:
        """A map or a list, the value of a key."""
        return self._of(_Hole("block", code))

    def lines(self, code: str) -> str:
        """Whole lines: a key of a map with the value None, or an item of a list. ``@2@`` is their indentation plus two."""
        return self._of(_Hole("lines", code))

    def _of(self, hole: _Hole) -> str:
        name = self._known.setdefault(hole, f"lateen-hole-{len(self._known)}-z9q")
        self._codes[name] = hole
        return name

    def remember(self, hole: str, variant: str, raw: Any) -> str:
        """What stood where the hole is now, for a part of an object that goes to the values as a whole."""
        self._raw[hole, variant] = raw
        return hole

    def without(self, value: Any, variant: str) -> Any:
        """The value as it was before any hole was made in it."""
        if isinstance(value, str):
            whole = self._raw.get((value, variant))
            return whole if whole is not None else _HOLE.sub(lambda m: str(self._raw.get((m[0], variant), "")), value)
        if isinstance(value, list):
            return [self.without(v, variant) for v in value if not self._nothing(v, variant)]
        if not isinstance(value, dict):
            return value
        result: dict[str, Any] = {}
        for key, inner in value.items():
            if not _HOLE.fullmatch(key):
                result[key] = self.without(inner, variant)
            else:
                result |= self._raw.get((key, variant)) or {}
        return result

    def _nothing(self, value: Any, variant: str) -> bool:
        """Whether an item of a list is code that stands for nothing of the plain object."""
        return is_hole(value) and (value, variant) not in self._raw

    def template(self, objects: Sequence[Any]) -> str:
        """The objects as the text of a template."""
        return self.filled(escaped(dump(objects)))

    def filled(self, text: str) -> str:
        """The text with code for every placeholder."""
        return "".join(self._line(line) + "\n" for line in text.splitlines())

    def _line(self, line: str) -> str:
        if "lateen-hole-" not in line:
            return line
        if (alone := _ALONE.fullmatch(line)) and self._codes[alone[3]].kind == "lines":
            return self._lines(alone[1], self._codes[alone[3]].code)
        if found := _VALUE.fullmatch(line):
            hole = self._codes[found[3]]
            if hole.kind == "block":
                return (
                    f"{found[1]}{found[2]}\n{' ' * (len(found[1]) + 2)}{{{{- toYaml {hole.code} | nindent {len(found[1]) + 2} }}}}"
                )
            return f"{found[1]}{found[2]} {{{{ {hole.code}{' | ' + hole.pipe if hole.pipe else ''} }}}}"
        return _HOLE.sub(lambda m: f"{{{{ {self._codes[m[0]].code} }}}}", line)

    def _lines(self, indent: str, code: str) -> str:
        deeper = _INDENT.sub(lambda m: str(len(indent) + int(m[1])), code)
        return "\n".join(self._line(indent + line) for line in deeper.rstrip("\n").split("\n"))


def is_hole(value: Any) -> bool:
    """Whether a text is a placeholder and nothing else."""
    return isinstance(value, str) and _HOLE.fullmatch(value) is not None


def escaped(text: str) -> str:
    """The text, such that the template engine gives it back as it is."""
    return text.replace("{{", '{{ "{{" }}')


def reference(root: str, path: Sequence[str]) -> str:
    """The value at a path, as template code."""
    if all(re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", part) for part in path):
        return ".".join([root, *path])
    return f"(index {root} {' '.join(quoted(part) for part in path)})"


def quoted(text: str) -> str:
    """A string in template code."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
