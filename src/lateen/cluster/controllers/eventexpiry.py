"""Events are news: after an hour they go, as with the real API server's ``--event-ttl``."""

from __future__ import annotations

from datetime import datetime

from lateen.aio.tasks import outcomes
from lateen.cluster.controllers.kit import Kit
from lateen.errors import NotFoundError
from lateen.kube.meta import Key, Object, key_of, meta, parse_time
from lateen.kube.resources import EVENTS
from lateen.reconcile import Controller, Result

LIFE, _EVERY, _AT_ONCE = 3600.0, 300.0, 64
SWEEP = Key("", "sweep")


def controller(kit: Kit) -> Controller:
    """The controller; it needs no informer, only the time."""
    made = Controller(name="eventexpiry", reconciler=EventExpiry(kit), sources=[], clock=kit.clock, workers=1)
    made.queue.add(SWEEP)
    return made


class EventExpiry:
    """Deletes what is too old, again and again."""

    def __init__(self, kit: Kit) -> None:
        self._kit = kit

    async def reconcile(self, key: Key) -> Result:
        now = self._kit.clock.now()
        old = [e for e in (await self._kit.client.list(EVENTS)).items if age(e, now) > LIFE]
        for start in range(0, len(old), _AT_ONCE):
            for error in await outcomes([self._delete(e) for e in old[start : start + _AT_ONCE]]):
                if isinstance(error, Exception):
                    raise error
        return Result(_EVERY)

    async def _delete(self, event: Object) -> None:
        try:
            await self._kit.client.delete(EVENTS, key_of(event).name, key_of(event).namespace, uid=meta(event)["uid"])
        except NotFoundError:
            return


def age(event: Object, now: datetime) -> float:
    """Seconds since the event happened last."""
    series = (event.get("series") or {}).get("lastObservedTime")
    last = event.get("lastTimestamp") or series or event.get("eventTime") or meta(event).get("creationTimestamp")
    return (now - parse_time(last)).total_seconds() if last else 0.0
