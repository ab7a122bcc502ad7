"""From pydantic's errors to messages a person can act on: what is wrong, where, and the nearest valid word."""

from __future__ import annotations

import difflib
import typing
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ValidationError

from lateen.errors import InputError
from lateen.kube.yamltext import Node, fault, locate

Path = tuple[str | int, ...]
_PARTIAL = ("defaults", "environments")  # these repeat what services have


@dataclass(frozen=True, slots=True)
class Problem:
    """A fault at a path of the model. ``at_key`` points at the key instead of the value."""

    path: Path
    message: str
    hint: str = ""
    at_key: bool = False


def nearest(word: str, known: Iterable[str]) -> str:
    """``did you mean 'x'?``, or the known words when none is near, or nothing when there are none."""
    choices = list(known)
    if found := difflib.get_close_matches(word, choices, n=1, cutoff=0.6):
        return f"did you mean {found[0]!r}?"
    return f"known: {', '.join(choices)}" if choices else ""


def from_validation(error: ValidationError, model: type[BaseModel]) -> list[Problem]:
    """One Problem for each of pydantic's errors."""
    return [_problem(dict(e), model) for e in error.errors(include_url=False)]


def input_errors(problems: Iterable[Problem], root: Node) -> list[InputError]:
    """The problems at their places, in the order of the files, one per place and kind."""
    found: dict[tuple[Any, ...], InputError] = {}
    for problem in problems:
        node, depth = locate(root, problem.path)
        mark = node.key if node.key and (problem.at_key or depth < len(problem.path)) else node.mark
        key = (mark.source.name, mark.line, mark.column, problem.message.partition(" ")[2])
        found.setdefault(key, fault(problem.message, mark, problem.hint))
    return [found[key] for key in sorted(found)]


def dotted(path: Sequence[str | int]) -> str:
    """``services.web.routes[0].path``."""
    text = ""
    for step in path:
        text += f"[{step}]" if isinstance(step, int) else f".{step}" if text else str(step)
    return text


def _problem(error: dict[str, Any], model: type[BaseModel]) -> Problem:
    path: Path = tuple(error["loc"])
    at_key = bool(path) and path[-1] == "[key]"
    path = path[:-1] if at_key else path
    name, context, given = dotted(path) or "the file", error.get("ctx") or {}, error.get("input")
    match error["type"]:
        case "lateen":
            return Problem(path, f"{name}: {context['message']}", context.get("hint", ""), at_key)
        case "extra_forbidden":
            around = dotted(path[:-1]) or "the file"
            return Problem(path, f"{around} has no field {str(path[-1])!r}", _field_hint(model, path), True)
        case "missing":
            return Problem(path, f"{dotted(path[:-1]) or 'the file'} needs the field {str(path[-1])!r}")
        case "literal_error":
            words = [w.strip("'") for w in context["expected"].replace(" or ", ", ").split(", ")]
            return Problem(path, f"{name}: {given!r} is not one of {', '.join(words)}", _did_you_mean(given, words))
        case "model_type" | "model_attributes_type":
            expects = getattr(_kind_at(model, path), "expects", "a map")
            return Problem(path, f"{name}: expected {expects}, found {_described(given)}")
        case kind:
            return Problem(path, f"{name}: {_expected(kind, error['msg'])}, found {_described(given)}", _quote_hint(kind, given))


_EXPECTED = {
    "string_type": "expected text",
    "int_type": "expected a whole number",
    "int_parsing": "expected a whole number",
    "int_from_float": "expected a whole number",
    "bool_type": "expected true or false",
    "bool_parsing": "expected true or false",
    "dict_type": "expected a map",
    "list_type": "expected a list",
}


def _expected(kind: str, message: str) -> str:
    return _EXPECTED.get(kind) or message[:1].lower() + message[1:]


def _described(value: Any) -> str:
    names = {dict: "a map", list: "a list", bool: "true or false", type(None): "nothing"}
    return names.get(type(value)) or (f"the text {value!r}" if isinstance(value, str) else f"the number {value}")


def _quote_hint(kind: str, value: Any) -> str:
    return "put it in quotes" if kind == "string_type" and isinstance(value, bool | int | float) else ""


def _did_you_mean(given: Any, words: Sequence[str]) -> str:
    return nearest(given, words) if isinstance(given, str) and difflib.get_close_matches(given, words, n=1) else ""


def _kind_at(model: type[BaseModel], path: Path) -> Any:
    kind: Any = model
    for step in path:
        kind = _inner(kind, step)
    return _plain(kind)


def _field_hint(model: type[BaseModel], path: Path) -> str:
    """The nearest field here; else the place where a field of that name belongs; else the fields that there are."""
    word, here = str(path[-1]), _fields(model, path[:-1])
    elsewhere = _places(model)
    if not difflib.get_close_matches(word, here, n=1) and (found := difflib.get_close_matches(word, elsewhere, n=1, cutoff=0.8)):
        return f"{found[0]!r} belongs under {elsewhere[found[0]]}"
    return nearest(word, here)


def _places(model: type[BaseModel]) -> dict[str, str]:
    """Where each field below ``model`` belongs, the uppermost place first: ``replicas`` -> ``services.NAME``."""
    found: dict[str, str] = {}
    queue: list[tuple[Any, str]] = [(model, "")]
    for kind, place in queue:
        for name, info in kind.model_fields.items():
            field = info.alias or name
            found.setdefault(field, place or "the top of the file")
            inner, deeper = _plain(info.annotation), ".".join(p for p in (place, field) if p)
            if typing.get_origin(inner) in (dict, list):
                deeper += ".NAME" if typing.get_origin(inner) is dict else "[]"
                inner = _plain(_inner(inner, 0))
            if _is_model(inner) and field not in _PARTIAL:
                queue.append((inner, deeper))
    return found


def _fields(model: type[BaseModel], path: Path) -> list[str]:
    """The field names valid at ``path``."""
    kind = _kind_at(model, path)
    return [f.alias or n for n, f in kind.model_fields.items()] if _is_model(kind) else []


def _inner(kind: Any, step: str | int) -> Any:
    kind = _plain(kind)
    if _is_model(kind):
        return next((f.annotation for n, f in kind.model_fields.items() if step in (f.alias, n)), None)
    arguments = typing.get_args(kind)
    return arguments[-1] if arguments else None


def _plain(kind: Any) -> Any:
    """Without Annotated and ``| None``."""
    arguments = [a for a in typing.get_args(kind) if a is not type(None)]
    if typing.get_origin(kind) not in (dict, list) and arguments:
        return _plain(arguments[0])
    return kind


def _is_model(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, BaseModel)
