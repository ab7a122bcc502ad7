"""What of a Compose service only a patch can say: shared volumes, dropped capabilities, names, name servers, terminals, pulls."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from lateen.adopt.compose.values import items, mapping, text, truth
from lateen.adopt.nodes import Loss, filled
from lateen.kube.yamltext import Node
from lateen.model.types import slug

_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_PULLS = {"always": "Always", "never": "Never", "missing": "IfNotPresent", "if_not_present": "IfNotPresent"}


def patches(name: str, node: Node, kind: str, claims: Mapping[str, str], losses: list[Loss]) -> list[Any]:
    """A patch of the workload, if there is something to say. ``claims`` maps paths of shared volumes to their claims."""
    volumes = [{"name": _volume(p), "emptyDir": None, "persistentVolumeClaim": {"claimName": c}} for p, c in claims.items()]
    spec = filled(
        {
            "volumes": [*volumes, *_memory(node)],
            "hostAliases": _hosts(node),
            "hostname": _hostname(name, node, losses),
            "dnsConfig": _dns(node),
            "securityContext": filled({"supplementalGroups": _groups(name, node, losses)}),
            "containers": _containers(name, node, losses),
        }
    )
    return [{"target": {"kind": kind}, "merge": {"spec": {"template": {"spec": spec}}}}] if spec else []


def _volume(path: str) -> str:
    """The name of the volume that is rendered for a path of storage."""
    return f"data-{slug(path)}"[:63]


def _memory(node: Node) -> list[dict[str, Any]]:
    """``shm_size``: the scratch volume at /dev/shm lies in memory."""
    return [{"name": _volume("/dev/shm"), "emptyDir": {"medium": "Memory"}}] if node.get("shm_size") is not None else []  # noqa: S108


def _containers(name: str, node: Node, losses: list[Loss]) -> list[dict[str, Any]]:
    container: dict[str, Any] = {k: True for k, field in (("stdin", "stdin_open"), ("tty", "tty")) if truth(node.get(field))}
    if dropped := [text(c).removeprefix("CAP_") for c in items(node.get("cap_drop"))]:
        container["securityContext"] = {"capabilities": {"drop": dropped}}
    if pull := node.get("pull_policy"):
        if policy := _PULLS.get(text(pull)):
            container["imagePullPolicy"] = policy
        else:
            losses.append(_lost(name, pull, f"pull_policy: {text(pull)}", "a cluster pulls always, never, or what is not there"))
    strict = "no-new-privileges"  # no service of the baseline standard gets any
    others = [option for option in items(node.get("security_opt")) if not text(option).startswith(strict)]
    losses += [_lost(name, o, f"security_opt: {text(o)}", "say it in a patch under x-lateen") for o in others]
    return [{"name": name, **container}] if container else []


def _lost(name: str, node: Node, what: str, why: str) -> Loss:
    return Loss(str(node.key or node.mark), f"services.{name}.{what}", why)


def _hostname(name: str, node: Node, losses: list[Loss]) -> str:
    found = node.get("hostname")
    given = text(found)
    if found is None or _LABEL.fullmatch(given):
        return given
    losses.append(_lost(name, found, f"hostname: {given}", "a pod's host name is one label of lower-case letters, digits and '-'"))
    return ""


def _dns(node: Node) -> dict[str, Any]:
    """Name servers and search paths, after the cluster's own."""
    options = [
        {"name": n, **({"value": v} if colon else {})}
        for n, colon, v in (text(o).partition(":") for o in items(node.get("dns_opt")))
    ]
    servers, searches = ([text(n) for n in items(node.get(f))] for f in ("dns", "dns_search"))
    return filled({"nameservers": servers, "searches": searches, "options": options})


def _groups(name: str, node: Node, losses: list[Loss]) -> list[int]:
    found = []
    for group in items(node.get("group_add")):
        if text(group).isdigit():
            found.append(int(text(group)))
        else:
            losses.append(_lost(name, group, f"group_add: {text(group)}", "only numbers are known outside the image"))
    return found


def _hosts(node: Node) -> list[dict[str, Any]]:
    by_address: dict[str, list[str]] = {}
    extra = node.get("extra_hosts")
    if extra is not None and isinstance(extra.data, dict):
        entries = [(k, [text(n) for n in items(v)]) for k, v in mapping(extra).items()]
    else:
        entries = [(m[1], [m[2]]) for n in items(extra) if (m := re.match(r"([^:=]+)[:=](.+)", text(n)))]
    for host, addresses in entries:
        for address in addresses:
            if address != "host-gateway":
                by_address.setdefault(address.strip("[]"), []).append(host)
    return [{"ip": ip, "hostnames": names} for ip, names in by_address.items()]
