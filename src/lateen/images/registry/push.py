"""Give an image to its registry: blobs that it lacks, side by side, then the manifest. Called by ``lateen image push``.

A blob that the registry has in another repository, as far as this store's names tell, is mounted from there instead of being sent.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from yarl import URL

from lateen.aio.tasks import outcomes
from lateen.aio.threads import run_blocking
from lateen.errors import FailedError, LateenError
from lateen.images.layout import MANIFEST, Image, ImageStore
from lateen.images.reference import Digest, Reference, parse
from lateen.images.registry.http import RegistryError, Repository, retried, session
from lateen.images.registry.pull import Access, Progress, credentials_for, writing
from lateen.images.registry.settings import Endpoint, endpoints

_AT_ONCE = 4
_PIECE = 1 << 20
_CHUNK = 64 << 20  # a blob above it is sent in parts, because proxies refuse bodies that are larger


@dataclass(frozen=True, slots=True, kw_only=True)
class Pushed:
    """The reference by digest, and what became of the blobs."""

    reference: str
    sent: int
    mounted: int
    there: int


async def push(
    store: ImageStore, image: Image, reference: Reference, access: Access, progress: Progress = lambda _: None
) -> Pushed:
    """Push a stored image as ``reference``. FailedError says what the registry said."""
    endpoint = endpoints(access.settings, reference, mirrors=False)[0]
    problems: list[str] = []
    async with session() as http, writing(store):
        known = await run_blocking(lambda: _elsewhere(store, reference))
        also = tuple(sorted({path for paths in known.values() for path in paths}))
        for credential in await credentials_for(access.keyring, endpoint):
            repository = Repository(http, endpoint, credential, actions="pull,push", also=also)
            try:
                return await _Push(store, repository, access, progress, known).run(image, reference)
            except LateenError as error:
                problems.append(_said(endpoint, error))
                if not (isinstance(error, RegistryError) and error.status in (401, 403)):
                    break
    raise FailedError(f"failed to push {reference}: {'; '.join(dict.fromkeys(problems))}")


def _said(endpoint: Endpoint, error: LateenError) -> str:
    if isinstance(error, RegistryError) and error.status in (401, 403):
        return f"{endpoint.host} does not let this user push there ({error}); log in with docker, podman or skopeo login"
    return str(error)


def _elsewhere(store: ImageStore, reference: Reference) -> dict[Digest, list[str]]:
    """Layers of images that came from (or were given to) the same registry under another name, and the repositories."""
    found: dict[Digest, list[str]] = {}
    for name, digest in store.names():
        other = parse(name)
        if other.registry == reference.registry and other.path != reference.path and (image := store.find(digest)):
            for layer in image.layers:
                found.setdefault(layer, []).append(other.path)
    return {layer: list(dict.fromkeys(paths))[:1] for layer, paths in found.items()}


class _Push:
    def __init__(
        self,
        store: ImageStore,
        repository: Repository,
        access: Access,
        progress: Progress,
        known: Mapping[Digest, list[str]],
    ) -> None:
        self._store, self._repository, self._clock = store, repository, access.clock
        self._progress, self._known = progress, known
        self._counts = {"sent": 0, "mounted": 0, "there": 0}

    async def run(self, image: Image, reference: Reference) -> Pushed:
        manifest = await run_blocking(lambda: self._store.manifest(image.digest))
        needed = {d["digest"]: int(d["size"]) for d in (*manifest["layers"], manifest["config"])}
        for result in await outcomes((self._blob(Digest(d), size) for d, size in needed.items()), at_once=_AT_ONCE):
            if isinstance(result, Exception):
                raise result
        await retried(self._clock, lambda: self._manifest(manifest, image.digest, reference))
        name = Reference(repository=reference.repository, digest=image.digest)
        return Pushed(reference=str(name), **self._counts)

    async def _manifest(self, manifest: Mapping[str, Any], digest: Digest, reference: Reference) -> None:
        data = await run_blocking(self._store.blob(digest).read_bytes)
        url = self._repository.url(f"manifests/{reference.tag or digest}")
        headers = {"Content-Type": str(manifest.get("mediaType") or MANIFEST)}
        async with self._repository.request("PUT", url, headers=headers, data=data) as answer:
            said = answer.headers.get("Docker-Content-Digest", digest)
            if said != digest:
                raise RegistryError(502, f"the registry stored {said} for {digest}")

    async def _blob(self, digest: Digest, size: int) -> None:
        how = await retried(self._clock, lambda: self._offer(digest, size))
        self._counts[how] += 1
        self._progress(f"{how:7} {digest[7:19]} {size >> 10} KiB")

    async def _offer(self, digest: Digest, size: int) -> str:
        async with self._repository.request("HEAD", self._repository.url(f"blobs/{digest}"), missing=True) as answer:
            if answer.status != 404:
                return "there"
        place = await self._begin(digest)
        if place is None:
            return "mounted"
        path = await run_blocking(lambda: self._store.verified(digest))
        if size > _CHUNK:
            place = await self._parts(place, path, size)
            await self._send("PUT", _finish(place, digest), {"Content-Length": "0"}, None)
        else:
            headers = {"Content-Length": str(size), "Content-Type": "application/octet-stream"}
            await self._send("PUT", _finish(place, digest), headers, lambda: _read(path, 0, size))
        return "sent"

    async def _begin(self, digest: Digest) -> str | None:
        """Where to send a blob; None when the registry could take it from another repository."""
        others = self._known.get(digest) or ()
        query = "".join(f"?mount={digest}&from={other}" for other in others)
        async with self._repository.request("POST", self._repository.url(f"blobs/uploads/{query}")) as answer:
            return None if answer.status == 201 else _location(str(answer.url), answer.headers)

    async def _parts(self, place: str, path: Path, size: int) -> str:
        for start in range(0, size, _CHUNK):
            length = min(_CHUNK, size - start)
            headers = {"Content-Length": str(length), "Content-Type": "application/octet-stream"}
            headers["Content-Range"] = f"{start}-{start + length - 1}"
            place = await self._send("PATCH", place, headers, partial(_read, path, start, length))
        return place

    async def _send(
        self, method: str, url: str, headers: Mapping[str, str], data: Callable[[], AsyncIterator[bytes]] | None
    ) -> str:
        async with self._repository.request(method, url, headers=headers, data=data) as answer:
            return _location(str(answer.url), answer.headers) if method == "PATCH" else ""


def _location(base: str, headers: Mapping[str, str]) -> str:
    if "Location" not in headers:
        raise RegistryError(502, "the registry does not say where to send a blob")
    return str(URL(base).join(URL(headers["Location"], encoded=True)))


def _finish(place: str, digest: Digest) -> str:
    return f"{place}{'&' if '?' in place else '?'}digest={digest}"


async def _read(path: Path, start: int, length: int) -> AsyncIterator[bytes]:
    with path.open("rb") as file:
        file.seek(start)
        while length > 0:
            data = await run_blocking(partial(file.read, min(_PIECE, length)))
            if not data:
                return
            length -= len(data)
            yield data
