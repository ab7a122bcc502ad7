"""The delta protocol without a network: a pretended proxy talks to a session."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from envoy.service.discovery.v3 import discovery_pb2
from google.protobuf import wrappers_pb2

from lateen.traffic.xds.cache import Cache
from lateen.traffic.xds.compile import Changes
from lateen.traffic.xds.resource import CLUSTER, ENDPOINTS, LISTENER, ROUTES, Name, Resource
from lateen.traffic.xds.session import Session


def made(kind: str, name: str, version: str, *needs: str) -> Resource:
    packed = discovery_pb2.Resource(name=name, version=version)
    packed.resource.Pack(wrappers_pb2.StringValue(value=version))
    return Resource(Name(kind, name), version, frozenset(needs), packed)


class Rig:
    def __init__(self) -> None:
        self.cache = Cache()
        self.session = Session(self.cache)

    def put(self, *resources: Resource, drop: Iterable[Name] = ()) -> None:
        self.session.touch(self.cache.apply(Changes(resources, tuple(drop))))

    def ask(self, kind: str, *names: str, initial: dict[str, str] | None = None, leave: Iterable[str] = ()) -> None:
        self.session.hear(
            discovery_pb2.DeltaDiscoveryRequest(
                type_url=kind,
                resource_names_subscribe=names,
                resource_names_unsubscribe=leave,
                initial_resource_versions=initial or {},
            )
        )

    def answer(self, message: Any, error: str = "") -> None:
        request = discovery_pb2.DeltaDiscoveryRequest(type_url=message.type_url, response_nonce=message.nonce)
        if error:
            request.error_detail.message = error
        self.session.hear(request)

    def sent(self) -> Any:
        """Take the next message without an answer."""
        message = self.session.next()
        assert message is not None
        return message

    def next(self) -> tuple[str, list[str], list[str]] | None:
        """Take the next message and acknowledge it: (type, put, dropped)."""
        message = self.session.next()
        if message is None:
            return None
        self.answer(message)
        return message.type_url, [r.name for r in message.resources], list(message.removed_resources)

    def all(self) -> list[tuple[str, list[str], list[str]]]:
        said = []
        while (message := self.next()) is not None:
            said.append(message)
        return said


def connected() -> Rig:
    rig = Rig()
    rig.put(made(CLUSTER, "c", "1"), made(ENDPOINTS, "c", "1"), made(LISTENER, "l", "1"), made(ROUTES, "r", "1", "c"))
    rig.ask(CLUSTER)
    rig.ask(LISTENER)
    rig.all()
    rig.ask(ENDPOINTS, "c")
    rig.ask(ROUTES, "r")
    rig.all()
    return rig


def test_an_empty_answer_greets_a_proxy() -> None:
    rig = Rig()
    rig.ask(CLUSTER)
    assert rig.all() == [(CLUSTER, [], [])]


def test_routes_wait_for_their_clusters_and_endpoints() -> None:
    rig = Rig()
    rig.put(made(CLUSTER, "c", "1"), made(ENDPOINTS, "c", "1"), made(ROUTES, "r", "1", "c"))
    rig.ask(ROUTES, "r")
    assert rig.all() == []
    rig.ask(CLUSTER)
    assert rig.all() == [(CLUSTER, ["c"], [])]
    rig.ask(ENDPOINTS, "c")
    assert rig.all() == [(ENDPOINTS, ["c"], []), (ROUTES, ["r"], [])]


def test_a_new_cluster_comes_before_the_route_to_it_and_an_old_one_goes_after() -> None:
    rig = connected()
    rig.put(
        made(CLUSTER, "new", "1"),
        made(ENDPOINTS, "new", "1"),
        made(ROUTES, "r", "2", "new"),
        drop=(Name(CLUSTER, "c"), Name(ENDPOINTS, "c")),
    )
    assert rig.all() == [(CLUSTER, ["new"], [])]
    rig.ask(ENDPOINTS, "new")
    assert rig.all() == [(ENDPOINTS, ["new"], []), (ROUTES, ["r"], []), (CLUSTER, [], ["c"])]


def test_changes_merge_while_a_message_is_under_way() -> None:
    rig = connected()
    rig.put(made(ENDPOINTS, "c", "2"))
    message = rig.sent()
    rig.put(made(ENDPOINTS, "c", "3"))
    rig.put(made(ENDPOINTS, "c", "4"))
    assert rig.session.next() is None
    rig.answer(message)
    last = rig.sent()
    assert [r.version for r in last.resources] == ["4"]


def test_reached_tells_since_when() -> None:
    rig = connected()
    name = Name(ENDPOINTS, "c")
    rig.put(made(ENDPOINTS, "c", "2"))
    serial = rig.cache.serial
    assert not rig.session.reached(name, serial)
    message = rig.sent()
    assert not rig.session.reached(name, serial)
    rig.put(made(ENDPOINTS, "c", "3"))
    rig.answer(message)
    assert rig.session.reached(name, serial)
    assert not rig.session.reached(name, rig.cache.serial)
    assert not rig.session.has(name)
    rig.all()
    assert rig.session.has(name)


def test_a_reconnect_sends_only_differences() -> None:
    rig = Rig()
    rig.put(made(CLUSTER, "c", "1"), made(CLUSTER, "d", "2"), made(ENDPOINTS, "c", "1"))
    rig.ask(CLUSTER, initial={"c": "1", "d": "1", "gone": "1"})
    rig.ask(ENDPOINTS, "c", initial={"c": "1"})
    assert rig.all() == [(CLUSTER, ["d"], [])]
    rig.ask(LISTENER)
    rig.ask(ROUTES)
    assert rig.all() == [(LISTENER, [], []), (CLUSTER, [], ["gone"])]
    assert rig.session.reached(Name(ENDPOINTS, "c"), rig.cache.serial)


def test_what_is_asked_for_again_is_sent_again() -> None:
    rig = connected()
    rig.ask(ENDPOINTS, "c")
    assert rig.all() == [(ENDPOINTS, ["c"], [])]


def test_what_does_not_exist_is_told() -> None:
    rig = connected()
    rig.ask(ROUTES, "missing")
    assert rig.all() == [(ROUTES, [], ["missing"])]
    rig.put(made(ROUTES, "missing", "1"))
    assert rig.all() == [(ROUTES, ["missing"], [])]


def test_a_refusal_names_the_guilty_and_the_rest_is_kept_or_tried_again() -> None:
    rig = connected()
    rig.put(made(LISTENER, "bad", "1"), made(LISTENER, "good", "1"))
    rig.answer(rig.sent(), "Error adding/updating listener(s) bad: cannot bind")
    assert rig.session.refusal(Name(LISTENER, "bad")).endswith("cannot bind")
    assert rig.all() == [(LISTENER, ["good"], [])]
    assert rig.session.has(Name(LISTENER, "good"))
    assert rig.all() == []  # what was refused is not offered again by itself
    rig.put(made(LISTENER, "bad", "2"))
    assert rig.all() == [(LISTENER, ["bad"], [])]
    assert rig.session.refusal(Name(LISTENER, "bad")) == ""


def test_a_refusal_that_names_nobody_is_tried_one_by_one() -> None:
    rig = connected()
    rig.ask(ROUTES, "x", "y")
    rig.all()
    rig.put(made(ROUTES, "x", "1"), made(ROUTES, "y", "1"))
    rig.answer(rig.sent(), "something is wrong")
    first = rig.sent()
    assert len(first.resources) == 1
    rig.answer(first, "something is wrong")
    second = rig.sent()
    rig.answer(second)
    assert {r.name for m in (first, second) for r in m.resources} == {"x", "y"}
    assert [n.name for n, _ in rig.session.refusals()] == [first.resources[0].name]


def test_refused_things_are_offered_again_on_request() -> None:
    rig = connected()
    rig.put(made(LISTENER, "bad", "1"))
    rig.answer(rig.sent(), "bad: cannot bind")
    assert rig.session.retry_refused()
    assert rig.session.refusal(Name(LISTENER, "bad"))  # until it is accepted
    assert rig.all() == [(LISTENER, ["bad"], [])]
    assert not rig.session.retry_refused()
