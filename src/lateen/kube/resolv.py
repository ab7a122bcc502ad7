"""resolv.conf: what one says, and what a pod's shall say (dnsPolicy and dnsConfig). Used by the node and by the DNS server.

The rules are the kubelet's: three name servers, 32 search domains of 2,048 characters together, options by their name.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from lateen.kube.meta import Object, meta

SERVERS_MOST, SEARCHES_MOST, SEARCH_CHARACTERS_MOST = 3, 32, 2048


@dataclass(frozen=True, slots=True)
class Resolv:
    """The three kinds of line that mean something."""

    nameservers: tuple[str, ...] = ()
    searches: tuple[str, ...] = ()
    options: tuple[str, ...] = ()

    def text(self) -> str:
        """As a file."""
        lines = [f"search {' '.join(self.searches)}"] if self.searches else []
        lines += [f"nameserver {s}" for s in self.nameservers]
        lines += [f"options {' '.join(self.options)}"] if self.options else []
        return "".join(f"{line}\n" for line in lines)


def parse_resolv(text: str) -> Resolv:
    """What a file says. The last ``search`` counts, a ``.`` in it does not."""
    servers: list[str] = []
    searches: list[str] = []
    options: list[str] = []
    for line in text.splitlines():
        word, *rest = line.split("#")[0].split(";")[0].split() or [""]
        if word == "nameserver" and rest:
            servers.append(rest[0])
        elif word in ("search", "domain"):
            searches = [s for s in (r.rstrip(".") for r in rest) if s]
        elif word == "options":
            options += rest
    return Resolv(tuple(servers), tuple(searches), tuple(options))


def pod_resolv(pod: Object, node: Resolv, *, cluster_dns: str, domain: str) -> Resolv:
    """What ``pod`` shall see, before limits. Without ``cluster_dns`` ClusterFirst means Default, as the kubelet has it."""
    spec = pod.get("spec") or {}
    policy = spec.get("dnsPolicy") or "ClusterFirst"
    if policy == "None":
        base = Resolv()
    elif cluster_dns and (policy == "ClusterFirstWithHostNet" or (policy == "ClusterFirst" and not spec.get("hostNetwork"))):
        own = (f"{meta(pod).get('namespace', '')}.svc.{domain}", f"svc.{domain}", domain)
        base = Resolv((cluster_dns,), _once((*own, *node.searches)), ("ndots:5",))
    else:
        base = node
    return _with_config(base, spec.get("dnsConfig") or {})


def limited(wanted: Resolv) -> tuple[Resolv, list[str]]:
    """What of it may be written, and a sentence for each kind of line that lost something."""
    said = []
    servers, searches = wanted.nameservers[:SERVERS_MOST], wanted.searches[:SEARCHES_MOST]
    while len(" ".join(searches)) > SEARCH_CHARACTERS_MOST:
        searches = searches[:-1]
    if servers != wanted.nameservers:
        said.append(_omitted("Nameserver", "nameservers", "nameserver", servers))
    if searches != wanted.searches:
        said.append(_omitted("Search Line", "search paths", "search", searches))
    return Resolv(servers, searches, wanted.options), said


def _omitted(what: str, items: str, line: str, left: Sequence[str]) -> str:
    return f"{what} limits were exceeded, some {items} have been omitted, the applied {line} line is: {' '.join(left)}"


def _with_config(base: Resolv, config: dict[str, Any]) -> Resolv:
    options = {o.partition(":")[0]: o for o in base.options}
    for option in config.get("options") or ():
        name, value = option["name"], option.get("value")
        options[name] = f"{name}:{value}" if value else name
    return Resolv(
        _once((*base.nameservers, *(config.get("nameservers") or ()))),
        _once((*base.searches, *(config.get("searches") or ()))),
        tuple(options.values()),
    )


def _once(items: Iterable[str] | Sequence[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(items))
