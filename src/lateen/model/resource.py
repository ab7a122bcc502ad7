"""Backing services: databases, queues, buckets. Their types, and the typed outputs that services refer to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from pydantic import Field

from lateen.model.base import Model
from lateen.model.types import ImageReference, Name, Quantity, Text

Type = Literal["postgres", "mysql", "redis", "rabbitmq", "mongodb", "nats", "kafka", "s3"]
SECRET_OUTPUTS = ("password", "url")
"""Outputs that only a reference to a Secret may carry."""


@dataclass(frozen=True, slots=True)
class Kind:
    """What there is to know of a type: its port, the scheme of its URL, the outputs it has."""

    port: int
    scheme: str
    outputs: tuple[str, ...]


_SERVER, _LOGIN = ("host", "port", "url"), ("host", "port", "user", "password", "url")
KINDS: Mapping[str, Kind] = {
    "postgres": Kind(5432, "postgresql", (*_LOGIN, "database")),
    "mysql": Kind(3306, "mysql", (*_LOGIN, "database")),
    "mongodb": Kind(27017, "mongodb", (*_LOGIN, "database")),
    "redis": Kind(6379, "redis", ("host", "port", "password", "url")),
    "rabbitmq": Kind(5672, "amqp", _LOGIN),
    "nats": Kind(4222, "nats", _SERVER),
    "kafka": Kind(9092, "kafka", _SERVER),
    "s3": Kind(9000, "http", (*_LOGIN, "bucket")),
}


class Resource(Model):
    """A backing service. `cluster`: lateen runs one; `external`: it exists, and `outputs` and `secret` say how to reach it."""

    type: Type | None = Field(default=None, description="What it is. Required.")
    class_: Literal["cluster", "external"] = Field(default="cluster", alias="class", description="Who runs it.")
    version: Text | None = Field(default=None, description="Its version, the tag of its image.")
    image: ImageReference | None = Field(default=None, description="The image to run. Default: the official one of its type.")
    size: Quantity = Field(default="1Gi", description="The size of its volume.")
    params: dict[str, Text] = Field(default={}, description="Settings, as environment variables of its container.")
    outputs: dict[str, Text] = Field(default={}, description="For `external`: host, port, user, database ...; never secrets.")
    secret: Name | None = Field(
        default=None, description="The Secret with the keys password and url (also user). Default: NAME-credentials, made by `up`."
    )

    @property
    def kind(self) -> Kind:
        """Port, scheme and outputs of its type."""
        assert self.type is not None  # model.check
        return KINDS[self.type]
