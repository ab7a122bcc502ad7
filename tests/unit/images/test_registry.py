"""The registry client against a registry that misbehaves on order."""

import asyncio
import base64
import hashlib
import json
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from lateen.errors import FailedError, InputError
from lateen.images import platform
from lateen.images.blobs import BlobWriter
from lateen.images.layout import INDEX, MANIFEST, ImageStore
from lateen.images.reference import Digest, parse
from lateen.images.registry import credentials, settings
from lateen.images.registry.credentials import Credential, Keyring
from lateen.images.registry.pull import Access, pull
from lateen.images.registry.push import push
from lateen.images.registry.settings import Settings


def sha(data: bytes) -> Digest:
    return Digest("sha256:" + hashlib.sha256(data).hexdigest())


class Fake:
    """A registry in this process. ``said`` keeps its requests; after ``broken`` bytes of a blob it hangs up."""

    def __init__(self) -> None:
        self.blobs: dict[str, bytes] = {}
        self.manifests: dict[str, tuple[str, bytes]] = {}
        self.said: list[str] = []
        self.uploads: dict[str, bytes] = {}
        self.token, self.broken, self.busy, self.host = "", 0, 0, ""

    def image(self, tag: str, *layers: bytes) -> None:
        config = json.dumps({"config": {"Cmd": ["x"]}, "rootfs": {"diff_ids": []}}).encode()
        blobs = [config, *layers]
        self.blobs |= {sha(b): b for b in blobs}
        first, *rest = ({"mediaType": "x", "digest": sha(b), "size": len(b)} for b in blobs)
        data = json.dumps({"schemaVersion": 2, "mediaType": MANIFEST, "config": first, "layers": rest}).encode()
        there = {"os": "linux", "architecture": platform.architecture()}
        other = {"digest": sha(b"other"), "platform": {"os": "linux", "architecture": "s390x"}}
        listed = json.dumps({"mediaType": INDEX, "manifests": [other, {"digest": sha(data), "platform": there}]}).encode()
        self.manifests |= {sha(data): (MANIFEST, data), tag: (INDEX, listed), sha(listed): (INDEX, listed)}

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.said.append(f"{request.method} {request.path}")
        if request.path == "/token":
            user = base64.b64decode(request.headers.get("Authorization", "")[6:]).decode()
            assert request.query["scope"].startswith("repository:team/app:pull")
            return web.json_response({"token": self.token if user == "ann:pw" else "none"})
        if self.token and request.headers.get("Authorization") != f"Bearer {self.token}":
            challenge = f'Bearer realm="http://{self.host}/token",service="s",scope="repository:team/app:pull"'
            return web.json_response({"errors": [{"code": "UNAUTHORIZED"}]}, status=401, headers={"WWW-Authenticate": challenge})
        if self.busy:
            self.busy -= 1
            return web.Response(status=503)
        kind, _, which = request.path.removeprefix("/v2/team/app/").partition("/")
        return await getattr(self, f"{kind}_{request.method.lower()}", self.nothing)(request, which)

    async def nothing(self, request: web.Request, which: str) -> web.StreamResponse:
        return web.Response(status=200 if request.path == "/v2/" else 404)

    async def manifests_get(self, request: web.Request, which: str) -> web.StreamResponse:
        if which not in self.manifests:
            return web.json_response({"errors": [{"code": "MANIFEST_UNKNOWN", "message": "manifest unknown"}]}, status=404)
        kind, data = self.manifests[which]
        return web.Response(body=data, content_type=kind)

    async def manifests_put(self, request: web.Request, which: str) -> web.StreamResponse:
        self.manifests[which] = (request.content_type, await request.read())
        return web.Response(status=201)

    async def blobs_head(self, request: web.Request, which: str) -> web.StreamResponse:
        return web.Response(status=200 if which in self.blobs else 404)

    async def blobs_get(self, request: web.Request, which: str) -> web.StreamResponse:
        data, start = self.blobs[which], 0
        if wanted := request.headers.get("Range"):
            start = int(wanted.removeprefix("bytes=").rstrip("-"))
            self.said.append(f"from {start}")
        headers = {"Content-Range": f"bytes {start}-{len(data) - 1}/{len(data)}"} if start else {}
        answer = web.StreamResponse(status=206 if start else 200, headers=headers)
        answer.content_length = len(data) - start
        await answer.prepare(request)
        if self.broken and start + self.broken < len(data):
            await answer.write(data[start : start + self.broken])
            assert request.transport is not None
            await asyncio.sleep(0.01)
            request.transport.close()
            return answer
        await answer.write(data[start:])
        return answer

    async def blobs_post(self, request: web.Request, which: str) -> web.StreamResponse:
        return web.Response(status=202, headers={"Location": "/v2/team/app/blobs/uploads/u?state=a%2Fb"})

    async def blobs_patch(self, request: web.Request, which: str) -> web.StreamResponse:
        before = self.uploads.get("u", b"")
        assert request.headers["Content-Range"].startswith(f"{len(before)}-")
        self.uploads["u"] = before + await request.read()
        return web.Response(status=202, headers={"Location": "/v2/team/app/blobs/uploads/u?state=a%2Fb"})

    async def blobs_put(self, request: web.Request, which: str) -> web.StreamResponse:
        data = self.uploads.pop("u", b"") + await request.read()
        assert request.query["state"] == "a/b"
        assert request.query["digest"] == sha(data)
        self.blobs[sha(data)] = data
        return web.Response(status=201)


@asynccontextmanager
async def running(fake: Fake) -> AsyncIterator[str]:
    runner = web.ServerRunner(web.Server(fake.handle))  # type: ignore[arg-type] # a Server gives Requests
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    fake.host = f"127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield fake.host
    finally:
        await runner.cleanup()


class QuickClock:
    """Sleeps are noted, not slept."""

    def __init__(self) -> None:
        from lateen.aio.clock import SystemClock

        self.slept: list[float] = []
        self.now, self.monotonic = SystemClock().now, SystemClock().monotonic

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)


@pytest.fixture
def store(tmp_path: Path) -> ImageStore:
    return ImageStore(tmp_path / "store")


async def test_a_pull_takes_this_machines_image_with_a_token_and_only_what_is_missing(store: ImageStore) -> None:
    fake = Fake()
    fake.token = "t1"
    fake.image("1", b"layer-1" * 1000, b"layer-2")
    async with running(fake) as host:
        ref = parse(f"{host}/team/app:1")
        access = Access(keyring=Keyring(entries=((host, Credential(user="ann", password="pw")),)))
        image = await pull(store, ref, access)
        assert len(image.layers) == 2
        assert fake.said.count("GET /token") == 1
        found = store.resolve(f"{host}/team/app:1")
        assert found is not None
        assert found.pulled
        fake.said.clear()
        store.blob(image.layers[1]).unlink()
        await pull(store, ref, access)
        assert [s for s in fake.said if "/blobs/" in s] == [f"GET /v2/team/app/blobs/{image.layers[1]}"]
        by_list = await pull(store, parse(f"{host}/team/app@{sha(fake.manifests['1'][1])}"), access)
        assert by_list.digest == image.digest
        with pytest.raises(FailedError, match="pull access denied"):
            await pull(store, ref, Access())
        with pytest.raises(FailedError, match=r"not found \(MANIFEST_UNKNOWN: manifest unknown\)"):
            await pull(store, parse(f"{host}/team/app:2"), access)


async def test_what_breaks_off_is_continued_and_what_is_busy_is_asked_again(store: ImageStore) -> None:
    fake, clock = Fake(), QuickClock()
    layer = os.urandom(3000)
    fake.image("1", layer)
    fake.broken, fake.busy = 1000, 0
    async with running(fake) as host:
        image = await pull(store, parse(f"{host}/team/app:1"), Access(clock=clock))
        assert [s for s in fake.said if s.startswith("from")] == ["from 1000", "from 2000"]
        assert store.blob(image.layers[0]).read_bytes() == layer
        fake.busy = 2
        await pull(store, parse(f"{host}/team/app:1"), Access(clock=clock))
        assert len(clock.slept) == 4
        fake.busy = 100
        with pytest.raises(FailedError, match="HTTP 503"):
            await pull(store, parse(f"{host}/team/app:1"), Access(clock=clock))


async def test_wrong_content_is_never_kept(store: ImageStore) -> None:
    fake = Fake()
    fake.image("1", b"right")
    (layer,) = (d for d, data in fake.blobs.items() if data == b"right")
    async with running(fake) as host:
        with BlobWriter(store, Digest(layer)) as left:  # an earlier attempt left something else
            left.write(b"rot")
        image = await pull(store, parse(f"{host}/team/app:1"), Access(clock=QuickClock()))
        assert store.blob(image.layers[0]).read_bytes() == b"right"
        store.blob(image.layers[0]).unlink()
        for wrong in (b"wrong", b"much too long"):
            fake.blobs[layer] = wrong
            with pytest.raises(FailedError, match=r"failed to verify|sends more than"):
                await pull(store, parse(f"{host}/team/app:1"), Access(clock=QuickClock()))
            assert not store.blob(image.layers[0]).exists()
        fake.manifests[image.digest] = (MANIFEST, b"{}")
        store.blob(image.digest).unlink()
        with pytest.raises(FailedError, match="failed to verify"):
            await pull(store, parse(f"{host}/team/app:1"), Access(clock=QuickClock()))


async def test_a_mirror_goes_first_and_the_registry_stands_behind_it(store: ImageStore) -> None:
    fake = Fake()
    fake.image("1", b"layer")
    async with running(fake) as host:
        mirrors = Settings(mirrors={"far.example.com": [f"http://{host}/team"]})
        image = await pull(store, parse("far.example.com/app:1"), Access(settings=mirrors))
        assert image.names == ("far.example.com/app:1",)
        dead = Settings(mirrors={host: ["http://127.0.0.1:1"]})
        assert (await pull(store, parse(f"{host}/team/app:1"), Access(settings=dead, clock=QuickClock()))).digest == image.digest


@pytest.mark.parametrize("part", [1 << 26, 7])
async def test_a_push_sends_what_is_missing_whole_or_in_parts(
    store: ImageStore, part: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lateen.images.registry.push._CHUNK", part)
    monkeypatch.setattr("lateen.images.registry.push._AT_ONCE", 1)
    layers = [b"first layer", b"second layer"]
    image = store.put_image(
        config={"config": {}, "rootfs": {"diff_ids": []}},
        layers=[{"mediaType": "x", **store.put_blob(data)} for data in layers],
        names=["a:1"],
    )
    fake = Fake()
    fake.blobs[sha(layers[0])] = layers[0]
    async with running(fake) as host:
        pushed = await push(store, image, parse(f"{host}/team/app:1"), Access())
    assert (pushed.sent, pushed.there) == (2, 1)
    assert pushed.reference == f"{host}/team/app@{image.digest}"
    assert fake.manifests["1"] == (MANIFEST, store.blob(image.digest).read_bytes())
    assert fake.blobs[sha(layers[1])] == layers[1]


def test_plain_http_is_for_this_machine_and_what_is_listed(tmp_path: Path) -> None:
    def schemes(name: str, **more: Any) -> list[tuple[str, ...]]:
        return [tuple(e.schemes) for e in settings.endpoints(Settings(**more), parse(name))]

    assert schemes("nginx") == [("https",)]
    assert schemes("127.0.0.1:5/a") == schemes("localhost:5/a") == [("https", "http")]
    assert schemes("r.lan:5/a", insecure=["r.lan:5"]) == [("https", "http")]
    with pytest.raises(InputError, match="speaks plain HTTP"):
        schemes("nginx", mirrors={"docker.io": ["http://mirror.lan"]})
    file = tmp_path / "registries.yaml"
    assert settings.read(file) == Settings()
    for wrong in ("mirrors: [a]", "what: 1", "mirrors: {a: [b]}", "[", "insecure: a"):
        file.write_text(wrong)
        with pytest.raises(InputError):
            settings.read(file)
    file.write_text("mirrors: {docker.io: ['https://m.example.com/hub']}\ninsecure: [r.lan]\n")
    (mirror, hub) = settings.endpoints(settings.read(file), parse("nginx"))
    assert (mirror.host, mirror.path, hub.host, hub.path) == (
        "m.example.com",
        "hub/library/nginx",
        "registry-1.docker.io",
        "library/nginx",
    )


def secret(config: dict[str, Any]) -> dict[str, Any]:
    return {"data": {".dockerconfigjson": base64.b64encode(json.dumps(config).encode()).decode()}}


def auths(**entries: str) -> dict[str, Any]:
    return {"auths": {k.replace("_", "."): {"auth": base64.b64encode(v.encode()).decode()} for k, v in entries.items()}}


def test_credentials_of_docker_and_of_pods(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    helper = tmp_path / "docker-credential-fake"
    helper.write_text(
        "#!/bin/sh\nread s\n[ $s = h.io ] || { echo credentials not found; exit 1; }\n"
        'echo \'{"Username":"<token>","Secret":"x"}\'\n'
    )
    helper.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
    (tmp_path / "config.json").write_text(json.dumps({**auths(r_io="ann:p:w"), "credHelpers": {"h.io": "fake", "g.io": "fake"}}))
    own = credentials.own()
    assert own.find("r.io", "a") == [Credential(user="ann", password="p:w")]
    assert own.find("h.io", "a") == [Credential(token="x")]
    assert own.find("g.io", "a") == []
    assert "p:w" not in repr(own)
    users = {"https://index.docker.io/v1/": "hub", "r.io/team": "deep", "*.io": "any"}
    entries = {"auths": {key: {"username": user, "password": "p"} for key, user in users.items()}}
    of_pod = credentials.of_secrets([secret(entries), {"data": {".dockerconfigjson": "!"}}, secret({"credsStore": "fake"})])
    assert [c.user for c in of_pod.find("registry-1.docker.io", "library/nginx")] == ["hub", "any"]
    assert [c.user for c in of_pod.find("r.io", "team/a")] == ["deep", "any"]
    assert [c.user for c in (of_pod | own).find("r.io", "teams")] == ["any", "ann"]
    assert of_pod.find("h.io", "a") == [Credential(user="any", password="p")]  # no helper for pods
