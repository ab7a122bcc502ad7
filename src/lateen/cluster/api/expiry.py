"""Events live for an hour. One task of the server takes the old ones away, in small steps."""

from __future__ import annotations

import logging
from datetime import datetime, timedelta

from lateen.aio.clock import Clock
from lateen.cluster.api.call import Backend
from lateen.errors import KeyMissingError, RevisionConflictError, StorageError
from lateen.kube.meta import Object, meta, parse_time

log = logging.getLogger(__name__)
LIFETIME = timedelta(hours=1)
_EVERY_SECONDS = 60.0
_AT_ONCE = 500


def last_seen(event: Object) -> datetime:
    """When the event happened last."""
    series = event.get("series") or {}
    return parse_time(series.get("lastObservedTime") or event.get("lastTimestamp") or meta(event)["creationTimestamp"])


async def expire_events(backend: Backend, clock: Clock) -> None:
    """Until cancelled."""
    prefix = backend.served("", "v1", "events").prefix()
    while True:
        await clock.sleep(_EVERY_SECONDS)
        limit = clock.now() - LIFETIME
        old = [r for r in backend.storage.list(prefix).records if last_seen(r.obj) < limit][:_AT_ONCE]
        for record in old:
            try:
                await backend.storage.delete(record.key, expect=record.revision)
            except (RevisionConflictError, KeyMissingError):
                continue  # it happened again, or somebody was faster
            except StorageError as error:
                log.warning("expiring events: %s", error)
                break
