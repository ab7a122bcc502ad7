"""The fields that a Compose service may have: which are carried, and why the others are not."""

from __future__ import annotations

from lateen.adopt.compose.values import mapping
from lateen.adopt.nodes import Loss
from lateen.kube.yamltext import Node, fault
from lateen.model.problems import nearest

CARRIED = (
    *("image", "build", "command", "entrypoint", "environment", "env_file", "ports", "expose", "volumes", "tmpfs", "healthcheck"),
    *(
        "depends_on",
        "links",
        "deploy",
        "configs",
        "secrets",
        "networks",
        "profiles",
        "extends",
        "user",
        "working_dir",
        "privileged",
    ),
    *("cap_add", "cap_drop", "read_only", "stop_grace_period", "scale", "cpus", "mem_limit", "mem_reservation", "labels"),
    *("annotations", "restart", "extra_hosts", "hostname", "tty", "stdin_open", "dns", "dns_opt"),
    *("dns_search", "group_add", "pull_policy", "security_opt", "shm_size"),
)
_NAMES, _MACHINE = "objects are named after the service", "a setting of one machine's Docker"
_ENGINE = "a setting of the container engine, which a cluster's nodes decide"
LEFT = {
    "attach": "logs are read with `lateen logs`",
    "blkio_config": _ENGINE,
    "cgroup": _ENGINE,
    "cgroup_parent": _ENGINE,
    "container_name": _NAMES,
    "cpu_count": "use deploy.resources",
    "cpu_percent": "use deploy.resources",
    "cpu_period": "use deploy.resources",
    "cpu_quota": "use deploy.resources",
    "cpu_rt_period": _ENGINE,
    "cpu_rt_runtime": _ENGINE,
    "cpu_shares": "use deploy.resources",
    "cpuset": _ENGINE,
    "credential_spec": _MACHINE,
    "develop": "a cluster does not watch source files; run `lateen up` again",
    "device_cgroup_rules": _MACHINE,
    "devices": _MACHINE,
    "domainname": "pods ask the cluster's DNS",
    "external_links": "only services of this file are known",
    "gpus": "say it under x-lateen: {resources: {gpu: 1}}",
    "init": "every pod is looked after by its node",
    "ipc": _MACHINE,
    "isolation": _MACHINE,
    "label_file": "labels in files are not read",
    "logging": "logs go to the node; see `lateen logs`",
    "mac_address": _MACHINE,
    "mem_swappiness": _ENGINE,
    "memswap_limit": _ENGINE,
    "models": "models are not services of a cluster",
    "network_mode": "every pod has its own address in the cluster's network",
    "oom_kill_disable": _ENGINE,
    "oom_score_adj": _ENGINE,
    "pid": _MACHINE,
    "pids_limit": _ENGINE,
    "platform": "nodes run images of their own platform",
    "post_start": "say it in a patch under x-lateen",
    "pre_stop": "say it under x-lateen: {hooks: {preStop: ...}}",
    "provider": "there is no such plugin here",
    "runtime": "say runtimeClassName in a patch under x-lateen",
    "stop_signal": "a cluster stops with SIGTERM, or what the image says",
    "storage_opt": _ENGINE,
    "sysctls": "say it in a patch under x-lateen",
    "ulimits": _ENGINE,
    "use_api_socket": "there is no Docker to speak to",
    "userns_mode": _ENGINE,
    "uts": _MACHINE,
    "volumes_from": "name the volumes in both services",
}
TOP = ("name", "version", "services", "volumes", "networks", "configs", "secrets", "include", "models")


def unknown(tree: Node) -> None:
    """InputError for a field that no Compose file has, at the top or in a service."""
    _check(tree, TOP, "a Compose file")
    for name, service in mapping(tree.get("services")).items():
        if service.data is not None:
            _check(service, [*CARRIED, *LEFT], f"service {name}")


def _check(node: Node, known: object, what: str) -> None:
    words = [str(w) for w in known]  # type: ignore[attr-defined]
    for key, value in mapping(node).items():
        if key not in words and not key.startswith("x-"):
            raise fault(f"{what} has no field {key!r}", value.key or value.mark, nearest(key, sorted(words)))


def left(name: str, service: Node) -> list[Loss]:
    """What a service says and the application cannot."""
    found = mapping(service)
    return [
        Loss(str(n.key or n.mark), f"services.{name}.{k}", LEFT[k]) for k, n in found.items() if k in LEFT and n.data is not None
    ]
