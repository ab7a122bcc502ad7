"""DELETE of a collection: each object that the selectors choose, by the same rules as a single delete."""

from __future__ import annotations

from lateen.cluster.api.call import Answer, Backend, Call, ListBody
from lateen.cluster.api.verbs.delete import delete_key, options_of
from lateen.cluster.api.verbs.list import find, list_head
from lateen.errors import NotFoundError


async def deletecollection(backend: Backend, call: Call) -> Answer:
    """Answers the list of what was deleted."""
    options = options_of(call)
    found = find(backend, call)
    for record in found.records:
        try:
            await delete_key(backend, call, record.key, options)
        except NotFoundError:
            continue  # somebody else was faster
    records = found.records
    return Answer(listed=ListBody(list_head(call.served, found), records, lambda: b",".join([r.raw for r in records])))
