"""GET of a collection: pages, selectors, resource versions; the bytes of a whole list are kept while nothing in it changes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from lateen.cluster.api import statuses
from lateen.cluster.api.call import Answer, Backend, Call, ListBody
from lateen.cluster.api.converting import served_forms
from lateen.cluster.api.reading import Continue, Matcher, matcher, parse_continue, revision_option
from lateen.cluster.api.registry import Served
from lateen.cluster.storage.seam import Page, Record, Revision
from lateen.errors import CompactedError
from lateen.kube.meta import Object

_CACHED_LISTS = 64
_NO_LIMIT = 1 << 60
_TOO_OLD = (
    "The provided continue parameter is too old to display a consistent list result. You can start a new list without the continue "
    "parameter, or use the continue token in this response to retrieve the remainder of the results. Continuing with the provided "
    "token results in an inconsistent list - objects that were created, modified, or deleted between the time the first chunk was "
    "returned and now may show up in the list."
)


async def list_(backend: Backend, call: Call) -> Answer:
    """The collection's list. ExpiredError when an exact revision or a continue token is gone."""
    found = find(backend, call)
    records = found.records
    head = list_head(call.served, found)
    if call.served.converts:
        items = await served_forms(backend, call.served, [r.obj for r in records])
        return Answer(obj={**head, "items": items})
    if found.whole:
        prefix = call.served.prefix(call.namespace)
        return Answer(listed=ListBody(head, records, lambda: _whole(backend, prefix, records)))
    return Answer(listed=ListBody(head, records, lambda: b",".join([r.raw for r in records])))


class Found:
    """A page of records with what the list's metadata says. ``whole``: nothing was left out, at the newest revision."""

    __slots__ = ("continue_token", "records", "remaining", "revision", "whole")

    def __init__(
        self,
        records: Sequence[Record],
        revision: int,
        *,
        continue_token: str = "",
        remaining: int | None = None,
        whole: bool = False,
    ) -> None:
        self.records, self.revision, self.whole = records, revision, whole
        self.continue_token, self.remaining = continue_token, remaining


def find(backend: Backend, call: Call) -> Found:
    """The records a list call asks for: also what Table and metadata-only answers are made of."""
    prefix, wanted = call.served.prefix(call.namespace), matcher(call)
    limit = int(call.option("limit") or 0) if call.option("limit").isdigit() else 0
    start, revision, following = _start(backend, call, prefix)
    if not limit and wanted is None:
        page = _page(backend, prefix, start=start, revision=revision, following=following)
        return Found(page.records, page.revision, whole=revision is None and not start)
    return _limited(backend, prefix, wanted, limit or _NO_LIMIT, start, revision, following)


def _limited(
    backend: Backend, prefix: str, wanted: Matcher | None, limit: int, start: str, revision: Revision | None, following: bool
) -> Found:
    """Up to ``limit`` records that ``wanted`` lets through; one more key tells where the next page starts."""
    most = limit if wanted is None else 0
    page = _page(backend, prefix, start=start, revision=revision, following=following, limit=most)
    if wanted is None:
        if not page.next_key:
            return Found(page.records, page.revision, whole=revision is None and not start)
        token = Continue(page.revision, page.next_key).encode()
        return Found(page.records, page.revision, continue_token=token, remaining=page.remaining)
    kept: list[Record] = []
    for record in page.records:
        if wanted(record.obj):
            if len(kept) == limit:
                return Found(kept, page.revision, continue_token=Continue(page.revision, record.key).encode())
            kept.append(record)
    return Found(kept, page.revision)


def _start(backend: Backend, call: Call, prefix: str) -> tuple[str, Revision | None, bool]:
    """(first key, revision to read at or None for the newest, whether this follows an earlier page)."""
    if text := call.option("continue"):
        token = parse_continue(text, prefix)
        if call.option("resourceVersion") not in ("", "0"):
            raise statuses.bad_request("specifying resource version is not allowed when using continue")
        return token.start, Revision(token.revision) if token.revision > 0 else None, True
    asked, match = revision_option(call), call.option("resourceVersionMatch")
    if match and asked is None:
        raise statuses.bad_request("resourceVersionMatch is forbidden unless resourceVersion is provided")
    if asked is not None and asked > backend.storage.revision:
        raise statuses.too_large(asked, backend.storage.revision)
    return "", Revision(asked) if asked and match == "Exact" else None, False


def _page(backend: Backend, prefix: str, *, start: str, revision: Revision | None, following: bool, limit: int = 0) -> Page:
    try:
        return backend.storage.list(prefix, limit=limit, start=start, revision=revision)
    except CompactedError as error:
        if following:
            raise statuses.expired(_TOO_OLD, continue_token=Continue(-1, start).encode()) from error
        raise statuses.expired("The resourceVersion for the provided list is too old.") from error


def list_head(served: Served, found: Found) -> Object:
    """The list without its items."""
    meta: dict[str, Any] = {"resourceVersion": str(found.revision)}
    if found.continue_token:
        meta["continue"] = found.continue_token
    if found.remaining:
        meta["remainingItemCount"] = found.remaining
    return {"kind": served.list_kind, "apiVersion": served.resource.api_version, "metadata": meta}


def _whole(backend: Backend, prefix: str, records: Sequence[Record]) -> bytes:
    """The items' bytes, joined once per change of the collection."""
    changed = backend.storage.changed(prefix)
    cached = backend.list_cache.get(prefix)
    if cached is None or cached[0] != changed:
        cached = (changed, b",".join([r.raw for r in records]))
        while len(backend.list_cache) >= _CACHED_LISTS:
            backend.list_cache.pop(next(iter(backend.list_cache)))
        backend.list_cache[prefix] = cached
    return cached[1]
