"""A service, as a user declares it: what runs, how it is configured, reached, kept healthy, and what it needs.

Field names are the public vocabulary of ``lateen.yaml``; a later version adds fields, it never renames them. Fields are optional
here because a service may be partial (``defaults``, overlays); ``model.check`` judges whole applications.
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from pydantic import Field

from lateen.model.base import Model
from lateen.model.container import Build, ConfigFile, Container, EnvValue, Health, Hooks, Port, Resources, SecretSource, Storage
from lateen.model.delivery import Rollout
from lateen.model.network import External, Need, Route
from lateen.model.operation import Availability, Identity, Observe, Security, Slo
from lateen.model.patch import Patch
from lateen.model.scaling import Scale
from lateen.model.types import AbsolutePath, Cron, Duration, ImageReference, Name, PortName, Text, TimeZone, Variable

Kind = Literal["web", "worker", "stateful", "job", "cron", "daemon"]


class Job(Model):
    """A service of kind job or cron: how often, how long, what when it fails."""

    completions: int = Field(default=1, ge=1, description="Pods that must succeed.")
    parallelism: int = Field(default=1, ge=1, description="Pods at once.")
    indexed: bool = Field(default=False, description="Give each pod a number, JOB_COMPLETION_INDEX.")
    retries: int = Field(default=3, ge=0, description="How often a failed pod is tried again.")
    timeout: Duration | None = Field(default=None, description="Time for all of it.")
    keep: Duration | None = Field(default=None, description="How long a finished job stays. Default: for ever; a day under cron.")
    concurrency: Literal["allow", "forbid", "replace"] = Field(
        default="forbid", description="cron: what to do when the one before still runs."
    )
    time_zone: TimeZone = Field(default="Etc/UTC", description="cron: the time zone of the schedule.")
    deadline: Duration | None = Field(default=None, description="cron: how late it may still start.")
    suspend: bool = Field(default=False, description="Do not start.")


class Service(Model):
    """One service of the application."""

    short: ClassVar[dict[str, Any]] = {"type": "null"}

    kind: Kind | None = Field(default=None, description="Default: web if it has ports, else worker.")
    schedule: Cron | None = Field(default=None, description="When a service of kind cron runs.")
    job: Job = Field(default_factory=Job, description="How a service of kind job or cron runs.")
    image: ImageReference | None = Field(default=None, description="The image to run; beside `build`, the name to push to.")
    build: Build | None = Field(default=None, description="Build the image from source.")
    command: list[Text] | None = Field(default=None, description="The program to run instead of the image's.")
    args: list[Text] | None = Field(default=None, description="Its arguments.")
    working_dir: AbsolutePath | None = Field(default=None, description="The folder to start in.")
    env: dict[Variable, EnvValue] = Field(default={}, description="Environment variables.")
    env_from: list[Name] = Field(default=[], description="ConfigMaps of the namespace whose entries become variables.")
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
    scale: Scale | None = Field(default=None, description="How many pods to run: a number, or bounds and what decides.")
    storage: dict[AbsolutePath, Storage] = Field(default={}, description="Volumes, by their path in the container.")
    routes: list[Route] = Field(default=[], description="Ways in from outside.")
    needs: dict[Name, Need] = Field(default={}, description="Services and resources this one calls.")
    external: list[External] = Field(default=[], description="What it calls outside the cluster.")
    rollout: Rollout = Field(default_factory=Rollout, description="How new versions replace old ones.")
    slos: dict[Name, Slo] = Field(default={}, description="Its objectives, by name.")
    hooks: Hooks = Field(default_factory=Hooks, description="Commands at the moments of a release.")
    init: dict[Name, Container] = Field(default={}, description="Containers that run before it, in order.")
    sidecars: dict[Name, Container] = Field(default={}, description="Containers that run beside it.")
    identity: Identity = Field(default_factory=Identity, description="Who it is.")
    security: Security = Field(default_factory=Security, description="What its containers may do.")
    availability: Availability = Field(default_factory=Availability, description="How it stays up.")
    observe: Observe = Field(default_factory=Observe, description="What is seen of it.")
    labels: dict[str, Text] = Field(default={}, description="Further labels of its objects and pods.")
    annotations: dict[str, Text] = Field(default={}, description="Further annotations of its pods.")
    patches: list[Patch] = Field(default=[], description="Changes of its rendered objects, made last.")

    @classmethod
    def expand(cls, value: Any) -> Any:
        return {} if value is None else value

    @property
    def count(self) -> int:
        """How many pods to run, at least."""
        if self.scale is not None:
            return self.scale.min
        return 1 if self.replicas is None else self.replicas

    @property
    def automatic(self) -> bool:
        """Whether an autoscaler decides the number of pods."""
        return self.scale is not None and self.scale.automatic

    @property
    def role(self) -> Kind:
        """``kind``, with its default."""
        return self.kind or ("web" if self.ports else "worker")

    def per_replica(self, storage: Storage) -> bool:
        """Whether each pod has its own volume."""
        return storage.per_replica if storage.per_replica is not None else self.role == "stateful"
