"""What configMap, secret, downwardAPI and projected volumes hold: relative path -> (bytes, mode). Pure, over fetched objects."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from lateen.cluster.node.downward import field_value, resource_value
from lateen.errors import FailedError
from lateen.kube.meta import Object, meta


class File(NamedTuple):
    """One file of a volume."""

    data: bytes
    mode: int


Files = dict[str, File]
Fetched = Mapping[tuple[str, str], Object | None]  # ("ConfigMap" | "Secret", name) -> object, None if there is none


def references(volume: Mapping[str, Any]) -> set[tuple[str, str]]:
    """The ConfigMaps and Secrets that a volume shows."""
    found = set()
    for source in sources_of(volume):
        if "configMap" in source:
            found.add(("ConfigMap", source["configMap"]["name"]))
        if "secret" in source:
            found.add(("Secret", source["secret"].get("secretName") or source["secret"].get("name")))
    return found


def sources_of(volume: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    """A projected volume's sources, or the volume itself as its only one."""
    if "projected" in volume:
        return volume["projected"].get("sources") or ()
    return [volume]


def tokens_of(volume: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The serviceAccountToken projections."""
    return [s["serviceAccountToken"] for s in sources_of(volume) if "serviceAccountToken" in s]


def files_of(
    pod: Object,
    volume: Mapping[str, Any],
    fetched: Fetched,
    *,
    tokens: Mapping[str, str],
    allocatable: Mapping[str, str],
    private: bool = False,
) -> Files:
    """Everything in the volume. ``tokens`` are by their path; ``private``: they are for one user or group only. FailedError,
    worded as the kubelet, when something is missing."""
    files: Files = {}
    mode = (volume.get("projected") or {}).get("defaultMode", 0o644)
    for source in sources_of(volume):
        if "configMap" in source:
            files |= _configmap(pod, source["configMap"], fetched, mode)
        elif "secret" in source:
            files |= _secret(pod, source["secret"], fetched, mode)
        elif "downwardAPI" in source:
            files |= _downward(pod, source["downwardAPI"], allocatable, mode)
        elif "serviceAccountToken" in source:
            path = source["serviceAccountToken"]["path"]
            files[path] = File(tokens[path].encode(), 0o600 if private else mode)
        else:
            raise FailedError(f"projections of type {next(iter(source), 'none')} are not supported by this node")
    return files


def _configmap(pod: Object, source: Mapping[str, Any], fetched: Fetched, mode: int) -> Files:
    found = fetched.get(("ConfigMap", source["name"]))
    if found is None:
        return _missing(f'configmap "{source["name"]}" not found', source)
    data = {k: v.encode() for k, v in (found.get("data") or {}).items()}
    data |= {k: base64.b64decode(v) for k, v in (found.get("binaryData") or {}).items()}
    return _items(pod, source, data, source.get("defaultMode", mode), "configmap references non-existent config key: {}")


def _secret(pod: Object, source: Mapping[str, Any], fetched: Fetched, mode: int) -> Files:
    name = source.get("secretName") or source.get("name") or ""
    found = fetched.get(("Secret", name))
    if found is None:
        return _missing(f'secret "{name}" not found', source)
    data = {k: base64.b64decode(v) for k, v in (found.get("data") or {}).items()}
    return _items(pod, source, data, source.get("defaultMode", mode), "references non-existent secret key: {}")


def _missing(message: str, source: Mapping[str, Any]) -> Files:
    if source.get("optional"):
        return {}
    raise FailedError(message)


def _items(pod: Object, source: Mapping[str, Any], data: Mapping[str, bytes], mode: int, missing: str) -> Files:
    items = source.get("items")
    if not items:
        return {k: File(v, mode) for k, v in data.items()}
    files = {}
    for item in items:
        if item["key"] in data:
            files[item["path"]] = File(data[item["key"]], item.get("mode", mode))
        elif not source.get("optional"):
            raise FailedError(missing.format(item["key"]))
    return files


def _downward(pod: Object, source: Mapping[str, Any], allocatable: Mapping[str, str], mode: int) -> Files:
    files = {}
    for item in source.get("items") or ():
        if "fieldRef" in item:
            text = field_value(pod, item["fieldRef"]["fieldPath"])
        else:
            text = resource_value(pod, {}, item["resourceFieldRef"], allocatable)
        files[item["path"]] = File(text.encode(), item.get("mode", source.get("defaultMode", mode)))
    return files


def pod_key(pod: Object) -> str:
    """``namespace/name`` as messages write it."""
    return f"{meta(pod).get('namespace', '')}/{meta(pod).get('name', '')}"
