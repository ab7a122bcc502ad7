"""The root of every model class: strict, frozen, camelCase in the file, with an optional short form.

A class with a short form (``ports: {http: 8080}``) expands it to its full form before validation, so that positions and messages
have one shape and there are no unions to explain.
"""

from __future__ import annotations

from typing import Any, ClassVar, NoReturn

from pydantic import BaseModel, ConfigDict, GetJsonSchemaHandler, model_validator
from pydantic.alias_generators import to_camel
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, PydanticCustomError


def wrong(message: str, hint: str = "") -> NoReturn:
    """Refuse a value. The message takes the place of pydantic's; the position is added by ``model.problems``."""
    raise PydanticCustomError("lateen", "{message}", {"message": message, "hint": hint})


class Model(BaseModel):
    """Unknown fields are errors; an empty value (``ports:``) means the default."""

    # In Python, fields go by their own names, too: ``Service(working_dir=...)``. Files are held to the names of the schema.
    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        alias_generator=to_camel,
        regex_engine="python-re",
        validate_by_name=True,
        validate_by_alias=True,
    )

    short: ClassVar[dict[str, Any] | None] = None
    """JSON Schema of the short form, or None."""
    expects: ClassVar[str] = "a map"
    """What may be written, for the message to somebody who wrote something else."""

    @classmethod
    def expand(cls, value: Any) -> Any:
        """The full form of a short one; anything else as it is."""
        return value

    @model_validator(mode="before")
    @classmethod
    def _prepare(cls, value: Any) -> Any:
        value = cls.expand(value)
        return {k: v for k, v in value.items() if v is not None} if isinstance(value, dict) else value

    @classmethod
    def __get_pydantic_json_schema__(cls, core: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        full = handler.resolve_ref_schema(handler(core))
        return full if cls.short is None else {"description": full.pop("description", ""), "anyOf": [cls.short, full]}
