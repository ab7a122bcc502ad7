"""What runs in a container, and how: source, environment, files, ports, health checks, resources, volumes."""

from __future__ import annotations

import re
from typing import Any, ClassVar, Literal

from pydantic import Field

from lateen.model.base import Model, wrong
from lateen.model.types import (
    Duration,
    ImageReference,
    KeyReference,
    Mode,
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
    target: str | None = Field(default=None, description="The stage of the Dockerfile to build. Default: its last.")
    args: dict[str, Text] = Field(default={}, description="Build arguments of the Dockerfile.")
    secrets: list[str] = Field(default=[], description="Files that the Dockerfile may mount as secrets: ID=PATH.")
    platforms: list[str] = Field(default=[], description="Platforms to build for. Default: this machine's.")
    test: list[Text] = Field(default=[], description="The command that tests the source, run in the context by the pipeline.")

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
    public: bool = Field(default=False, description="Reached from outside the cluster without a route: a load balancer.")

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
    gpu: int | None = Field(default=None, ge=1, description="GPUs (`nvidia.com/gpu`).")


class Storage(Model):
    """A volume mounted into every replica."""

    size: Quantity = Field(description="Its size.")
    class_: str | None = Field(default=None, alias="class", description="The StorageClass. Default: the cluster's.")
    mode: Literal["rwo", "rwx", "rox"] = Field(
        default="rwo", description="Mounted by one node (rwo), by many (rwx), by many read-only (rox)."
    )
    retain: bool = Field(default=True, description="Keep the volume when the service is removed.")
    ephemeral: bool = Field(default=False, description="A scratch volume that lives as long as the pod.")
    per_replica: bool | None = Field(
        default=None, description="A volume of its own for each replica, which keeps it. Default: true for kind stateful."
    )


class Container(Model):
    """A further container of the pod: one that runs before the service, or beside it. It sees the service's files and volumes."""

    image: ImageReference | None = Field(default=None, description="The image to run. Default: the service's own.")
    command: list[Text] | None = Field(default=None, description="The program to run instead of the image's.")
    args: list[Text] | None = Field(default=None, description="Its arguments.")
    env: dict[Variable, EnvValue] = Field(default={}, description="Environment variables.")
    resources: Resources = Field(default_factory=Resources, description="CPU and memory.")
    ports: dict[str, Port] = Field(default={}, description="Ports it listens on, for health checks and metrics.")
    health: Health = Field(default_factory=Health, description="Health checks of a sidecar.")
    before: Literal["started", "healthy", "complete"] | None = Field(
        default=None,
        description="What the service waits for. Default: `complete` under init, `started` under sidecars; "
        "`healthy` waits for a sidecar's startup check.",
    )


class Hook(Model):
    """A command at a moment of a release."""

    image: ImageReference | None = Field(default=None, description="The image to run. Default: the service's own.")
    command: list[Text] = Field(min_length=1, description="The command.")
    timeout: Duration = Field(default=600, description="Time it may take.")
    retries: int = Field(default=0, ge=0, description="How often it is tried again.")


class Hooks(Model):
    """Commands at the moments of a release. Jobs, but for `preStop`, which runs in the container."""

    migrate: Hook | None = Field(default=None, description="Before a new version starts, for example a database's migration.")
    pre_sync: Hook | None = Field(default=None, description="Before anything of the service changes.")
    post_sync: Hook | None = Field(default=None, description="After the new version is up.")
    pre_stop: Hook | None = Field(default=None, description="In a container that is about to stop, before SIGTERM.")
