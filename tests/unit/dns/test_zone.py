"""Golden story: Services and EndpointSlices in ``answers.in.yaml``, what each question gets in ``answers.out.yaml``."""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any

import yaml

from lateen.cluster.dns.data import Entry, entry
from lateen.cluster.dns.entries import entry_of
from lateen.cluster.dns.zone import NXDOMAIN, Answer, Record, Zone
from lateen.kube.meta import Key, labels_of

STORY = Path(__file__).parents[2] / "golden" / "dns"


def zone_of(story: Any) -> Zone:
    zone = Zone(own=[IPv4Network("10.96.0.0/16"), IPv4Network("10.64.0.0/16")], server="10.96.0.10")
    zone.serial = 7
    zone.set_namespaces(story["namespaces"])
    slices = [o for o in story["objects"] if o["kind"] == "EndpointSlice"]
    for service in story["objects"]:
        if service["kind"] == "Service":
            mine = [s for s in slices if labels_of(s)["kubernetes.io/service-name"] == service["metadata"]["name"]]
            made = entry_of(service, mine)
            assert entry(made.wire() | {"key": list(made.key)}) == made
            zone.put(made)
    return zone


def told(answer: Answer | None) -> list[str]:
    if answer is None:
        return ["forward"]

    def line(record: Record) -> str:
        return f"{record.name or '@'} {record.ttl} {record.kind} {record.data}"

    lines = ["NXDOMAIN" if answer.code == NXDOMAIN else "NOERROR", *map(line, answer.records)]
    lines += [f"additional {line(r)}" for r in answer.extra]
    lines += [f"authority {line(answer.soa)}"] if answer.soa else []
    return [*lines, *([f"forward {answer.alias}"] if answer.alias else [])]


def test_answers(golden: Callable[[Path, str], None]) -> None:
    story = yaml.safe_load((STORY / "answers.in.yaml").read_text())
    zone = zone_of(story)
    result = {}
    for question in story["ask"]:
        kind, name = question.replace("'", "").split()
        result[question] = told(zone.lookup(name, kind))
    golden(STORY / "answers.out.yaml", yaml.safe_dump(result, sort_keys=False, width=200))


def test_what_is_gone_has_no_names() -> None:
    zone = Zone(own=[IPv4Network("10.96.0.0/16")])
    zone.set_namespaces(["a"])
    one, two = (Entry(key=Key("a", n), addresses=(f"10.96.0.{i}",)) for i, n in ((1, "one"), (2, "two")))
    ports = yaml.safe_load("{spec: {clusterIP: 10.96.0.1, ports: [{port: 1}]}, metadata: {namespace: a, name: one}}")
    zone.replace([entry_of(ports, []), two])
    assert told(zone.lookup("one.a.svc.cluster.local", "A")) == ["NOERROR", "@ 5 A 10.96.0.1"]
    zone.replace([two])
    assert told(zone.lookup("one.a.svc.cluster.local", "A"))[0] == "NXDOMAIN"
    assert told(zone.lookup("1.0.96.10.in-addr.arpa", "PTR"))[0] == "NXDOMAIN"
    zone.remove(two.key)
    zone.remove(one.key)
    assert told(zone.lookup("2.0.96.10.in-addr.arpa", "PTR"))[0] == "NXDOMAIN"
    zone.set_namespaces([])
    assert told(zone.lookup("1-2-3-4.a.pod.cluster.local", "A"))[0] == "NXDOMAIN"
