"""Which optional kinds the target cluster has. What it has not is not rendered, and ``omitted`` says so."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from lateen.errors import InputError
from lateen.model import Application

Capabilities = frozenset[str]
KEDA, VPA, PROMETHEUS, CERT_MANAGER, EXTERNAL_SECRETS, GATEWAY, ISTIO, LINKERD = (
    "keda",
    "vpa",
    "prometheus",
    "cert-manager",
    "external-secrets",
    "gateway-api",
    "istio",
    "linkerd",
)
GROUPS = {
    "keda.sh": KEDA,
    "autoscaling.k8s.io": VPA,
    "monitoring.coreos.com": PROMETHEUS,
    "cert-manager.io": CERT_MANAGER,
    "external-secrets.io": EXTERNAL_SECRETS,
    "gateway.networking.k8s.io": GATEWAY,
    "security.istio.io": ISTIO,
    "policy.linkerd.io": LINKERD,
}
DEFAULT: Capabilities = frozenset({GATEWAY})


def named(words: Iterable[str]) -> Capabilities:
    """The capabilities of these names, with the default ones. InputError for an unknown name."""
    found = set(DEFAULT)
    for word in words:
        if word not in GROUPS.values():
            raise InputError(f"{word!r} is nothing a cluster may have", hint=f"known: {', '.join(GROUPS.values())}")
        found.add(word)
    return frozenset(found)


def of_groups(groups: Iterable[str]) -> Capabilities:
    """The capabilities of a cluster that serves these API groups."""
    return frozenset(GROUPS[g] for g in groups if g in GROUPS)


def omitted(app: Application, having: Capabilities) -> Iterator[str]:
    """What the application asks for and this cluster cannot have, in words."""
    for name, service in app.services.items():
        scale = service.scale
        if scale is not None and KEDA not in having:
            if scale.schedule:
                yield f"services.{name}.scale.schedule needs KEDA: not rendered (--with keda)"
            if scale.to_zero or (scale.min == 0 and scale.triggers):
                yield f"services.{name}.scale to zero needs KEDA: at least one pod runs (--with keda)"
        if scale is not None and scale.vertical and VPA not in having:
            yield f"services.{name}.scale.vertical needs the VerticalPodAutoscaler: not rendered (--with vpa)"
        if service.observe.metrics is not None and PROMETHEUS not in having:
            yield f"services.{name}.observe.metrics: no ServiceMonitor, pods carry annotations (--with prometheus)"
        if any(r.tls == "auto" for r in service.routes) and CERT_MANAGER not in having:
            yield f"services.{name}: `tls: auto` needs cert-manager, the certificates must be there (--with cert-manager)"
        if service.rollout.strategy in ("canary", "blue-green"):
            yield f"services.{name}.rollout: {service.rollout.strategy} is carried out as a rolling update on this target"
        for field in ("auth", "rate_limit"):
            if any(getattr(r, field) is not None for r in service.routes):
                word = "rateLimit" if field == "rate_limit" else field
                yield f"services.{name}.routes: {word} is a matter of the mesh: see the targets istio, linkerd and consul"
