"""How new versions reach production: rollouts and their judgement, promotion between environments, the pipeline."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from pydantic import Field

from lateen.model.base import Model
from lateen.model.types import Cron, Duration, IntOrPercent, Name, Percent, Text


class Step(Model):
    """One step of a canary: send it a share of the traffic, run so many pods, wait, or judge."""

    weight: Percent | Literal[0] | None = Field(default=None, description="Share of the traffic for the new version.")
    replicas: IntOrPercent | None = Field(default=None, description="Pods of the new version.")
    pause: Duration | Literal["forever"] | None = Field(default=None, description="Wait so long, or until somebody goes on.")
    analysis: list[Name] = Field(default=[], description="Analyses that must succeed before the next step.")


class Analysis(Model):
    """How to judge the new version. Exactly one of query, slo, http and job."""

    query: str | None = Field(default=None, description="PromQL.")
    slo: Name | None = Field(default=None, description="An objective of the service.")
    http: str | None = Field(default=None, description="A URL that must answer 2xx.")
    job: list[Text] | None = Field(default=None, description="A command, run in the new version's image.")
    success: str | None = Field(default=None, description="What the result must be, for example `< 0.01`.")
    interval: Duration = Field(default=60, description="Time between two looks.")
    count: int = Field(default=5, ge=1, description="How many looks.")
    failure_limit: int = Field(default=1, ge=0, description="Failed looks that are let pass.")


class Preview(Model):
    """Where the new version of a blue-green rollout is reached before it takes over."""

    host: str = Field(description="The host name; `${env.domain}` is replaced.")


class Rollout(Model):
    """How a new version replaces the old one."""

    strategy: Literal["rolling", "recreate", "blue-green", "canary"] = Field(
        default="rolling",
        description="Pod by pod; all at once after stopping the old ones; beside each other; by shares of traffic.",
    )
    surge: IntOrPercent = Field(default="25%", description="Pods that may exist beyond the wanted count.")
    unavailable: IntOrPercent = Field(default=0, description="Pods that may be missing meanwhile.")
    min_ready: Duration | None = Field(
        default=None, description="How long a new pod must be ready before it counts. Default: 2s without `health.ready`, else 0."
    )
    deadline: Duration = Field(default=600, description="Without progress for so long, the rollout has failed.")
    history: int = Field(default=10, ge=0, description="Old versions that are kept to go back to.")
    steps: list[Step] = Field(default=[], description="The steps of a canary.")
    analysis: dict[Name, Analysis] = Field(default={}, description="How to judge, by name.")
    rollback: Literal["auto", "manual"] = Field(default="auto", description="Who goes back when the new version is worse.")
    preview: Preview | None = Field(default=None, description="Where to look at a blue-green rollout's new version.")


class Promote(Model):
    """What a version needs before it comes here."""

    from_: Name | None = Field(default=None, alias="from", description="The environment it must have been in, or `build`.")
    auto: bool = Field(default=False, description="Promote by itself when everything required is there.")
    requires: list[Literal["verified", "slo"]] = Field(default=[], description="What must hold there.")
    soak: Duration | None = Field(default=None, description="Time it must have run there.")
    approvals: int = Field(default=0, ge=0, description="People who must agree.")
    window: Cron | None = Field(default=None, description="When promotions may begin.")
    tests: list[Name] = Field(default=[], description="Jobs that must succeed there.")
    via: Literal["commit", "pr", "direct"] = Field(default="commit", description="How the change is made.")
    scope: Literal["service", "release"] = Field(default="service", description="Service by service, or all together.")


class Scan(Model):
    """Which known vulnerabilities stop a release."""

    severity: Literal["low", "medium", "high", "critical"] = Field(default="high", description="From which severity on.")
    ignore: list[str] = Field(default=[], description="Identifiers to let pass.")


class Pipeline(Model):
    """The pipeline of each service: test, build, scan, sign, push."""

    short: ClassVar[dict[str, Any]] = {"type": "null"}

    engine: list[Literal["github", "gitlab", "jenkins", "tekton", "local"]] = Field(
        default=["local"], description="Whose files to write."
    )
    test: list[Text] = Field(default=[], description="The command that tests a service. Default: `build.test`.")
    scan: Scan = Field(default_factory=Scan, description="Vulnerabilities.")
    sign: Literal["keyless", "key", "off"] = Field(default="keyless", description="How images are signed.")
    sbom: bool = Field(default=True, description="Whether each image has a bill of materials.")
    tag: str = Field(default="{sha12}", description="The tag of an image: `{sha12}`, `{semver}`.")
    push: bool = Field(default=True, description="Whether images are pushed.")

    @classmethod
    def expand(cls, value: Any) -> Any:
        return {} if value is None else value


class GitOps(Model):
    """The repository from which a GitOps engine (Argo CD, Flux) runs the application. In short: its URL."""

    short: ClassVar[dict[str, Any]] = {"type": "string"}
    expects: ClassVar[str] = "a URL or a map"

    repository: str = Field(description="Its URL.")
    branch: str = Field(default="main", description="The branch that is run.")
    path: str = Field(
        default="", pattern=r"^$|^[^/].*$", description="The folder in it where `lateen render` writes. Default: its root."
    )
    package: Literal["kustomize", "helm"] = Field(default="kustomize", description="What the application lies there as.")

    @classmethod
    def expand(cls, value: Any) -> Any:
        return {"repository": value} if isinstance(value, str) else value
