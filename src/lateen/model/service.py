"""A service, as a user declares it: what runs, how it is configured, reached, kept healthy, and what it needs.

Field names are the public vocabulary of ``lateen.yaml``; a later version adds fields, it never renames them. Fields are optional
here because a service may be partial (``defaults``, overlays); ``model.check`` judges whole applications.
"""

from __future__ import annotations

import re
from typing import Any, ClassVar, Literal

from pydantic import Field

from lateen.model.base import Model, wrong
from lateen.model.types import (
    AbsolutePath,
    Duration,
    ImageReference,
    IntOrPercent,
    KeyReference,
    Mode,
    Name,
    PortName,
    Quantity,
    QuantityRange,
    Text,
    Variable,
)

Protocol = Literal["http", "http2", "grpc", "tcp", "udp", "tls"]


class Build(Model):
    """How to build the image from source. In short: the context folder."""

    short: ClassVar[dict[str, Any]] = {"type": "string", "description": "the context folder"}
    expects: ClassVar[str] = "a folder or a map"

    context: str = Field(default=".", description="The folder that holds the source, relative to the application file.")
    inputs: list[str] = Field(
        default=[], description="Globs below the context; only these files go into the image. Default: all of them."
    )
    base: ImageReference | None = Field(
        default=None, description="The image to lay the application on. Default: the root of the machine that builds."
    )
    dockerfile: Text | None = Field(
        default=None, description="Build by this Dockerfile instead, with buildah, podman or docker; relative to the context."
    )

    @classmethod
    def expand(cls, value: Any) -> Any:
        return {"context": value} if isinstance(value, str) else value


class EnvValue(Model):
    """The value of an environment variable: text (with `${...}` references), or where it comes from."""

    short: ClassVar[dict[str, Any]] = {"type": ["string", "number", "boolean"]}
    expects: ClassVar[str] = "text or a map"

    value: str | None = Field(
        default=None, description="Text; `${services.cart.http.url}`, `${env.name}` and `${secrets.db.password}` are replaced."
    )
    secret: KeyReference | None = Field(default=None, description="A key of a Secret in the namespace.")
    config: KeyReference | None = Field(default=None, description="A key of a ConfigMap in the namespace.")
    field: str | None = Field(default=None, description="A field of the pod, for example metadata.name.")

    @classmethod
    def expand(cls, value: Any) -> Any:
        return {"value": value} if isinstance(value, str) else value


class ConfigFile(Model):
    """A configuration file in the container. Exactly one of content, source and template."""

    content: str | None = Field(default=None, description="The file's text, as it is.")
    source: str | None = Field(default=None, description="A file to take the text from, relative to the application file.")
    template: str | None = Field(default=None, description="Text in which `${env.name}` and `${env.domain}` are replaced.")
    mode: Mode = Field(default=0o444, description="The file's mode, octal.", json_schema_extra={"default": "0444"})
    on_change: Literal["restart", "none"] = Field(
        default="restart", description="`restart`: a change starts new pods; `none`: the file changes under the running ones."
    )


class SecretSource(Model):
    """Where a secret comes from. It is never written in clear into the application file."""

    from_: str = Field(
        alias="from",
        description="`name/key` of a Secret in the namespace, or `file:PATH` (development: relative to the application file).",
    )
    optional: bool = Field(default=False, description="Start without it if it does not exist.")

    @property
    def file(self) -> str:
        """The path of a file source, else empty."""
        return self.from_[5:] if self.from_.startswith("file:") else ""


class Port(Model):
    """A port of the service. In short: its number."""

    short: ClassVar[dict[str, Any]] = {"type": "integer", "minimum": 1, "maximum": 65535}
    expects: ClassVar[str] = "a port number or a map"

    port: int = Field(ge=1, le=65535, description="The port others call.")
    target: int | None = Field(default=None, ge=1, le=65535, description="The port the application listens on. Default: the same.")
    protocol: Protocol = Field(default="http", description="What is spoken on it.")

    @classmethod
    def expand(cls, value: Any) -> Any:
        return {"port": value} if isinstance(value, int) and not isinstance(value, bool) else value

    @property
    def transport(self) -> str:
        """TCP or UDP."""
        return "UDP" if self.protocol == "udp" else "TCP"


_SHORT_PROBE = re.compile(r"(?:GET\s+(?P<get>/\S*))|(?:tcp:(?P<tcp>\S+))|(?:grpc:(?P<grpc>\S+))")


class Probe(Model):
    """A health check. In short: `GET /path[:port]`, `tcp:port` or `grpc:port[/service]`. A port is a name or a number."""

    short: ClassVar[dict[str, Any]] = {"type": "string", "pattern": r"^(GET\s+/|tcp:|grpc:)"}
    expects: ClassVar[str] = "GET /path, tcp:port, grpc:port or a map"

    get: str | None = Field(default=None, description="HTTP: /path[:port]; healthy when the answer is 2xx or 3xx.")
    tcp: int | str | None = Field(default=None, description="A port that must accept a connection.")
    grpc: int | str | None = Field(default=None, description="port[/service] of the gRPC health protocol.")
    exec: list[Text] | None = Field(default=None, min_length=1, description="A command that must exit with 0.")
    period: Duration = Field(default=10, description="Time between two checks.")
    timeout: Duration = Field(default=1, description="Time an answer may take.")
    failures: int = Field(default=3, ge=1, description="Failures in a row that mean unhealthy.")
    successes: int = Field(default=1, ge=1, description="Successes in a row that mean healthy.")
    delay: Duration = Field(default=0, description="Time before the first check.")

    @classmethod
    def expand(cls, value: Any) -> Any:
        if not isinstance(value, str):
            return value
        found = _SHORT_PROBE.fullmatch(value.strip())
        if found is None:
            wrong(f"{value!r} is not a health check", "write GET /path[:port], tcp:port, grpc:port[/service], or a map with exec")
        return {k: v for k, v in found.groupdict().items() if v}


class Health(Model):
    """Health checks of the container."""

    ready: Probe | None = Field(default=None, description="Whether it may receive traffic.")
    live: Probe | None = Field(default=None, description="Whether it still works; if not, it is restarted.")
    startup: Probe | None = Field(
        default=None, description="Whether it has started. Default: `ready`, every second, for as long as `rollout.deadline`."
    )


class Resources(Model):
    """What the container may use: a request, or request..limit."""

    cpu: QuantityRange | None = Field(default=None, description="CPU cores.")
    memory: QuantityRange | None = Field(default=None, description="Memory: 128Mi..256Mi.")
    ephemeral: QuantityRange | None = Field(default=None, description="Local disk.")


class Storage(Model):
    """A volume mounted into every replica."""

    size: Quantity = Field(description="Its size.")
    class_: str | None = Field(default=None, alias="class", description="The StorageClass. Default: the cluster's.")
    mode: Literal["rwo", "rwx", "rox"] = Field(
        default="rwo", description="Mounted by one node (rwo), by many (rwx), by many read-only (rox)."
    )
    retain: bool = Field(default=True, description="Keep the volume when the service is removed.")
    ephemeral: bool = Field(default=False, description="A scratch volume that lives as long as the pod.")


class Route(Model):
    """A way in from outside: requests to a host and path reach the service."""

    host: str | None = Field(
        default=None, description="The host name, `*.` for a wildcard; `${env.domain}` is replaced. Default: any."
    )
    path: str = Field(default="/", pattern="^/", description="The path to match.")
    match: Literal["prefix", "exact", "regex"] = Field(default="prefix", description="How the path matches.")
    port: PortName | None = Field(default=None, description="The service's port. Default: its first.")
    timeout: Duration | None = Field(default=None, description="How long a request may take.")
    gateway: Name = Field(default="default", description="The gateway to enter through.")


class Need(Model):
    """A call to another service of the application. Its address is injected: CART_URL."""

    short: ClassVar[dict[str, Any]] = {"type": "null"}

    port: PortName | None = Field(default=None, description="The port to call. Default: its first.")
    order: Literal["none", "ready"] = Field(default="ready", description="`ready`: start after the needed service is ready.")
    optional: bool = Field(default=False, description="Work without it: no order, and no error if it does not exist.")

    @classmethod
    def expand(cls, value: Any) -> Any:
        return {} if value is None else value


class Rollout(Model):
    """How a new version replaces the old one."""

    strategy: Literal["rolling", "recreate"] = Field(
        default="rolling", description="Pod by pod, or all at once after stopping the old ones."
    )
    surge: IntOrPercent = Field(default="25%", description="Pods that may exist beyond the wanted count.")
    unavailable: IntOrPercent = Field(default=0, description="Pods that may be missing meanwhile.")
    min_ready: Duration | None = Field(
        default=None, description="How long a new pod must be ready before it counts. Default: 2s without `health.ready`, else 0."
    )
    deadline: Duration = Field(default=600, description="Without progress for so long, the rollout has failed.")


class Availability(Model):
    """How the service stays up while nodes and pods come and go."""

    spread: Literal["host", "zone", "none"] = Field(
        default="host", description="Spread replicas over hosts or zones, where possible."
    )
    min_available: IntOrPercent | None = Field(
        default=None, description="Replicas that must stay up in a disruption. Default: all but one."
    )
    grace: Duration = Field(default=30, description="Time a pod has to finish its work after SIGTERM.")


class Service(Model):
    """One service of the application."""

    short: ClassVar[dict[str, Any]] = {"type": "null"}

    kind: Literal["web", "worker"] | None = Field(default=None, description="Default: web if it has ports, else worker.")
    image: ImageReference | None = Field(default=None, description="The image to run; beside `build`, the name to push to.")
    build: Build | None = Field(default=None, description="Build the image from source.")
    command: list[Text] | None = Field(default=None, description="The program to run instead of the image's.")
    args: list[Text] | None = Field(default=None, description="Its arguments.")
    working_dir: AbsolutePath | None = Field(default=None, description="The folder to start in.")
    env: dict[Variable, EnvValue] = Field(default={}, description="Environment variables.")
    config: dict[AbsolutePath, ConfigFile] = Field(default={}, description="Configuration files, by their path in the container.")
    secrets: dict[str, SecretSource] = Field(
        default={}, description="Secrets, by the path of a file in the container or the name of a variable."
    )
    ports: dict[PortName, Port] = Field(default={}, description="Ports others may call; the first is the default one.")
    health: Health = Field(default_factory=Health, description="Health checks.")
    resources: Resources = Field(default_factory=Resources, description="CPU and memory.")
    replicas: int | None = Field(
        default=None, ge=0, description="How many pods to run. Default: 1. The same as `scale` with a number."
    )
    scale: int | None = Field(default=None, ge=0, description="How many pods to run.")
    storage: dict[AbsolutePath, Storage] = Field(default={}, description="Volumes, by their path in the container.")
    routes: list[Route] = Field(default=[], description="Ways in from outside.")
    needs: dict[Name, Need] = Field(default={}, description="Services this one calls.")
    rollout: Rollout = Field(default_factory=Rollout, description="How new versions replace old ones.")
    availability: Availability = Field(default_factory=Availability, description="How it stays up.")

    @classmethod
    def expand(cls, value: Any) -> Any:
        return {} if value is None else value

    @property
    def count(self) -> int:
        """How many pods to run."""
        return next((n for n in (self.replicas, self.scale) if n is not None), 1)

    @property
    def role(self) -> str:
        """``kind``, with its default."""
        return self.kind or ("web" if self.ports else "worker")
