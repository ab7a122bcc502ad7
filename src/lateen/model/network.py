"""Who reaches a service and how, and whom it calls."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from pydantic import Field

from lateen.model.base import Model
from lateen.model.types import Cidr, Duration, Name, Percent, PortName, Text


class Retries(Model):
    """Trying a request again. In short: how often."""

    short: ClassVar[dict[str, Any]] = {"type": "integer", "minimum": 0}
    expects: ClassVar[str] = "a number or a map"

    attempts: int = Field(default=2, ge=0, description="How often.")
    when: list[Literal["connect", "reset", "5xx", "gateway", "refused", "unavailable"]] = Field(
        default=["connect", "reset", "gateway"], description="After what."
    )
    per_try: Duration | None = Field(default=None, description="Time each try may take.")
    backoff: Duration = Field(default=0.025, description="Time before the first further try; it grows.")

    @classmethod
    def expand(cls, value: Any) -> Any:
        return {"attempts": value} if isinstance(value, int) and not isinstance(value, bool) else value


class Breaker(Model):
    """When to stop sending to a service that cannot keep up, and to a pod that fails."""

    connections: int | None = Field(default=None, ge=1, description="Connections at most.")
    pending: int | None = Field(default=None, ge=1, description="Requests that may wait for a connection.")
    requests: int | None = Field(default=None, ge=1, description="Requests under way at most.")
    errors: int = Field(default=5, ge=1, description="Failures in a row that put a pod out.")
    eject: Duration = Field(default=30, description="For how long.")
    most: Percent = Field(default=50, description="Share of the pods that may be out.")


class Need(Model):
    """A call to another service or resource of the application. Its address is injected: CART_URL."""

    short: ClassVar[dict[str, Any]] = {"type": "null"}

    port: PortName | None = Field(default=None, description="The port to call. Default: its first.")
    order: Literal["none", "ready"] = Field(default="ready", description="`ready`: start after the needed service is ready.")
    optional: bool = Field(default=False, description="Work without it: no order, and no error if it does not exist.")
    paths: list[str] = Field(default=[], description="The paths it calls, `/orders/*`. Default: all.")
    methods: list[str] = Field(default=[], description="The methods it uses. Default: all.")
    timeout: Duration | None = Field(default=None, description="How long a call may take, tries included.")
    retries: Retries | None = Field(default=None, description="Trying again.")
    breaker: Breaker | None = Field(default=None, description="When to stop sending.")

    @classmethod
    def expand(cls, value: Any) -> Any:
        return {} if value is None else value


class External(Model):
    """Something outside the cluster that the service calls: a host name, or a block of addresses."""

    host: str | None = Field(default=None, description="Its name, `*.` for a wildcard.")
    cidr: Cidr | None = Field(default=None, description="Its addresses.")
    port: int = Field(default=443, ge=1, le=65535, description="The port.")
    protocol: Literal["http", "https", "tls", "tcp", "udp"] = Field(default="https", description="What is spoken.")


class HeaderRules(Model):
    """Changes of headers."""

    set: dict[str, Text] = Field(default={}, description="Headers to set.")
    add: dict[str, Text] = Field(default={}, description="Headers to add.")
    remove: list[str] = Field(default=[], description="Headers to remove.")


class RouteHeaders(Model):
    """Changes of a request's and an answer's headers."""

    request: HeaderRules = Field(default_factory=HeaderRules, description="Of the request.")
    response: HeaderRules = Field(default_factory=HeaderRules, description="Of the answer.")


class Cors(Model):
    """Which web pages of other origins may call."""

    origins: list[str] = Field(min_length=1, description="Origins, for example https://shop.example.com.")
    methods: list[str] = Field(default=["GET", "HEAD", "POST"], description="Methods.")
    headers: list[str] = Field(default=[], description="Request headers.")
    expose: list[str] = Field(default=[], description="Answer headers that a page may read.")
    credentials: bool = Field(default=False, description="Whether cookies are sent.")
    max_age: Duration = Field(default=3600, description="How long a browser may remember the answer.")


class Auth(Model):
    """Only requests with a valid JSON Web Token."""

    issuer: str = Field(description="Who signs it.")
    jwks: str = Field(description="The URL of the issuer's keys.")
    audiences: list[str] = Field(default=[], description="For whom it must be.")


class RateLimit(Model):
    """How many requests may come."""

    requests: int = Field(ge=1, description="Requests ...")
    per: Literal["second", "minute", "hour"] = Field(default="second", description="... per unit of time.")
    burst: int | None = Field(default=None, ge=1, description="At once. Default: `requests`.")
    by: Literal["all", "client"] = Field(default="all", description="All together, or for each client address.")


class Route(Model):
    """A way in from outside: requests to a host and path reach the service."""

    host: str | None = Field(
        default=None, description="The host name, `*.` for a wildcard; `${env.domain}` is replaced. Default: any."
    )
    path: str = Field(default="/", pattern="^/", description="The path to match.")
    match: Literal["prefix", "exact", "regex"] = Field(default="prefix", description="How the path matches.")
    port: PortName | None = Field(default=None, description="The service's port. Default: its first.")
    methods: list[str] = Field(default=[], description="Only these methods. Default: all.")
    rewrite: str | None = Field(default=None, pattern="^/", description="What takes the place of the matched path.")
    tls: str = Field(
        default="off",
        description="`off`: plain HTTP. `auto`: a certificate from cert-manager. Else the name of a Secret that holds one.",
    )
    timeout: Duration | None = Field(default=None, description="How long a request may take.")
    retries: Retries | None = Field(default=None, description="Trying again.")
    headers: RouteHeaders = Field(default_factory=RouteHeaders, description="Changes of headers.")
    cors: Cors | None = Field(default=None, description="Which web pages of other origins may call.")
    auth: Auth | None = Field(default=None, description="Only requests with a valid JSON Web Token.")
    rate_limit: RateLimit | None = Field(default=None, description="How many requests may come.")
    gateway: Name = Field(default="default", description="The gateway to enter through.")


class Listener(Model):
    """A port a gateway listens on."""

    port: int = Field(default=80, ge=1, le=65535, description="The port.")
    protocol: Literal["http", "https"] = Field(default="http", description="What is spoken on it.")
    host: str | None = Field(default=None, description="The host name it serves, `*.` for a wildcard. Default: any.")
    tls: str | None = Field(default=None, description="The Secret that holds the certificate, for https.")


class Gateway(Model):
    """Where traffic enters from outside."""

    short: ClassVar[dict[str, Any]] = {"type": "null"}

    class_: str = Field(default="lateen", alias="class", description="The GatewayClass, or the IngressClass.")
    ingress: bool = Field(default=False, description="Render Ingress objects instead of a Gateway and HTTPRoutes.")
    issuer: str | None = Field(default=None, description="The ClusterIssuer of cert-manager, for routes with `tls: auto`.")
    listeners: list[Listener] = Field(
        default_factory=lambda: [Listener.model_validate({})], min_length=1, description="The ports it listens on. Default: 80."
    )

    @classmethod
    def expand(cls, value: Any) -> Any:
        return {} if value is None else value
