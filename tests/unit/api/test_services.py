"""Service addresses and node ports: taken, kept, given back."""

from __future__ import annotations

from ipaddress import IPv4Network
from typing import Any

import pytest

from lateen.client.client import Client
from lateen.cluster.api.allocation import ServiceAddresses
from lateen.cluster.api.server import ApiServer
from lateen.errors import AlreadyExistsError, InvalidError
from lateen.kube.meta import Object
from lateen.kube.resources import SERVICES


def service(name: str, **spec: Any) -> Object:
    body = {"ports": [{"port": 80}], "selector": {"a": "b"}, **spec}
    return {"metadata": {"name": name, "namespace": "default"}, "spec": body}


async def test_addresses_differ_and_come_back(client: Client) -> None:
    first = await client.create(SERVICES, service("a"))
    second = await client.create(SERVICES, service("b"))
    ips = {first["spec"]["clusterIP"], second["spec"]["clusterIP"]}
    assert len(ips) == 2 and all(ip.startswith("127.96.") for ip in ips)
    assert first["spec"]["clusterIPs"] == [first["spec"]["clusterIP"]] and first["spec"]["ipFamilies"] == ["IPv4"]
    with pytest.raises(InvalidError, match="provided IP is already allocated"):
        await client.create(SERVICES, service("c", clusterIP=first["spec"]["clusterIP"]))
    await client.delete(SERVICES, "a", "default")
    again = await client.create(SERVICES, service("c", clusterIP=first["spec"]["clusterIP"]))
    assert again["spec"]["clusterIP"] == first["spec"]["clusterIP"]


async def test_headless_and_external_names_take_none(client: Client) -> None:
    headless = await client.create(SERVICES, service("a", clusterIP="None"))
    assert headless["spec"]["clusterIP"] == "None"
    external = await client.create(SERVICES, service("b", type="ExternalName", externalName="x.example", ports=[]))
    assert "clusterIP" not in external["spec"]


async def test_a_replacement_keeps_what_was_allocated(client: Client) -> None:
    made = await client.create(SERVICES, service("a", type="NodePort"))
    changed = await client.update(SERVICES, service("a", type="NodePort", selector={"c": "d"}))
    assert changed["spec"]["clusterIP"] == made["spec"]["clusterIP"]
    assert changed["spec"]["ports"][0]["nodePort"] == made["spec"]["ports"][0]["nodePort"]
    plain = await client.update(SERVICES, service("a"))
    assert "nodePort" not in plain["spec"]["ports"][0]
    port = made["spec"]["ports"][0]["nodePort"]
    other = await client.create(SERVICES, service("b", type="NodePort", ports=[{"port": 80, "nodePort": port}]))
    assert other["spec"]["ports"][0]["nodePort"] == port


async def test_a_failed_create_gives_back(client: Client, api: ApiServer) -> None:
    await client.create(SERVICES, service("a"))
    with pytest.raises(AlreadyExistsError):
        await client.create(SERVICES, service("a", clusterIP="127.96.1.1"))
    await client.create(SERVICES, service("dry", clusterIP="127.96.1.1"), dry_run=True)
    assert (await client.create(SERVICES, service("b", clusterIP="127.96.1.1")))["spec"]["clusterIP"] == "127.96.1.1"


async def test_what_is_stored_is_taken_after_a_restart(client: Client, api: ApiServer) -> None:
    made = await client.create(SERVICES, service("a", type="NodePort"))
    fresh = ServiceAddresses(api.backend.addresses.network)
    fresh.load([made])
    with pytest.raises(ValueError, match="already allocated"):
        fresh.take_ip("default/b", made["spec"]["clusterIP"])
    with pytest.raises(ValueError, match="already allocated"):
        fresh.take_port("default/b", made["spec"]["ports"][0]["nodePort"])


def test_a_full_range_says_so() -> None:
    addresses = ServiceAddresses(IPv4Network("127.96.0.0/27"), (30000, 30001))
    taken = {addresses.take_ip(f"d/{i}") for i in range(15)}
    assert len(taken) == 15
    with pytest.raises(ValueError, match="range is full"):
        addresses.take_ip("d/x")
    assert {addresses.take_port("d/a"), addresses.take_port("d/b")} == {30000, 30001}
    with pytest.raises(ValueError, match="range is full"):
        addresses.take_port("d/c")
    with pytest.raises(ValueError, match="not in the valid range"):
        addresses.take_ip("d/x", "10.0.0.1")
