"""The application file as a whole, and the application it means in one environment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from pydantic import Field

from lateen.kube.yamltext import Node, locate
from lateen.model.base import Model
from lateen.model.container import Resources
from lateen.model.delivery import GitOps, Pipeline, Promote
from lateen.model.network import Gateway
from lateen.model.patch import Patch
from lateen.model.resource import Resource
from lateen.model.service import Service
from lateen.model.types import Duration, Name


class SecretStore(Model):
    """Where the Secrets that services name come from. Without one they must exist, or `lateen up` is told their files."""

    provider: Literal["external-secrets", "sealed-secrets", "sops"] = Field(description="Who makes the Secrets.")
    name: str | None = Field(default=None, description="external-secrets: the store.")
    kind: Literal["SecretStore", "ClusterSecretStore"] = Field(
        default="ClusterSecretStore", description="external-secrets: its kind."
    )
    prefix: str = Field(default="", description="external-secrets: what stands before the name of a secret in the store.")
    refresh: Duration = Field(default=3600, description="external-secrets: how often it is read again.")
    files: list[str] = Field(default=[], description="sealed-secrets, sops: encrypted manifests, which packages take as they are.")


class Policies(Model):
    """What every service of the application must keep."""

    required: list[str] = Field(default=[], description="Fields every service must have, for example health.ready.")
    budget: Resources = Field(default_factory=Resources, description="What one environment may request: a ResourceQuota.")
    limits: Resources = Field(default_factory=Resources, description="Requests and limits of containers without: a LimitRange.")
    security: Literal["restricted", "baseline", "privileged"] | None = Field(
        default=None, description="The Pod Security Standard that the namespace enforces. Default: the weakest a service asks for."
    )
    network: Literal["deny", "open"] = Field(
        default="deny", description="`deny`: only declared traffic (NetworkPolicies); `open`: no NetworkPolicies."
    )


class Environment(Model):
    """What differs in one environment (`lateen up --env NAME`)."""

    short: ClassVar[dict[str, Any]] = {"type": "null"}

    from_: Name | None = Field(default=None, alias="from", description="An environment to start from.")
    cluster: str | None = Field(default=None, description="The context of the kubeconfig, or `embedded`.")
    namespace: Name | None = Field(default=None, description="Default: APP-ENVIRONMENT.")
    domain: str | None = Field(default=None, description="The value of `${env.domain}`.")
    defaults: Service = Field(default_factory=Service, description="Laid over `defaults`.")
    services: dict[Name, Service] = Field(default={}, description="Laid over `services`; an empty value removes the service.")
    resources: dict[Name, Resource] = Field(default={}, description="Laid over `resources`.")
    policies: Policies = Field(default_factory=Policies, description="Laid over `policies`.")
    gateways: dict[Name, Gateway] = Field(default={}, description="Laid over `gateways`.")
    secrets: SecretStore | None = Field(default=None, description="Where Secrets come from. Default: the application's.")
    promote: Promote | None = Field(default=None, description="What a version needs before it comes here.")

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
    resources: dict[Name, Resource] = Field(default={}, description="Databases, queues, buckets.")
    environments: dict[Name, Environment] = Field(default={}, description="What differs where.")
    gateways: dict[Name, Gateway] = Field(
        default_factory=lambda: {"default": Gateway.model_validate({})},
        description="Where traffic enters. Default: one, `default`.",
    )
    secrets: SecretStore | None = Field(default=None, description="Where the Secrets that services name come from.")
    gitops: GitOps | None = Field(default=None, description="Where a GitOps engine finds the rendered application.")
    pipeline: Pipeline = Field(default_factory=Pipeline, description="How changes are built and tested.")
    policies: Policies = Field(default_factory=Policies, description="What every service must keep.")
    patches: list[Patch] = Field(default=[], description="Changes of rendered objects, made last.")
    manifests: list[str] = Field(default=[], description="Further manifests, relative to the application file.")
    include: list[str] = Field(default=[], description="Further application files, globs; their paths are relative to themselves.")


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
    def secret_store(self) -> SecretStore | None:
        """Where Secrets come from in this environment."""
        chosen = self.spec.environments.get(self.environment)
        return chosen.secrets if chosen is not None and chosen.secrets is not None else self.spec.secrets

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
