"""The event recorder: says what happened to an object as core/v1 Events, which ``kubectl describe`` and ``get events`` show.

Never blocks and never fails its caller. Kubernetes' own limits hold (client-go tools/record events_cache.go): what repeats is
counted; more than 10 events that differ only in their message become one; an object that never stops is heard 25 times, then once
in five minutes.
"""

from __future__ import annotations

import logging
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

from lateen.aio.clock import Clock
from lateen.aio.tasks import TaskOwner, outcomes
from lateen.client.client import Client
from lateen.errors import ApiError, ConflictError, NotFoundError, TransportError
from lateen.kube.meta import Object, key_of, meta, timestamp, uid_of
from lateen.kube.resources import EVENTS

log = logging.getLogger(__name__)
_BUFFER, _KNOWN, _AT_ONCE = 4000, 4096, 32
_SIMILAR, _SIMILAR_SECONDS = 10, 600.0
_BURST, _REFILL_SECONDS = 25, 300.0


class _Same(NamedTuple):
    component: str
    uid: str
    type: str
    reason: str
    message: str
    field: str


class _Pending(NamedTuple):
    same: _Same
    text: str
    reference: Object
    moment: str


@dataclass(slots=True)
class _Sent:
    name: str
    namespace: str
    count: int


@dataclass(slots=True)
class _Similar:
    messages: set[str]
    last: float


@dataclass(slots=True)
class _Bucket:
    tokens: float
    last: float


class Voice:
    """What one component has to say."""

    def __init__(self, record: Callable[[str, Object, str, str, str, str], None], component: str) -> None:
        self._say, self.component = record, component

    def normal(self, obj: Object, reason: str, message: str, *, field: str = "") -> None:
        """Something went as it should."""
        self._say(self.component, obj, "Normal", reason, message, field)

    def warning(self, obj: Object, reason: str, message: str, *, field: str = "") -> None:
        """Something a person may have to look at."""
        self._say(self.component, obj, "Warning", reason, message, field)

    def named(self, component: str) -> Voice:
        """The same recorder for another component."""
        return Voice(self._say, component)


class Recorder(Voice):
    """Records events as ``component`` (on ``host``, for node agents). ``dropped`` counts what the limits kept back."""

    def __init__(self, client: Client, clock: Clock, *, component: str, host: str = "") -> None:
        super().__init__(self._record, component)
        self._client, self._clock, self.host = client, clock, host
        self._buffer: deque[_Pending] = deque()
        self._sent: OrderedDict[_Same, _Sent] = OrderedDict()
        self._similar: OrderedDict[_Same, _Similar] = OrderedDict()
        self._buckets: OrderedDict[tuple[str, str], _Bucket] = OrderedDict()
        self._owner: TaskOwner | None = None
        self._draining = False
        self._sequence = 0
        self.dropped = 0

    def start(self, owner: TaskOwner) -> None:
        """Send from now on, as a task of ``owner``; what was recorded before is sent first."""
        self._owner = owner
        self._kick()

    def _record(self, component: str, obj: Object, kind: str, reason: str, message: str, field: str) -> None:
        who = uid_of(obj) or f"{obj.get('kind')}/{key_of(obj)}"
        same, text = self._combined(_Same(component, who, kind, reason, message[:1024], field))
        if len(self._buffer) >= _BUFFER or not self._allowed(same):
            self.dropped += 1
            return
        self._buffer.append(_Pending(same, text, _reference(obj, field), timestamp(self._clock.now())))
        self._kick()

    def _combined(self, same: _Same) -> tuple[_Same, str]:
        """What the event counts as, and its text: its own, or that of many similar ones."""
        now, shape = self._clock.monotonic(), same._replace(message="")
        known = self._similar.get(shape)
        if known is None or now - known.last > _SIMILAR_SECONDS:
            known = self._similar[shape] = _Similar(set(), now)
        self._similar.move_to_end(shape)
        _bound(self._similar)
        known.last = now
        if same.message in known.messages or len(known.messages) < _SIMILAR:
            known.messages.add(same.message)
            return same, same.message
        return shape, f"(combined from similar events): {same.message}"

    def _allowed(self, same: _Same) -> bool:
        now = self._clock.monotonic()
        source = (same.component, same.uid)
        bucket = self._buckets.setdefault(source, _Bucket(_BURST, now))
        self._buckets.move_to_end(source)
        _bound(self._buckets)
        bucket.tokens = min(_BURST, bucket.tokens + (now - bucket.last) / _REFILL_SECONDS)
        bucket.last = now
        if bucket.tokens < 1:
            return False
        bucket.tokens -= 1
        return True

    def _kick(self) -> None:
        if self._owner is not None and not self._draining and self._buffer:
            self._draining = True
            self._owner.start(self._drain(), f"events of {self.component}")

    async def _drain(self) -> None:
        try:
            while self._buffer:
                batch = self._batch()
                for pending, error in zip(batch, await outcomes([self._send(p) for p in batch]), strict=True):
                    if isinstance(error, ApiError | TransportError):
                        log.debug("event %s of %s was not recorded: %s", pending.same.reason, pending.reference.get("name"), error)
                    elif isinstance(error, Exception):
                        raise error
        finally:
            self._draining = False

    def _batch(self) -> list[_Pending]:
        """The next ones that may be sent together: none of them repeats another."""
        batch: dict[_Same, _Pending] = {}
        while self._buffer and len(batch) < _AT_ONCE and self._buffer[0].same not in batch:
            pending = self._buffer.popleft()
            batch[pending.same] = pending
        return list(batch.values())

    async def _send(self, pending: _Pending) -> None:
        same, text, reference, moment = pending
        sent = self._sent.get(same)
        if sent is not None:
            self._sent.move_to_end(same)
            sent.count += 1
            try:
                patch = {"count": sent.count, "lastTimestamp": moment, "message": text}
                await self._client.patch(EVENTS, sent.name, patch, namespace=sent.namespace)
                return
            except (NotFoundError, ConflictError):
                pass  # it expired: record it anew
        self._sequence += 1
        namespace = reference.get("namespace") or "default"
        stamp = f"{int(self._clock.now().timestamp() * 1e6):x}{self._sequence % 0x10000:04x}"
        name = f"{reference['name'][:200]}.{stamp}"
        said = same._replace(message=text)
        await self._client.create(EVENTS, _event(name, namespace, said, reference, moment, self.host))
        self._sent[same] = _Sent(name, namespace, 1)
        _bound(self._sent)


def _bound(known: OrderedDict[Any, Any]) -> None:
    """Forget the oldest beyond a limit."""
    if len(known) > _KNOWN:
        known.popitem(last=False)


def _reference(obj: Object, field: str) -> Object:
    m = meta(obj)
    reference = {
        "apiVersion": obj.get("apiVersion", ""),
        "kind": obj.get("kind", ""),
        "namespace": m.get("namespace", ""),
        "name": m.get("name", ""),
        "uid": m.get("uid", ""),
        "resourceVersion": m.get("resourceVersion", ""),
        "fieldPath": field,
    }
    return {k: v for k, v in reference.items() if v}


def _event(name: str, namespace: str, same: _Same, reference: Object, moment: str, host: str) -> Object:
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": name, "namespace": namespace},
        "involvedObject": reference,
        "type": same.type,
        "reason": same.reason,
        "message": same.message,
        "source": {"component": same.component} | ({"host": host} if host else {}),
        "firstTimestamp": moment,
        "lastTimestamp": moment,
        "count": 1,
        "reportingComponent": same.component,
        "reportingInstance": host,
    }
