"""A pod's DNS (validateDNSPolicy, validatePodDNSConfig)."""

from __future__ import annotations

from lateen.kube import names
from lateen.kube.meta import Object
from lateen.kube.validation.base import Errors, entries, follows, one_of
from lateen.kube.validation.errors import invalid, required

_POLICIES = ("ClusterFirstWithHostNet", "ClusterFirst", "Default", "None")
_SERVERS, _SEARCHES, _CHARACTERS = 3, 32, 2048


def dns(spec: Object, at: str) -> Errors:
    """``dnsPolicy`` and ``dnsConfig`` of the pod spec at path ``at``."""
    yield from one_of(spec, "dnsPolicy", at, _POLICIES)
    config, path = spec.get("dnsConfig"), f"{at}.dnsConfig"
    if spec.get("dnsPolicy") == "None":
        if config is None:
            yield required(path, "must provide `dnsConfig` when `dnsPolicy` is None")
        elif not config.get("nameservers"):
            yield required(f"{path}.nameservers", "must provide at least one DNS nameserver when `dnsPolicy` is None")
    if config:
        yield from _config(config, path)


def _config(config: Object, path: str) -> Errors:
    servers, searches = config.get("nameservers") or [], config.get("searches") or []
    if len(servers) > _SERVERS:
        yield invalid(f"{path}.nameservers", servers, f"must not have more than {_SERVERS} nameservers")
    for i, server in enumerate(servers):
        yield from follows(names.ip_address, f"{path}.nameservers[{i}]", server)
    if len(searches) > _SEARCHES:
        yield invalid(f"{path}.searches", searches, f"must not have more than {_SEARCHES} search paths")
    if len(" ".join(searches)) > _CHARACTERS:
        detail = f"must not have more than {_CHARACTERS} characters (including spaces) in the search list"
        yield invalid(f"{path}.searches", searches, detail)
    for i, search in enumerate(searches):
        if search != ".":
            yield from follows(names.dns_subdomain, f"{path}.searches[{i}]", search.removesuffix(".").replace("_", "-"))
    for field, option in entries(config, "options", path):
        if not option.get("name"):
            yield required(field, "must not be empty")
