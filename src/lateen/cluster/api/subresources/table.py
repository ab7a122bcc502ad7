"""Which subresources the server knows, and what each method does to them."""

from __future__ import annotations

from collections.abc import Mapping

from lateen.cluster.api import statuses
from lateen.cluster.api.call import Verb
from lateen.cluster.api.registry import Served
from lateen.cluster.api.subresources import binding
from lateen.cluster.api.verbs.get import get
from lateen.cluster.api.verbs.patch import patch
from lateen.cluster.api.verbs.update import update

_METHODS = {"GET": "get", "PUT": "update", "PATCH": "patch", "POST": "create", "DELETE": "delete"}
# Another view of the whole object: read and written by the ordinary verbs, which look at the path's subresource.
_VIEW: Mapping[str, Verb] = {"GET": get, "PUT": update, "PATCH": patch}

_ANY: Mapping[str, Mapping[str, Verb]] = {"status": _VIEW}
_BY_KIND: Mapping[tuple[str, str], Mapping[str, Verb]] = {
    ("core/namespaces", "finalize"): {"PUT": update},
    ("core/pods", "binding"): {"POST": binding.bind},
}


def subresource_for(served: Served, subresource: str, method: str) -> tuple[str, Verb]:
    """(the RBAC verb, what to do). NotFoundError for an unknown subresource, MethodNotAllowedError for a wrong method."""
    methods = _BY_KIND.get((served.collection, subresource))
    if methods is None and subresource in served.resource.subresources:
        methods = _ANY.get(subresource)
    if methods is None:
        raise statuses.no_such_path()
    work = methods.get(method)
    if work is None:
        raise statuses.method_not_allowed()
    return _METHODS[method], work
