"""How a service is run: objectives, identity, security, availability, observation."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from lateen.model.base import Model
from lateen.model.types import Duration, IntOrPercent, Name, PortName, Text


class AvailabilityIndicator(Model):
    """The share of requests that do not fail."""

    port: PortName | None = Field(default=None, description="Requests to this port. Default: the first.")
    route: str | None = Field(default=None, description="Only requests through the route with this path.")


class LatencyIndicator(Model):
    """The share of requests that are fast enough."""

    threshold: Duration = Field(description="How fast.")
    port: PortName | None = Field(default=None, description="Requests to this port. Default: the first.")
    route: str | None = Field(default=None, description="Only requests through the route with this path.")


class QueryIndicator(Model):
    """Good events out of all, in PromQL. `$window` is replaced."""

    good: str = Field(description="The rate of good events.")
    total: str = Field(description="The rate of all events.")


class Alert(Model):
    """Who is told when the error budget burns. Rates are multiples of the rate that would use it up exactly."""

    page: float = Field(default=14.4, gt=0, description="Wake somebody: this rate over 1 hour (and 5 minutes).")
    page_slow: float = Field(default=6, gt=0, description="Wake somebody: this rate over 6 hours (and 30 minutes).")
    ticket: float = Field(default=3, gt=0, description="Open a ticket: this rate over 1 day (and 2 hours).")
    ticket_slow: float = Field(default=1, gt=0, description="Open a ticket: this rate over 3 days (and 6 hours).")
    off: bool = Field(default=False, description="No alerts.")


class Slo(Model):
    """A service level objective. Exactly one of availability, latency and query."""

    objective: float = Field(gt=0, lt=100, description="Percent of the events that must be good, for example 99.9.")
    window: Duration = Field(default=30 * 86400, description="Over how long.")
    availability: AvailabilityIndicator | None = Field(default=None, description="Requests that do not fail.")
    latency: LatencyIndicator | None = Field(default=None, description="Requests that are fast enough.")
    query: QueryIndicator | None = Field(default=None, description="Good and all events.")
    alert: Alert = Field(default_factory=Alert, description="When to tell somebody.")


class Rule(Model):
    """What the service may do with the Kubernetes API."""

    groups: list[str] = Field(default=[""], description="API groups; empty is the core.")
    resources: list[str] = Field(min_length=1, description="Resources, for example pods.")
    names: list[str] = Field(default=[], description="Only these objects.")
    verbs: list[str] = Field(min_length=1, description="Verbs, for example get, list, watch.")


class Identity(Model):
    """Who the service is."""

    service_account: Name | None = Field(default=None, description="An existing ServiceAccount. Default: one of its own.")
    annotations: dict[str, Text] = Field(default={}, description="Annotations of its ServiceAccount, for a cloud's identity.")
    rbac: list[Rule] = Field(default=[], description="What it may do with the Kubernetes API. Default: nothing, and no token.")


class Security(Model):
    """What its containers may do on their machine."""

    profile: Literal["restricted", "baseline", "privileged"] = Field(
        default="restricted", description="The Pod Security Standard to keep."
    )
    user: int | None = Field(
        default=None, ge=0, description="The user to run as. Default: the image's; images lateen builds have 65532."
    )
    group: int | None = Field(default=None, ge=0, description="The group of its files. Default: the user's number.")
    read_only_root: bool = Field(default=True, description="The image's files cannot be changed; `/tmp` is a scratch volume.")
    capabilities: list[str] = Field(default=[], description="Linux capabilities to add; all others are dropped.")


class Availability(Model):
    """How the service stays up while nodes and pods come and go."""

    spread: Literal["host", "zone", "none"] = Field(
        default="host", description="Spread replicas over hosts or zones, where possible."
    )
    min_available: IntOrPercent | None = Field(
        default=None, description="Replicas that must stay up in a disruption. Default: all but one."
    )
    grace: Duration = Field(default=30, description="Time a pod has to finish its work after SIGTERM.")
    priority: str | None = Field(default=None, description="A PriorityClass; or a number, for which one is made.")


class Metrics(Model):
    """Where Prometheus finds its metrics."""

    port: PortName | None = Field(default=None, description="The port. Default: the first.")
    path: str = Field(default="/metrics", pattern="^/", description="The path.")
    interval: Duration = Field(default=30, description="How often.")


class Observe(Model):
    """What is seen of the service."""

    metrics: Metrics | None = Field(default=None, description="Where Prometheus finds its metrics.")
    traces: bool = Field(default=False, description="Whether it sends traces: OTEL_EXPORTER_OTLP_ENDPOINT is injected.")
    logs: Literal["json", "text"] = Field(default="text", description="The form of its log lines.")
