"""Variables in a Compose file (``$NAME``, ``${NAME:-default}``, ``:?error``, ``:+other``, ``$$``), and ``.env`` files."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace

from lateen.kube.yamltext import Node, fault

_NAME = re.compile(r"[_a-zA-Z][_a-zA-Z0-9]*")
_OPERATOR = re.compile(r":-|:\?|:\+|-|\?|\+")
_LINE = re.compile(r"\s*(?:export\s+)?([_a-zA-Z][-_.a-zA-Z0-9]*)\s*(?:[=:]\s*(.*))?$")
_ESCAPES = {"n": "\n", "r": "\r", "t": "\t"}


def interpolated(node: Node, variables: Mapping[str, str], missing: dict[str, Node]) -> Node:
    """The tree with every variable replaced. ``missing`` collects those that have no value, and where. InputError."""
    if isinstance(node.data, dict):
        return replace(node, data={k: interpolated(v, variables, missing) for k, v in node.data.items()})
    if isinstance(node.data, list):
        return replace(node, data=[interpolated(v, variables, missing) for v in node.data])
    if not isinstance(node.data, str) or "$" not in node.data:
        return node
    text = substituted(node.data, variables, node, missing)
    return replace(node, data=text, text=text)


def substituted(text: str, variables: Mapping[str, str], place: Node, missing: dict[str, Node]) -> str:
    """``text`` with its variables replaced."""
    result, at = [], 0
    while (dollar := text.find("$", at)) >= 0:
        result.append(text[at:dollar])
        if text.startswith("$$", dollar):
            result.append("$")
            at = dollar + 2
        elif text.startswith("${", dollar):
            end = _closing(text, dollar + 2)
            if end < 0:
                raise fault(f"invalid interpolation: {text[dollar:]!r} has no end", place.mark, "write $$ for a plain $")
            result.append(_braced(text[dollar + 2 : end], variables, place, missing))
            at = end + 1
        elif name := _NAME.match(text, dollar + 1):
            result.append(_value(name[0], variables, place, missing))
            at = name.end()
        else:
            raise fault(f"invalid interpolation in {text!r}: a lone $", place.mark, "write $$ for a plain $")
    return "".join(result) + text[at:]


def _closing(text: str, start: int) -> int:
    depth, at = 1, start
    while at < len(text):
        if text.startswith("${", at):
            depth, at = depth + 1, at + 1
        elif text[at] == "}":
            depth -= 1
            if depth == 0:
                return at
        at += 1
    return -1


def _braced(inner: str, variables: Mapping[str, str], place: Node, missing: dict[str, Node]) -> str:
    name = _NAME.match(inner)
    if name is None:
        raise fault(f"invalid interpolation: ${{{inner}}} names no variable", place.mark)
    rest = inner[name.end() :]
    if not rest:
        return _value(name[0], variables, place, missing)
    operator = _OPERATOR.match(rest)
    if operator is None:
        raise fault(f"invalid interpolation: ${{{inner}}}", place.mark, "known: ${NAME:-default}, ${NAME:?error}, ${NAME:+other}")
    value, other = variables.get(name[0]), rest[operator.end() :]
    given = value is not None and (value != "" or ":" not in operator[0])
    if operator[0].endswith("+"):
        return substituted(other, variables, place, missing) if given else ""
    if given:
        return value or ""
    if operator[0].endswith("?"):
        raise fault(f"the variable {name[0]} is not set: {substituted(other, variables, place, missing)}", place.mark)
    return substituted(other, variables, place, missing)


def _value(name: str, variables: Mapping[str, str], place: Node, missing: dict[str, Node]) -> str:
    if name not in variables:
        missing.setdefault(name, place)
    return variables.get(name, "")


def env_file(text: str, variables: Mapping[str, str], place: Node) -> dict[str, str | None]:
    """The variables of an ``.env`` file. One without a value takes the environment's; None if that has none."""
    found: dict[str, str | None] = {}
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        match = _LINE.match(line)
        if match is None:
            raise fault(f"line {number} of the env file is neither NAME=VALUE nor a comment: {line!r}", place.mark)
        known = {**{k: v for k, v in found.items() if v is not None}, **variables}
        found[match[1]] = variables.get(match[1]) if match[2] is None else _unquoted(match[2].strip(), known, place)
    return found


def _unquoted(value: str, variables: Mapping[str, str], place: Node) -> str:
    if value[:1] == "'" and (end := value.find("'", 1)) > 0:
        return value[1:end]
    if value[:1] == '"' and (quoted := re.match(r'"((?:[^"\\]|\\.)*)"', value)):
        value = re.sub(r"\\(.)", lambda m: _ESCAPES.get(m[1], m[1]), quoted[1])
    else:
        value = re.split(r"\s+#", value, maxsplit=1)[0].rstrip()
    return substituted(value, variables, place, {})
