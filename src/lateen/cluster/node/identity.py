"""What a pod calls itself, and how it finds others: its host name, /etc/hosts, /etc/resolv.conf. Pure. Used by ``container`` for
the files and variables, and by the runtimes for the host name of the pod's namespace. DNS itself is ``cluster.dns``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from lateen.errors import FailedError
from lateen.kube.meta import Object, meta
from lateen.kube.resolv import Resolv, limited, pod_resolv

CLUSTER_DOMAIN = "cluster.local"
HOSTS, RESOLV = "/etc/hosts", "/etc/resolv.conf"
_LABEL_MOST = 63
_NAME_MOST = 64
_LOCAL = (
    ("127.0.0.1", "localhost"),
    ("::1", "localhost ip6-localhost ip6-loopback"),
    ("fe00::0", "ip6-localnet"),
    ("fe00::0", "ip6-mcastprefix"),
    ("fe00::1", "ip6-allnodes"),
    ("fe00::2", "ip6-allrouters"),
)


def short_name(pod: Object) -> str:
    """The host name without a domain: spec.hostname or the pod's name, as much of it as a label takes."""
    return str((pod.get("spec") or {}).get("hostname") or meta(pod).get("name") or "")[:_LABEL_MOST].rstrip("-.")


def domain(pod: Object) -> str:
    """The pod's domain when it has a subdomain, else ''."""
    subdomain = (pod.get("spec") or {}).get("subdomain")
    return f"{subdomain}.{meta(pod).get('namespace', '')}.svc.{CLUSTER_DOMAIN}" if subdomain else ""


def kernel_name(pod: Object) -> str:
    """What ``hostname`` prints: hostnameOverride, the full name where setHostnameAsFQDN asks for it, or the short one."""
    spec = pod.get("spec") or {}
    if spec.get("hostnameOverride"):
        return str(spec["hostnameOverride"])
    name, own = short_name(pod), domain(pod)
    if not (spec.get("setHostnameAsFQDN") and own):
        return name
    full = f"{name}.{own}"
    if len(full) > _NAME_MOST:
        raise FailedError(
            f"failed to construct FQDN from pod hostname and cluster domain, FQDN {full} is too long "
            f"({_NAME_MOST} characters is the max, {len(full)} characters requested)"
        )
    return full


def managed_hosts(pod: Object, container: Mapping[str, object], hosts: str) -> str | None:
    """/etc/hosts for a container, None where it mounts its own. ``hosts`` is the node's file: pods of its network start from it."""
    if mounts_own(container, HOSTS):
        return None
    spec = pod.get("spec") or {}
    return (_nodes(hosts) if spec.get("hostNetwork") else _own(pod)) + _aliases(spec.get("hostAliases") or ())


def mounts_own(container: Mapping[str, object], path: str) -> bool:
    """Whether the container brings a file of its own for ``path``."""
    mounts: Sequence[Mapping[str, str]] = container.get("volumeMounts") or ()  # type: ignore[assignment]
    return any(m["mountPath"].rstrip("/") == path for m in mounts)


def managed_resolv(pod: Object, container: Mapping[str, object], node: Resolv, *, cluster_dns: str) -> tuple[str, list[str]] | None:
    """(/etc/resolv.conf, what to warn of) for a container; None where it has the node's file or mounts its own."""
    spec = pod.get("spec") or {}
    as_it_is = not cluster_dns and not spec.get("dnsConfig") and spec.get("dnsPolicy") != "None"
    if as_it_is or mounts_own(container, RESOLV):
        return None
    wanted, said = limited(pod_resolv(pod, node, cluster_dns=cluster_dns, domain=CLUSTER_DOMAIN))
    return wanted.text(), said


def _nodes(hosts: str) -> str:
    return "# Kubernetes-managed hosts file (host network).\n" + hosts


def _own(pod: Object) -> str:
    lines = [f"{ip}\t{names}" for ip, names in _LOCAL]
    name, own = short_name(pod), domain(pod)
    names = f"{name}.{own}\t{name}" if own else name
    lines += [f"{entry['ip']}\t{names}" for entry in (pod.get("status") or {}).get("podIPs") or ()]
    return "# Kubernetes-managed hosts file.\n" + "\n".join(lines) + "\n"


def _aliases(aliases: Sequence[Mapping[str, Sequence[str]]]) -> str:
    if not aliases:
        return ""
    lines = ["\t".join((str(a["ip"]), *(a.get("hostnames") or ()))) for a in aliases]
    return "\n# Entries added by HostAliases.\n" + "\n".join(lines) + "\n"
