"""Fetch an image from its registry or a mirror into the store: its manifest for this machine, then what is missing, side by side.

Every byte is checked against its digest. What broke off is continued where it stopped, now or in the next attempt.
"""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import aiohttp
import orjson

from lateen.aio.clock import Clock, SystemClock
from lateen.aio.tasks import outcomes
from lateen.aio.threads import run_blocking
from lateen.errors import FailedError, LateenError, TransportError
from lateen.images import platform
from lateen.images.blobs import BlobWriter
from lateen.images.layout import LISTS, MANIFEST, Image, ImageStore
from lateen.images.reference import Digest, Reference, checked_digest
from lateen.images.registry.credentials import Credential, Keyring
from lateen.images.registry.http import RegistryError, Repository, retried, session
from lateen.images.registry.settings import Endpoint, Settings, endpoints

Progress = Callable[[str], None]
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
_ACCEPT = ", ".join((MANIFEST, DOCKER_MANIFEST, *LISTS))
_MANIFEST_MOST = 8 << 20
_AT_ONCE = 4
_PIECE = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """How to reach registries: ``settings`` of the machine, ``keyring`` of whoever asks."""

    settings: Settings = field(default_factory=Settings)
    keyring: Keyring = field(default_factory=Keyring)
    clock: Clock = field(default_factory=SystemClock)


async def pull(store: ImageStore, reference: Reference, access: Access, progress: Progress = lambda _: None) -> Image:
    """The image, in the store and named. FailedError says what each endpoint and credential led to."""
    problems: list[str] = []
    async with session() as http, writing(store):
        for endpoint in endpoints(access.settings, reference):
            for credential in await credentials_for(access.keyring, endpoint):
                try:
                    return await _Pull(store, Repository(http, endpoint, credential), access.clock, progress).run(reference)
                except (RegistryError, TransportError) as error:
                    problems.append(_said(endpoint, reference, error))
    raise FailedError(f'failed to resolve reference "{_full(reference)}": {"; ".join(dict.fromkeys(problems))}')


async def credentials_for(keyring: Keyring, endpoint: Endpoint) -> list[Credential | None]:
    """Whom to try, in order: nobody, if none is known."""
    return [*await run_blocking(lambda: keyring.find(endpoint.host, endpoint.path))] or [None]


def _said(endpoint: Endpoint, reference: Reference, error: LateenError) -> str:
    words = str(error)
    if isinstance(error, RegistryError) and error.status in (401, 403):
        words = f"pull access denied, repository does not exist or may require authorization ({error})"
    elif isinstance(error, RegistryError) and error.status == 404:
        words = f"not found ({error})"
    return words if endpoint.host.endswith(reference.registry) else f"mirror {endpoint.host}: {words}"


def _full(reference: Reference) -> str:
    return str(replace(reference, repository=f"{reference.registry}/{reference.path}"))


@asynccontextmanager
async def writing(store: ImageStore) -> AsyncIterator[None]:
    """``store.writing()`` without holding up the loop."""
    held = store.writing()
    await run_blocking(held.__enter__)
    try:
        yield
    finally:
        held.__exit__(None, None, None)


class _Pull:
    def __init__(self, store: ImageStore, repository: Repository, clock: Clock, progress: Progress) -> None:
        self._store, self._repository, self._clock, self._progress = store, repository, clock, progress

    async def run(self, reference: Reference) -> Image:
        digest, manifest = await self._manifest(reference.digest or reference.tag)
        if "manifests" in manifest:
            digest, manifest = await self._manifest(checked_digest(platform.choose(manifest).get("digest")))
        needed = _needed(manifest)
        missing = [d for d in needed if not self._store.blob(d["digest"]).exists()]
        self._progress(f"{len(missing)} of {len(needed)} blobs, {sum(d['size'] for d in missing) >> 10} KiB")
        for result in await outcomes((self._blob(d) for d in missing), at_once=_AT_ONCE):
            if isinstance(result, Exception):
                raise result
        return await run_blocking(lambda: self._name(reference, digest))

    def _name(self, reference: Reference, digest: Digest) -> Image:
        image = self._store.find(digest)
        assert image is not None  # just fetched
        now = self._clock.now().strftime("%Y-%m-%dT%H:%M:%SZ")
        self._store.tag([str(reference)], image, pulled=now)
        return replace(image, names=(str(reference),), pulled=True)

    async def _manifest(self, which: str) -> tuple[Digest, dict[str, Any]]:
        """A manifest or list by tag or digest, checked and stored."""
        if which.startswith("sha256:") and self._store.blob(Digest(which)).exists():
            try:
                return Digest(which), await run_blocking(lambda: self._store.manifest(Digest(which)))
            except FailedError:
                pass  # it was damaged and is gone now
        data = await retried(self._clock, lambda: self._fetch_manifest(which))
        digest = Digest("sha256:" + hashlib.sha256(data).hexdigest())
        if which.startswith("sha256:") and which != digest:
            raise RegistryError(502, f"failed to verify {which}: {self._repository.endpoint.host} sent {digest}")
        try:
            manifest = orjson.loads(data)
            if "manifests" not in manifest:
                _needed(manifest)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise RegistryError(502, f"the manifest of {which} cannot be understood: {error!r}") from error
        await run_blocking(lambda: self._store.put_blob(data))
        return digest, manifest

    async def _fetch_manifest(self, which: str) -> bytes:
        url = self._repository.url(f"manifests/{which}")
        async with self._repository.request("GET", url, headers={"Accept": _ACCEPT}) as response:
            data = bytearray()
            async for piece in response.content.iter_any():
                data += piece
                if len(data) > _MANIFEST_MOST:
                    raise RegistryError(502, f"the manifest of {which} is larger than {_MANIFEST_MOST >> 20} MiB")
            return bytes(data)

    async def _blob(self, descriptor: Mapping[str, Any]) -> None:
        with await run_blocking(lambda: BlobWriter(self._store, descriptor["digest"])) as blob:
            for last in (False, True):
                await retried(self._clock, lambda: self._fetch_blob(descriptor, blob))
                try:
                    await run_blocking(blob.commit)
                    break
                except FailedError:  # perhaps what an earlier attempt left: from the start, once
                    if last:
                        raise
        self._progress(f"fetched {descriptor['digest'][7:19]} {descriptor['size'] >> 10} KiB")

    async def _fetch_blob(self, descriptor: Mapping[str, Any], blob: BlobWriter) -> None:
        """The rest of a blob after what is there."""
        size = descriptor["size"]
        if blob.size > size:
            await run_blocking(blob.restart)
        if blob.size == size:
            return
        headers = {"Range": f"bytes={blob.size}-"} if blob.size else {}
        async with self._repository.request(
            "GET", self._repository.url(f"blobs/{descriptor['digest']}"), headers=headers
        ) as answer:
            if blob.size and (
                answer.status != 206 or not answer.headers.get("Content-Range", "").startswith(f"bytes {blob.size}-")
            ):
                await run_blocking(blob.restart)
            await _pour(answer, blob, size)
        if blob.size != size:
            raise TransportError(f"{self._repository.endpoint.host} broke off after {blob.size} of {size} bytes")


async def _pour(answer: aiohttp.ClientResponse, blob: BlobWriter, size: int) -> None:
    """What arrives, in large pieces, written beside the loop."""
    held = bytearray()
    try:
        async for piece in answer.content.iter_any():
            held += piece
            if blob.size + len(held) > size:
                held.clear()
                await run_blocking(blob.restart)
                raise RegistryError(416, f"the registry sends more than the {size} bytes that its manifest says")
            if len(held) >= _PIECE:
                data, held = held, bytearray()
                await run_blocking(partial(blob.write, data))
    finally:
        if held:  # also when it broke off: the next attempt goes on from there
            await run_blocking(partial(blob.write, held))


def _needed(manifest: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Descriptors of the config and the layers, each blob once."""
    if manifest.get("schemaVersion") == 1:
        raise RegistryError(415, "the image has a manifest of schema 1, which nobody should use any more: push it again")
    found = {}
    for descriptor in (manifest["config"], *manifest["layers"]):
        digest = checked_digest(descriptor["digest"])
        if str(descriptor.get("mediaType", "")).endswith("zstd"):
            raise RegistryError(415, "the image has layers compressed with zstd, which cannot be unpacked here")
        found[digest] = {"digest": digest, "size": int(descriptor["size"])}
    return list(found.values())
