"""The application file as a whole, and the application it means in one environment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from pydantic import Field

from lateen.kube.yamltext import Node, locate
from lateen.model.base import Model
from lateen.model.service import Service
from lateen.model.types import Name


class Listener(Model):
    """A port a gateway listens on."""

    port: int = Field(default=80, ge=1, le=65535, description="The port.")
    protocol: Literal["http"] = Field(default="http", description="What is spoken on it.")


class Gateway(Model):
    """Where traffic enters from outside."""

    short: ClassVar[dict[str, Any]] = {"type": "null"}

    class_: str = Field(default="lateen", alias="class", description="The GatewayClass.")
    listeners: list[Listener] = Field(
        default_factory=lambda: [Listener.model_validate({})], min_length=1, description="The ports it listens on. Default: 80."
    )

    @classmethod
    def expand(cls, value: Any) -> Any:
        return {} if value is None else value


class Environment(Model):
    """What differs in one environment (`lateen up --env NAME`)."""

    short: ClassVar[dict[str, Any]] = {"type": "null"}

    from_: Name | None = Field(default=None, alias="from", description="An environment to start from.")
    cluster: str | None = Field(default=None, description="The context of the kubeconfig, or `embedded`.")
    namespace: Name | None = Field(default=None, description="Default: APP-ENVIRONMENT.")
    domain: str | None = Field(default=None, description="The value of `${env.domain}`.")
    defaults: Service = Field(default_factory=Service, description="Laid over `defaults`.")
    services: dict[Name, Service] = Field(default={}, description="Laid over `services`; an empty value removes the service.")

    @classmethod
    def expand(cls, value: Any) -> Any:
        return {} if value is None else value


class App(Model):
    """The application file, `lateen.yaml`."""

    api_version: Literal["lateen.dev/v1"] = Field(default="lateen.dev/v1", description="The version of this format.")
    name: Name = Field(description="The application's name; its namespace, unless an environment says otherwise.")
    version: str | None = Field(default=None, description="The application's version.")
    owner: str | None = Field(default=None, description="Who answers for it.")
    registry: str | None = Field(default=None, description="Where built images go: REGISTRY/APP/SERVICE. Default: they stay local.")
    defaults: Service = Field(default_factory=Service, description="Laid under every service.")
    services: dict[Name, Service] = Field(description="The services.")
    environments: dict[Name, Environment] = Field(default={}, description="What differs where.")
    gateways: dict[Name, Gateway] = Field(
        default_factory=lambda: {"default": Gateway.model_validate({})},
        description="Where traffic enters. Default: one, `default`.",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Application:
    """What is to run: the application with overlays, environment and defaults merged. Made by ``model.load``."""

    spec: App
    environment: str
    namespace: str
    domain: str = ""
    cluster: str = ""
    tree: Node

    @property
    def name(self) -> str:
        """The application's name."""
        return self.spec.name

    @property
    def services(self) -> Mapping[str, Service]:
        """The services by name, in the order of the file."""
        return self.spec.services

    def image(self, service: str) -> str:
        """The reference of a service's image: its own, or the name that a build of it gets (no tag)."""
        return self.services[service].image or "/".join(p for p in (self.spec.registry, self.name, service) if p)

    def where(self, *path: str | int) -> str:
        """The ``file:line:column`` of a value, or of the nearest thing around it."""
        node, _ = locate(self.tree, path)
        return str(node.key or node.mark)
