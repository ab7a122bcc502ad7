"""The event recorder: says what happened to an object as core/v1 Events, which ``kubectl describe`` and ``get events`` show.

Never blocks and never fails its caller: events go through a bounded buffer, repeated ones are counted instead of repeated.
"""

from __future__ import annotations

import logging
from collections import OrderedDict, deque
from dataclasses import dataclass
from typing import NamedTuple

from lateen.aio.clock import Clock
from lateen.aio.tasks import TaskOwner
from lateen.client.client import Client
from lateen.errors import ApiError, ConflictError, NotFoundError, TransportError
from lateen.kube.meta import Object, meta, timestamp, uid_of
from lateen.kube.resources import EVENTS

log = logging.getLogger(__name__)
_BUFFER, _KNOWN = 1000, 2000


class _Same(NamedTuple):
    uid: str
    type: str
    reason: str
    message: str
    field: str


@dataclass(slots=True)
class _Sent:
    name: str
    namespace: str
    count: int


class Recorder:
    """Records events as ``component`` (on ``host``, for node agents)."""

    def __init__(self, client: Client, clock: Clock, *, component: str, host: str = "") -> None:
        self._client, self._clock, self.component, self.host = client, clock, component, host
        self._buffer: deque[tuple[_Same, Object, str]] = deque(maxlen=_BUFFER)
        self._sent: OrderedDict[_Same, _Sent] = OrderedDict()
        self._owner: TaskOwner | None = None
        self._draining = False
        self._sequence = 0

    def start(self, owner: TaskOwner) -> None:
        """Send from now on, as a task of ``owner``; what was recorded before is sent first."""
        self._owner = owner
        self._kick()

    def normal(self, obj: Object, reason: str, message: str, *, field: str = "") -> None:
        """Something went as it should."""
        self._record(obj, "Normal", reason, message, field)

    def warning(self, obj: Object, reason: str, message: str, *, field: str = "") -> None:
        """Something a person may have to look at."""
        self._record(obj, "Warning", reason, message, field)

    def _record(self, obj: Object, kind: str, reason: str, message: str, field: str) -> None:
        same = _Same(uid_of(obj), kind, reason, message[:1024], field)
        self._buffer.append((same, _reference(obj, field), timestamp(self._clock.now())))
        self._kick()

    def _kick(self) -> None:
        if self._owner is not None and not self._draining and self._buffer:
            self._draining = True
            self._owner.start(self._drain(), f"events of {self.component}")

    async def _drain(self) -> None:
        try:
            while self._buffer:
                same, reference, moment = self._buffer.popleft()
                try:
                    await self._send(same, reference, moment)
                except (ApiError, TransportError) as error:
                    log.debug("event %s of %s was not recorded: %s", same.reason, reference.get("name"), error)
        finally:
            self._draining = False

    async def _send(self, same: _Same, reference: Object, moment: str) -> None:
        sent = self._sent.get(same)
        if sent is not None:
            self._sent.move_to_end(same)
            sent.count += 1
            try:
                patch = {"count": sent.count, "lastTimestamp": moment}
                await self._client.patch(EVENTS, sent.name, patch, namespace=sent.namespace)
                return
            except (NotFoundError, ConflictError):
                pass  # it expired: record it anew
        self._sequence += 1
        namespace = reference.get("namespace") or "default"
        stamp = f"{int(self._clock.now().timestamp() * 1e6):x}{self._sequence % 0x10000:04x}"
        name = f"{reference['name'][:200]}.{stamp}"
        await self._client.create(EVENTS, _event(name, namespace, same, reference, moment, self.component, self.host))
        self._sent[same] = _Sent(name, namespace, 1)
        if len(self._sent) > _KNOWN:
            self._sent.popitem(last=False)


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


def _event(name: str, namespace: str, same: _Same, reference: Object, moment: str, component: str, host: str) -> Object:
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": name, "namespace": namespace},
        "involvedObject": reference,
        "type": same.type,
        "reason": same.reason,
        "message": same.message,
        "source": {"component": component} | ({"host": host} if host else {}),
        "firstTimestamp": moment,
        "lastTimestamp": moment,
        "count": 1,
        "reportingComponent": component,
        "reportingInstance": host,
    }
