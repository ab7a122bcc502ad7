"""Names -> records: everything under ``cluster.local``, and the way back from the cluster's addresses. Pure.

``Zone`` is told of Services and namespaces (``control``) and asked for names (``server``). The rules are the DNS specification of
Kubernetes 1.1.0 with what CoreDNS adds: TTL 5, pods by their address, NXDOMAIN for a Service without endpoints to name, NODATA for
a name that exists without such a record. What a name outside means is the forwarder's business (None).
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

from lateen.cluster.dns.data import Entry, Port, Target
from lateen.kube.meta import Key

TTL: Final = 5
SCHEMA_VERSION, SCHEMA_TTL = "1.1.0", 28800
NOERROR, NXDOMAIN = 0, 3
_SVC, _POD = "svc", "pod"
_REVERSE = ("in-addr", "arpa")
_HOPS = 8
_WEIGHTS = 100
Labels = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Record:
    """``data`` is the record's text; an empty ``name`` is the name that was asked for."""

    name: str
    kind: str
    data: str
    ttl: int = TTL


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """``alias`` is a name outside that the answer goes on with."""

    code: int = NOERROR
    records: tuple[Record, ...] = ()
    extra: tuple[Record, ...] = ()
    soa: Record | None = None
    alias: str = ""


class Zone:
    """``own`` are the cluster's networks: of their addresses nobody outside knows anything."""

    def __init__(self, domain: str = "cluster.local", *, own: Sequence[ipaddress.IPv4Network] = (), server: str = "") -> None:
        self.domain, self.own, self.server = domain, tuple(own), server
        self.serial = 0
        self._suffix: Labels = tuple(domain.split("."))
        self._entries: dict[Key, Entry] = {}
        self._namespaces: set[str] = set()
        self._names: dict[str, dict[str, None]] = {}  # by address: full names, in the order they came

    # What it is told

    def put(self, entry: Entry) -> None:
        """A Service is there, or different."""
        self.remove(entry.key)
        self._entries[entry.key] = entry
        for address, name in self._reverse_of(entry):
            self._names.setdefault(address, {})[name] = None

    def remove(self, key: Key) -> None:
        """A Service is gone."""
        known = self._entries.pop(key, None)
        for address, name in self._reverse_of(known) if known else ():
            names = self._names[address]
            names.pop(name, None)
            if not names:
                del self._names[address]

    def replace(self, entries: Iterable[Entry]) -> None:
        """Every Service there is."""
        wanted = {e.key: e for e in entries}
        for key in self._entries.keys() - wanted.keys():
            self.remove(key)
        for entry in wanted.values():
            if self._entries.get(entry.key) != entry:
                self.put(entry)

    def set_namespaces(self, names: Iterable[str]) -> None:
        """Every namespace there is: a pod's name by address exists in these only."""
        self._namespaces = set(names)

    def _reverse_of(self, entry: Entry) -> Iterator[tuple[str, str]]:
        for address in entry.addresses:
            yield address, self._name(entry.key)
        for target in entry.targets:
            if target.named:
                yield target.address, self._name(entry.key, target.label)

    def _name(self, key: Key, *more: str) -> str:
        return ".".join((*more, key.name, key.namespace, _SVC, self.domain))

    # What it is asked

    def lookup(self, name: str, kind: str) -> Answer | None:
        """The answer, None for a name that is not of the cluster. ``name`` has no dot at its end."""
        labels: Labels = tuple(name.lower().split(".")) if name else ()
        if labels[-len(self._suffix) :] == self._suffix:
            answer = self._inside(labels[: -len(self._suffix)], kind)
            return answer if kind == "CNAME" and answer.records else self._ended(answer)
        if labels[-2:] == _REVERSE:
            return self._reverse(labels[:-2], kind)
        return None

    def _ended(self, answer: Answer) -> Answer:
        """An answer without what was asked for says by its SOA for how long."""
        told = bool(answer.records) and answer.records[-1].kind != "CNAME"
        return answer if told or answer.alias else replace(answer, soa=self._soa(self.domain))

    def _soa(self, name: str) -> Record:
        data = f"ns.dns.{self.domain}. hostmaster.{self.domain}. {self.serial} 7200 1800 86400 {TTL}"
        return Record(f"{name}", "SOA", data)

    def _inside(self, labels: Labels, kind: str) -> Answer:
        match labels:
            case ():
                return self._apex(kind)
            case ("dns-version",):
                return _only(kind, Record("", "TXT", f'"{SCHEMA_VERSION}"', SCHEMA_TTL))
            case ("ns", "dns"):
                return _only(kind, Record("", "A", self.server))
            case ("svc",) | ("pod",):
                return Answer()
            case (*rest, namespace, "pod"):
                return self._pod(tuple(rest), namespace, kind)
            case (*rest, namespace, "svc"):
                return self._service(tuple(rest), namespace, kind, hops=_HOPS)
        return Answer(code=NXDOMAIN)

    def _apex(self, kind: str) -> Answer:
        name = f"ns.dns.{self.domain}"
        if kind == "NS":
            return Answer(records=(Record("", "NS", f"{name}."),), extra=(Record(name, "A", self.server),))
        return _only(kind, self._soa(""))

    def _pod(self, rest: Labels, namespace: str, kind: str) -> Answer:
        """``10-0-0-1.ns.pod``: whether there is such a pod is not asked."""
        if namespace not in self._namespaces or len(rest) > 1:
            return Answer(code=NXDOMAIN)
        if not rest:
            return Answer()
        address = _undashed(rest[0])
        return _only(kind, Record("", _family(address), address)) if address else Answer(code=NXDOMAIN)

    def _service(self, rest: Labels, namespace: str, kind: str, *, hops: int) -> Answer:
        if namespace not in self._namespaces:
            return Answer(code=NXDOMAIN)
        if not rest:
            return Answer()
        entry = self._entries.get(Key(namespace, rest[-1]))
        wanted = _wanted(rest[:-1])
        if entry is None or wanted is None:
            return Answer(code=NXDOMAIN)
        if entry.external:
            return self._external(entry, kind, hops=hops) if _alias(entry.external) else Answer(code=NXDOMAIN)
        endpoint, fits = wanted
        if entry.headless or endpoint:
            targets = [t for t in entry.targets if endpoint in ("", t.label) and any(map(fits, t.ports))]
            return self._targets(entry, targets, fits, kind)
        ports = [p for p in entry.ports if fits(p)]
        if not ports:
            return Answer(code=NXDOMAIN)
        return self._cluster(entry, ports, kind)

    def _cluster(self, entry: Entry, ports: Sequence[Port], kind: str) -> Answer:
        if kind == "SRV":
            name = self._name(entry.key)
            extra = tuple(Record(name, _family(a), a) for a in entry.addresses)
            return Answer(records=_services(list(dict.fromkeys((p.number, name) for p in ports))), extra=extra)
        return Answer(records=tuple(Record("", kind, a) for a in entry.addresses if _family(a) == kind))

    def _targets(self, entry: Entry, targets: Sequence[Target], fits: Callable[[Port], bool], kind: str) -> Answer:
        if not targets:
            return Answer(code=NXDOMAIN)
        if kind == "SRV":
            named = [(t, self._name(entry.key, t.label)) for t in targets]
            extra = dict.fromkeys(Record(name, _family(t.address), t.address) for t, name in named)
            places = dict.fromkeys((p.number, name) for t, name in named for p in t.ports if fits(p) and p.number)
            return Answer(records=_services(list(places)), extra=tuple(extra))
        addresses = dict.fromkeys(t.address for t in targets if _family(t.address) == kind)
        return Answer(records=tuple(Record("", kind, a) for a in addresses))

    def _external(self, entry: Entry, kind: str, *, hops: int) -> Answer:
        """The alias, and what it leads to as far as that is ours."""
        link = Record("", "CNAME", f"{entry.external}.")
        labels = tuple(entry.external.lower().split("."))
        if kind == "CNAME":
            return Answer(records=(link,))
        if labels[-len(self._suffix) :] != self._suffix:
            return Answer(records=(link,), alias=entry.external)
        rest = labels[: -len(self._suffix)]
        if rest[-1:] == (_SVC,) and len(rest) > 1 and hops:
            further = self._service(rest[:-2], rest[-2], kind, hops=hops - 1)
        else:
            further = self._inside(rest, kind) if rest[-1:] != (_SVC,) else Answer()
        moved = tuple(replace(r, name=r.name or entry.external) for r in further.records)
        return replace(further, records=(link, *moved))

    def _reverse(self, labels: Labels, kind: str) -> Answer | None:
        address = ".".join(reversed(labels))
        names = self._names.get(address)
        if names:
            answer = Answer(records=tuple(Record("", "PTR", f"{n}.") for n in names)) if kind == "PTR" else Answer()
        elif self._owns(labels):
            answer = Answer(code=NXDOMAIN)
        else:
            return None
        return answer if answer.records else replace(answer, soa=self._soa(".".join(_REVERSE)))

    def _owns(self, labels: Labels) -> bool:
        try:
            address = ipaddress.IPv4Address(".".join(reversed(labels)))
        except ValueError:
            return False
        return any(address in network for network in self.own)


def _only(kind: str, record: Record) -> Answer:
    return Answer(records=(record,)) if kind == record.kind else Answer()


def _wanted(prefix: Labels) -> tuple[str, Callable[[Port], bool]] | None:
    """(endpoint's label or '', which ports) that the labels before a Service's name ask for; None for what is no name."""
    match prefix:
        case ():
            return "", lambda _: True
        case (label,):
            return label, lambda _: True
        case (port, protocol) if port.startswith("_") and protocol.startswith("_"):
            return "", lambda p: (p.name, p.protocol) == (port[1:], protocol[1:])
    return None


def _services(places: Sequence[tuple[int, str]]) -> tuple[Record, ...]:
    weight = max(1, _WEIGHTS // len(places)) if places else 0
    return tuple(Record("", "SRV", f"0 {weight} {number} {name}.") for number, name in places)


def _family(address: str) -> str:
    return "AAAA" if ":" in address else "A"


def _alias(name: str) -> bool:
    """Whether an external name is a name: an address there means nothing."""
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return True
    return False


def _undashed(label: str) -> str:
    """The address of a label like 10-0-0-1, '' if it is none."""
    text = label.replace("-", ".") if label.count("-") == 3 and "--" not in label else label.replace("-", ":")
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        return ""
