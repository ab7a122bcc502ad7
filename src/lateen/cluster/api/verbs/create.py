"""POST to a collection."""

from __future__ import annotations

from lateen.cluster.api.bodies import decode_object
from lateen.cluster.api.call import Answer, Backend, Call
from lateen.cluster.api.writing import create_object


async def create(backend: Backend, call: Call) -> Answer:
    """Store a new object. AlreadyExistsError, InvalidError, ForbiddenError, NotFoundError (namespace)."""
    return await create_object(backend, call, decode_object(call))
