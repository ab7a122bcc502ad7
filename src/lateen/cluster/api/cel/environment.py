"""Expressions compiled and run. Imported lazily where it counts: most clusters have no expression at all."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any


class CelError(Exception):
    """An expression that cannot be compiled, or that ended in an error."""


class Program:
    """One compiled expression."""

    def __init__(self, text: str, compiled: Any) -> None:
        self.text, self._compiled = text, compiled

    @property
    def gives(self) -> str:
        """The type that it gives, as far as it is known: ``BOOL``, ``STRING``, ``DYN``."""
        return str(self._compiled.return_type().name())

    def run(self, data: Mapping[str, Any]) -> Any:
        """Its value as plain data. CelError."""
        result = self._compiled.eval(data=data)
        if result.type().name() == "ERROR":
            raise CelError(_words(str(result.value())))
        return result.plain_value()


def _words(error: str) -> str:
    """An error as cel-go words the frequent ones."""
    code, _, rest = error.partition(": ")
    text = rest if code.isupper() and rest else error
    if text.startswith("Key not found in map"):
        return f"no such key: {text.rpartition(':')[2].strip().strip(chr(34))}"
    return text.replace("No matching overloads found", "no such overload")


@cache
def _environment(variables: tuple[str, ...]) -> Any:
    from cel_expr_python import cel
    from cel_expr_python.ext import ext_bindings, ext_encoders, ext_math, ext_optional, ext_strings

    from lateen.cluster.api.cel.library import extension

    standard = [
        ext_strings.ExtStrings(),
        ext_optional.ExtOptional(),
        ext_bindings.ExtBindings(),
        ext_math.ExtMath(),
        ext_encoders.ExtEncoders(),
    ]
    return cel.NewEnv(variables=dict.fromkeys(variables, cel.Type.DYN), extensions=[*standard, extension()])


def compiled(text: str, variables: tuple[str, ...]) -> Program:
    """The program of an expression that may name ``variables``, all of any type. CelError."""
    try:
        return Program(text, _environment(variables).compile(text))
    except RuntimeError as error:
        first = str(error).replace("INVALID_ARGUMENT: ", "").replace(" [INVALID_ARGUMENT]", "").strip()
        raise CelError(f"compilation failed: {first}") from error
