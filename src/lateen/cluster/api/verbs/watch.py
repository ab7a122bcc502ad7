"""GET with ``watch``: where the stream starts, and what comes before the first event."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from lateen.cluster.api import statuses
from lateen.cluster.api.call import Answer, Backend, Call
from lateen.cluster.api.converting import served_forms
from lateen.cluster.api.reading import matcher, revision_option
from lateen.cluster.api.watching import Item, Matcher, WatchStream, bookmark
from lateen.cluster.storage.seam import Revision
from lateen.errors import CompactedError


async def watch(backend: Backend, call: Call) -> Answer:
    """A stream. Without a resourceVersion (or with 0) it starts with an ADDED for what is there; ExpiredError if the revision is
    gone."""
    wanted, revision, initial = matcher(call), revision_option(call), call.option("sendInitialEvents")
    _check(call, initial)
    after, first = _beginning(backend, call, wanted, revision, initial)
    try:
        source = backend.storage.watch(call.served.prefix(call.namespace), after=Revision(after))
    except CompactedError as error:
        raise statuses.too_old(after, backend.storage.revision) from error
    except ValueError as error:
        raise statuses.too_large(after, backend.storage.revision) from error
    stream = WatchStream(
        backend.streams,
        call.served,
        storage=backend.storage,
        watch=source,
        first=first,
        wanted=wanted,
        bookmarks=call.flag("allowWatchBookmarks"),
        seconds=_seconds(call),
        convert=partial(served_forms, backend, call.served),
    )
    return Answer(watch=stream)


def _check(call: Call, initial: str) -> None:
    match = call.option("resourceVersionMatch")
    if initial and match != "NotOlderThan":
        raise statuses.invalid_options(
            "ListOptions", "resourceVersionMatch", "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan"
        )
    if initial.lower() in ("true", "1") and not call.flag("allowWatchBookmarks"):
        raise statuses.invalid_options(
            "ListOptions", "sendInitialEvents", "sendInitialEvents is forbidden without allowWatchBookmarks"
        )
    if not initial and match:
        raise statuses.invalid_options(
            "ListOptions",
            "resourceVersionMatch",
            "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided",
        )


def _beginning(
    backend: Backend, call: Call, wanted: Matcher | None, revision: int | None, initial: str
) -> tuple[int, Sequence[Item]]:
    """(the revision after which events are wanted, the items that come first)."""
    asked = initial.lower() in ("true", "1")
    if initial and not asked:
        return revision or backend.storage.revision, ()
    if not asked and revision:
        return revision, ()
    if revision and revision > backend.storage.revision:
        raise statuses.too_large(revision, backend.storage.revision)
    page = backend.storage.list(call.served.prefix(call.namespace))
    first = [Item("ADDED", r) for r in page.records if wanted is None or wanted(r.obj)]
    if asked:
        first.append(bookmark(call.served, page.revision, initial_end=True))
    return page.revision, first


def _seconds(call: Call) -> float | None:
    text = call.option("timeoutSeconds")
    return float(text) if text.isdigit() and int(text) else None
