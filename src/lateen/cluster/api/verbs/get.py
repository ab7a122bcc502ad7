"""GET of one object: a stored record, as it is."""

from __future__ import annotations

from lateen.cluster.api import statuses
from lateen.cluster.api.call import Answer, Backend, Call
from lateen.cluster.api.converting import served_form


async def get(backend: Backend, call: Call) -> Answer:
    """The object, or NotFoundError. A resourceVersion in the future is a timeout, as in a list."""
    record = backend.storage.get(call.key)
    if "resourceVersion" in call.request.query:
        _check_revision(backend, call)
    if record is None:
        raise statuses.not_found(call.served.resource, call.name)
    if call.served.converts:
        return Answer(obj=await served_form(backend, call.served, record.obj))
    return Answer(record=record)


def _check_revision(backend: Backend, call: Call) -> None:
    text = call.option("resourceVersion")
    if text and not text.isdigit():
        raise statuses.bad_request(f"invalid resource version {text!r}")
    if text and int(text) > backend.storage.revision:
        raise statuses.too_large(int(text), backend.storage.revision)
