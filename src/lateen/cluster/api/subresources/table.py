"""Which subresources the server knows, what each method does to them, and what they answer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from lateen.cluster.api import statuses
from lateen.cluster.api.call import Verb
from lateen.cluster.api.registry import Served
from lateen.cluster.api.subresources import binding, command, eviction, log, portforward, proxy, scale, token
from lateen.cluster.api.verbs.get import get
from lateen.cluster.api.verbs.patch import patch
from lateen.cluster.api.verbs.update import update

_NAMES = {"GET": "get", "PUT": "update", "PATCH": "patch", "POST": "create", "DELETE": "delete"}


@dataclass(frozen=True, slots=True)
class Subresource:
    """What each HTTP method does; ``answers`` is the (group, version, kind) of its objects where that is not the resource's own."""

    methods: Mapping[str, Verb]
    answers: tuple[str, str, str] | None = None

    @property
    def verbs(self) -> list[str]:
        """The verbs' names, for discovery."""
        return sorted(_NAMES[m] for m in self.methods)


def _proxy(work: Verb, kind: str) -> Subresource:
    return Subresource(dict.fromkeys(_NAMES, work), ("", "v1", kind))


# Another view of the whole object: the ordinary verbs look at the path's subresource.
_VIEW = Subresource({"GET": get, "PUT": update, "PATCH": patch})
_SCALE = Subresource({"GET": scale.get, "PUT": scale.update, "PATCH": scale.patch}, ("autoscaling", "v1", "Scale"))


class Subresources:
    """The known subresources by (collection, name), or by name for any resource that declares them."""

    def __init__(self, *, anywhere: Mapping[str, Subresource], by_kind: Mapping[tuple[str, str], Subresource]) -> None:
        self._anywhere, self._by_kind = dict(anywhere), dict(by_kind)

    def find(self, served: Served, name: str) -> Subresource | None:
        """The subresource, None when the resource does not have it."""
        found = self._by_kind.get((served.collection, name))
        if found is None and name in served.resource.subresources:
            found = self._anywhere.get(name)
        return found


SUBRESOURCES = Subresources(
    anywhere={"status": _VIEW, "scale": _SCALE},
    by_kind={
        ("core/namespaces", "finalize"): Subresource({"PUT": update}),
        ("core/pods", "binding"): Subresource({"POST": binding.bind}, ("", "v1", "Binding")),
        ("core/pods", "eviction"): Subresource({"POST": eviction.evict}, ("policy", "v1", "Eviction")),
        ("core/pods", "attach"): Subresource({"GET": command.attach, "POST": command.attach}, ("", "v1", "PodAttachOptions")),
        ("core/pods", "exec"): Subresource({"GET": command.run, "POST": command.run}, ("", "v1", "PodExecOptions")),
        ("core/pods", "log"): Subresource({"GET": log.read}),
        ("core/pods", "portforward"): Subresource(
            {"GET": portforward.forward, "POST": portforward.forward}, ("", "v1", "PodPortForwardOptions")
        ),
        ("core/pods", "proxy"): _proxy(proxy.of_pod, "PodProxyOptions"),
        ("core/services", "proxy"): _proxy(proxy.of_service, "ServiceProxyOptions"),
        ("core/nodes", "proxy"): _proxy(proxy.of_node, "NodeProxyOptions"),
        ("core/serviceaccounts", "token"): Subresource({"POST": token.issue}, ("authentication.k8s.io", "v1", "TokenRequest")),
        ("core/pods", "ephemeralcontainers"): _VIEW,
        ("core/pods", "resize"): _VIEW,
        ("certificates.k8s.io/certificatesigningrequests", "approval"): _VIEW,
    },
)


def subresource_for(served: Served, subresource: str, method: str) -> tuple[str, Verb]:
    """(the RBAC verb, what to do). NotFoundError for an unknown subresource, MethodNotAllowedError for a wrong method."""
    found = SUBRESOURCES.find(served, subresource)
    if found is None:
        raise statuses.no_such_path()
    work = found.methods.get(method)
    if work is None:
        raise statuses.method_not_allowed()
    return _NAMES[method], work
