"""Static pods: manifests in a folder of the node become pods of it, which the API shows as mirror pods. Run by ``agent``.

A file that changes makes the pod anew, one that goes ends it. Who deletes the mirror pod ends the pod as well; the next look brings
it back.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping
from pathlib import Path

from lateen.cluster.node.context import NodeContext
from lateen.errors import AlreadyExistsError, InputError, LateenError, NotFoundError
from lateen.kube.meta import Object, meta, timestamp, uid_of
from lateen.kube.resources import PODS
from lateen.kube.yamltext import Source, documents, plain

log = logging.getLogger(__name__)
_EVERY = 5.0
_SOURCE, _HASH = "kubernetes.io/config.source", "kubernetes.io/config.hash"
_MIRROR, _SEEN = "kubernetes.io/config.mirror", "kubernetes.io/config.seen"
_ENDINGS = (".yaml", ".yml", ".json")
Names = tuple[str, str]  # namespace, name


def static_pod(manifest: Object, node: Object, now: str) -> Object:
    """The mirror pod of a manifest. InputError for what is no pod."""
    if manifest.get("kind") != "Pod" or not (name := (manifest.get("metadata") or {}).get("name")):
        raise InputError(f"a static pod must be a v1 Pod with a name, not {manifest.get('kind')}")
    digest = hashlib.sha256(json.dumps(manifest, sort_keys=True).encode()).hexdigest()[:32]
    given, spec = manifest["metadata"], manifest.get("spec") or {}
    marks = {_HASH: digest, _MIRROR: digest, _SOURCE: "file", _SEEN: now}
    owner = {"apiVersion": "v1", "kind": "Node", "name": meta(node)["name"], "uid": uid_of(node), "controller": True}
    metadata = {
        "name": f"{name}-{meta(node)['name']}",
        "namespace": given.get("namespace") or "default",
        "labels": given.get("labels") or {},
        "annotations": {**(given.get("annotations") or {}), **marks},
        "ownerReferences": [owner],
    }
    stays = {"operator": "Exists", "effect": "NoExecute"}
    tolerations = [*(spec.get("tolerations") or ()), stays]
    whole = {**spec, "nodeName": meta(node)["name"], "tolerations": tolerations, "automountServiceAccountToken": False}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": whole}


def changes(wanted: Mapping[Names, Object], there: Mapping[Names, Object]) -> tuple[list[Object], list[Object]]:
    """(pods to make, pods to end): one that changed is ended first and made when it has gone."""
    make = [pod for names, pod in wanted.items() if names not in there]
    end = [pod for names, pod in there.items() if names not in wanted or _digest(pod) != _digest(wanted[names])]
    return make, [pod for pod in end if not meta(pod).get("deletionTimestamp")]


def _digest(pod: Object) -> str:
    return str((meta(pod).get("annotations") or {}).get(_HASH) or "")


def _names(pod: Object) -> Names:
    return meta(pod).get("namespace", ""), meta(pod)["name"]


class StaticPods:
    """The manifests of ``folder``; ``pods`` are those of the node, ``node`` its object."""

    def __init__(
        self, context: NodeContext, folder: Path, *, pods: Callable[[], Iterable[Object]], node: Callable[[], Object]
    ) -> None:
        self._context, self._folder, self._pods, self._node = context, folder, pods, node
        self._said: dict[Path, str] = {}

    async def run(self) -> None:
        """For ever."""
        while True:
            await self._look()
            await self._context.clock.sleep(_EVERY)

    async def _look(self) -> None:
        now = timestamp(self._context.clock.now())
        wanted = {_names(pod): pod for pod in await asyncio.to_thread(self._read, now)}
        there = {_names(pod): pod for pod in self._pods() if (meta(pod).get("annotations") or {}).get(_SOURCE) == "file"}
        make, end = changes(wanted, there)
        for pod in end:
            await self._tried(pod, self._context.client.delete(PODS, meta(pod)["name"], meta(pod)["namespace"], uid=uid_of(pod)))
        for pod in make:
            await self._tried(pod, self._context.client.create(PODS, pod))

    async def _tried(self, pod: Object, work: Awaitable[object]) -> None:
        try:
            await work
        except (NotFoundError, AlreadyExistsError):
            return
        except LateenError as error:
            log.warning("static pod %s/%s: %s", *_names(pod), error)

    def _read(self, now: str) -> list[Object]:
        """Every manifest that can be read; what is wrong with another is said once. Blocking."""
        found = []
        for path in sorted(self._folder.iterdir()) if self._folder.is_dir() else ():
            if path.suffix not in _ENDINGS or path.name.startswith("."):
                continue
            try:
                found += [static_pod(plain(d), self._node(), now) for d in documents(Source(str(path), path.read_text()))]
            except (InputError, OSError, ValueError) as error:
                if self._said.get(path) != str(error):
                    self._said[path] = str(error)
                    log.warning("the manifest %s is no static pod: %s", path, error)
        return found
