"""Custom resources whose versions a webhook converts: stored in one version, read, written, listed and watched in another."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from extension import behind_service, extension

from lateen.client.client import Client
from lateen.errors import InvalidError, ServerError
from lateen.kube.meta import Object
from lateen.kube.resources import CRDS, Resource


class Converter:
    """``v1`` has ``spec.hostPort``, ``v2`` has ``spec.host`` and ``spec.port``."""

    def __init__(self) -> None:
        self.asked: list[int] = []
        self.refuses = False

    async def __call__(self, request: web.Request) -> web.Response:
        asked = (await request.json())["request"]
        self.asked.append(len(asked["objects"]))
        made = [self.convert(o, asked["desiredAPIVersion"]) for o in asked["objects"]]
        result = {"status": "Failure", "message": "no thanks"} if self.refuses else {"status": "Success"}
        response = {"uid": asked["uid"], "result": result, "convertedObjects": made}
        return web.json_response({"kind": "ConversionReview", "apiVersion": "apiextensions.k8s.io/v1", "response": response})

    def convert(self, obj: Object, wanted: str) -> Object:
        spec = obj["spec"]
        if wanted.endswith("/v2"):
            host, _, port = spec["hostPort"].partition(":")
            return {**obj, "apiVersion": wanted, "spec": {"host": host, "port": int(port)}}
        return {**obj, "apiVersion": wanted, "spec": {"hostPort": f"{spec['host']}:{spec['port']}"}}


def resource(version: str) -> Resource:
    return Resource(group="example.org", version=version, kind="Door", plural="doors", namespaced=True)


def version(name: str, fields: Any, *, storage: bool) -> Any:
    schema = {"type": "object", "properties": {"spec": {"type": "object", "properties": fields}}}
    column = {"name": "Where", "type": "string", "jsonPath": ".spec.host" if name == "v2" else ".spec.hostPort"}
    base = {"name": name, "served": True, "storage": storage, "schema": {"openAPIV3Schema": schema}}
    return {**base, "additionalPrinterColumns": [column]}


def definition(bundle: str, **conversion: Any) -> Object:
    text, number = {"type": "string"}, {"type": "integer"}
    versions = [version("v1", {"hostPort": text}, storage=True), version("v2", {"host": text, "port": number}, storage=False)]
    client = {"service": {"namespace": "default", "name": "ext", "path": "/convert"}, "caBundle": bundle}
    webhook = {"clientConfig": client, "conversionReviewVersions": ["v1"]}
    spec = {"group": "example.org", "scope": "Namespaced", "names": {"plural": "doors", "kind": "Door"}, "versions": versions}
    spec["conversion"] = {"strategy": "Webhook", "webhook": webhook, **conversion}
    return {"metadata": {"name": "doors.example.org"}, "spec": spec}


@pytest.fixture
async def converter(tmp_path: Path, client: Client) -> AsyncIterator[Converter]:
    made = Converter()
    async with extension(tmp_path, made) as found:
        await behind_service(client, found.port)
        await client.create(CRDS, definition(found.bundle))
        yield made


V1, V2 = resource("v1"), resource("v2")


def door(**spec: Any) -> Object:
    return {"metadata": {"name": "front", "namespace": "default"}, "spec": spec}


@pytest.mark.usefixtures("converter")
async def test_written_in_one_version_and_read_in_the_other(client: Client) -> None:
    made = await client.create(V2, door(host="a", port=80))
    assert made["spec"] == {"host": "a", "port": 80} and made["apiVersion"] == "example.org/v2"
    assert (await client.get(V1, "front", "default"))["spec"] == {"hostPort": "a:80"}
    changed = await client.patch(V2, "front", {"spec": {"port": 81}}, namespace="default")
    assert changed["spec"] == {"host": "a", "port": 81}
    assert (await client.update(V1, {**(await client.get(V1, "front", "default")), "spec": {"hostPort": "b:1"}}))["spec"]
    assert (await client.get(V2, "front", "default"))["spec"] == {"host": "b", "port": 1}
    applied = {"apiVersion": "example.org/v2", "kind": "Door", **door(host="b", port=1), "metadata": {"name": "front"}}
    assert (await client.apply(V2, {**applied, "metadata": {"name": "front", "namespace": "default", "labels": {"a": "b"}}}))[
        "spec"
    ]
    await client.delete(V2, "front", "default")


async def test_lists_ask_once_and_watches_follow(client: Client, converter: Converter) -> None:
    for name in ("one", "two", "three"):
        await client.create(V1, {"metadata": {"name": name, "namespace": "default"}, "spec": {"hostPort": f"{name}:1"}})
    assert not converter.asked
    listed = await client.list(V2, "default")
    assert [o["spec"]["host"] for o in listed.items] == ["one", "three", "two"] and converter.asked == [3]
    await client.list(V2, "default")
    assert converter.asked == [3]
    await client.patch(V1, "one", {"spec": {"hostPort": "new:2"}}, namespace="default")
    async for event in client.watch(V2, "default", resource_version=listed.resource_version):
        assert event.object["spec"] == {"host": "new", "port": 2}
        break
    table = await client.raw(
        "GET", "/apis/example.org/v2/namespaces/default/doors", accept="application/json;as=Table;v=v1;g=meta.k8s.io"
    )
    assert [row["cells"] for row in table.object["rows"]] == [["one", "new"], ["three", "three"], ["two", "two"]]


async def test_a_webhook_that_refuses(client: Client, converter: Converter) -> None:
    converter.refuses = True
    with pytest.raises(ServerError, match=r"conversion webhook for example\.org/v2, Kind=Door failed: no thanks"):
        await client.create(V2, door(host="a", port=80))
    await client.create(V1, door(hostPort="a:80"))
    with pytest.raises(ServerError, match=r"conversion webhook for example\.org/v1, Kind=Door failed: no thanks"):
        await client.list(V2, "default")
    events = [e async for e in errors(client)]
    assert events == ["no thanks"]


async def errors(client: Client) -> AsyncIterator[str]:
    try:
        async for _ in client.watch(V2, "default"):
            yield "an event"
    except ServerError as error:
        yield str(error).rpartition(": ")[2]


async def test_what_cannot_be_is_refused(client: Client) -> None:
    with pytest.raises(InvalidError, match=r"spec\.conversion\.webhook\.clientConfig: Required value"):
        await client.create(CRDS, definition("", webhook={"conversionReviewVersions": ["v1"]}))
