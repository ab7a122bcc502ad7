"""The API server: a request and a user go in, an answer comes out. ``https`` and the in-process transport are its two doors.

Order of a request: path -> resource -> verb -> authorization -> the verb. Every LateenError of the API tree becomes its Status
here, in one place.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from ipaddress import IPv4Network
from typing import Any

from lateen.aio.clock import Clock, SystemClock
from lateen.aio.tasks import TaskOwner
from lateen.client.seam import Request, Response
from lateen.cluster.api import statuses
from lateen.cluster.api.access import check, check_foreign, check_path, impersonated, rbac_over
from lateen.cluster.api.aggregation.forward import forward, taken_in
from lateen.cluster.api.aggregation.keeper import Keeper
from lateen.cluster.api.aggregation.services import Remote
from lateen.cluster.api.aggregation.table import Remotes
from lateen.cluster.api.allocation import ServiceAddresses
from lateen.cluster.api.auth.authenticator import Authenticator
from lateen.cluster.api.auth.pki import make_ca
from lateen.cluster.api.auth.tokens import ISSUER, ServiceAccountTokens
from lateen.cluster.api.bootstrap import bootstrap, publish
from lateen.cluster.api.call import Access, Answer, Backend, Call, Verb
from lateen.cluster.api.conversions import CONVERSIONS
from lateen.cluster.api.crd.cleanup import CrdCleanup
from lateen.cluster.api.discovery.openapi import OpenApiCache
from lateen.cluster.api.discovery.pages import DiscoveryCache
from lateen.cluster.api.dynamic.gate import Gate
from lateen.cluster.api.dynamic.writes import requested
from lateen.cluster.api.expiry import expire_events
from lateen.cluster.api.health import Health
from lateen.cluster.api.metrics import Metrics
from lateen.cluster.api.negotiation import Form, form_of
from lateen.cluster.api.nonresource import page_for
from lateen.cluster.api.outward.tls import Trust
from lateen.cluster.api.paths import ResourcePath, parse_path
from lateen.cluster.api.presenting import present
from lateen.cluster.api.registry import Registry, Served
from lateen.cluster.api.strategies.apiservices import take
from lateen.cluster.api.strategies.definitions import serve
from lateen.cluster.api.streaming.seam import Nodes, NoNodes
from lateen.cluster.api.subresources.log import LogSource, no_logs
from lateen.cluster.api.subresources.table import subresource_for
from lateen.cluster.api.user import UserInfo
from lateen.cluster.api.verbs.create import create
from lateen.cluster.api.verbs.delete import delete
from lateen.cluster.api.verbs.deletecollection import deletecollection
from lateen.cluster.api.verbs.get import get
from lateen.cluster.api.verbs.list import list_
from lateen.cluster.api.verbs.patch import patch
from lateen.cluster.api.verbs.update import update
from lateen.cluster.api.verbs.watch import watch
from lateen.cluster.api.virtual import metrics as usage
from lateen.cluster.api.virtual.table import COMPUTED, VIRTUAL
from lateen.cluster.api.watching import WatchStreams
from lateen.cluster.storage.seam import Storage
from lateen.errors import ApiError, StorageError
from lateen.kube import addresses
from lateen.kube.meta import Object
from lateen.kube.resources import Resource, builtin

log = logging.getLogger(__name__)

_NAMED: dict[str, tuple[str, Verb]] = {
    "GET": ("get", get),
    "PUT": ("update", update),
    "PATCH": ("patch", patch),
    "DELETE": ("delete", delete),
}
_COLLECTION: dict[str, tuple[str, Verb]] = {
    "GET": ("list", list_),
    "POST": ("create", create),
    "DELETE": ("deletecollection", deletecollection),
}
_TRUE = ("true", "1")
_PLAIN = frozenset(("application/json", "*/*", ""))


class ApiServer:
    """One API server over one storage. ``async with`` it: entering stores the bootstrap objects, leaving ends every watch."""

    def __init__(
        self,
        storage: Storage,
        *,
        clock: Clock | None = None,
        resources: Iterable[Resource] | None = None,
        service_network: IPv4Network | None = None,
        account_key: bytes | None = None,
        account_admission: bool = False,
        front_proxy: Trust | None = None,
    ) -> None:
        """``account_key`` (PEM) signs ServiceAccount tokens; without one a key is made that lives as long as the server.
        ``account_admission``: pods need a ServiceAccount and get its token, which needs the controllers that make both.
        ``front_proxy``: the certificate that extension API servers know us by."""
        clock = clock or SystemClock()
        registry = Registry(builtin() if resources is None else resources, conversions=CONVERSIONS)
        for served in usage.served():
            registry.add(served)
        self.accounts = ServiceAccountTokens(account_key or make_ca().key, clock=clock, find=self._find)
        self.rbac = rbac_over(storage, registry)
        self.backend = Backend(
            storage=storage,
            registry=registry,
            clock=clock,
            streams=WatchStreams(clock),
            addresses=ServiceAddresses(service_network or addresses.service_network(0)),
            access=Access(self.rbac, self.accounts, self._user_of),
            logs=no_logs,
            nodes=NoNodes(),
            account_admission=account_admission,
            remotes=Remotes(),
            front_proxy=front_proxy or Trust(),
        )
        self.backend.gate = Gate(self.backend)
        self.authenticator: Authenticator | None = None
        self.url = "https://kubernetes.default.svc"
        self.metrics, self.health = Metrics(), Health()
        self.discovery, self.openapi = DiscoveryCache(), OpenApiCache()
        self._tasks = TaskOwner("api")

    async def __aenter__(self) -> ApiServer:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def start(self) -> None:
        """Store what every cluster has from the start; begin to tick watches."""
        self.backend.addresses.load(self.backend.objects("", "v1", "services"))
        for crd in self.backend.objects("apiextensions.k8s.io", "v1", "customresourcedefinitions"):
            serve(self.backend, crd)
        for service in self.backend.objects("apiregistration.k8s.io", "v1", "apiservices"):
            take(self.backend, service)
        self.backend.gate.load()
        await bootstrap(self.backend)
        self._tasks.start(self.backend.streams.run(), "watch-ticks")
        self._tasks.start(expire_events(self.backend, self.backend.clock), "event-expiry")
        self._tasks.start(Keeper(self.backend, self.backend.clock).run(), "api-services")
        self._tasks.start(CrdCleanup(self.backend, self.backend.clock).run(), "crd-cleanup")

    async def close(self) -> None:
        """End watches and own tasks. The storage is the caller's. Idempotent."""
        self.backend.streams.close()
        await self._tasks.close()

    def _find(self, plural: str, namespace: str, name: str) -> Object | None:
        return self.backend.get("", "v1", plural, namespace, name)

    def _user_of(self, token: str, audiences: Sequence[str]) -> UserInfo | None:
        if audiences and ISSUER not in audiences:
            return self.accounts.user(token, audiences=audiences)
        found = self.authenticator.authenticate(token=token, certificate=None) if self.authenticator is not None else None
        return found or self.accounts.user(token)

    def read_logs_from(self, source: LogSource) -> None:
        """Where ``pods/log`` reads from now on: boot gives the node agents' logs."""
        self.backend.logs = source

    def reach_nodes_by(self, nodes: Nodes) -> None:
        """How containers are reached from now on (exec, attach, port-forward, proxies): boot gives the node agents."""
        self.backend.nodes = nodes

    async def publish(self, host: str, port: int) -> None:
        """Say where the server is: the Service ``kubernetes`` and its EndpointSlice in ``default``."""
        self.url = f"https://{host}:{port}"
        await publish(self.backend, host, port)

    def handler_for(self, user: UserInfo) -> Callable[[Request], Awaitable[Response]]:
        """The in-process door for ``user``: what ``client.inprocess.InProcessTransport`` takes."""

        async def handle(request: Request) -> Response:
            answer = await self.handle(request, user)
            return await taken_in(request, answer) if answer.proxied else _response(answer)

        return handle

    async def handle(self, request: Request, user: UserInfo) -> Answer:
        """The answer, errors included; counted and timed."""
        path = parse_path(request.path)
        served = self.backend.registry.find(path.group, path.version, path.plural) if path is not None else None
        kind = "readOnly" if request.method == "GET" else "mutating"
        inflight, start = self.metrics.inflight, self.backend.clock.monotonic()
        inflight[kind] += 1
        try:
            answer = await self._answered(request, user, path, served)
        finally:
            inflight[kind] -= 1
        streams = answer.watch is not None or answer.stream is not None or answer.upgrade is not None
        labels = _labels(request.method, path if served is not None else None, _truthy(request.query.get("watch")))
        self.metrics.observe(labels, answer.status, None if streams else self.backend.clock.monotonic() - start)
        return answer

    async def _answered(self, request: Request, user: UserInfo, path: ResourcePath | None, served: Served | None) -> Answer:
        remotes = self.backend.remotes
        try:
            if remotes.by_key and (remote := remotes.find(request.path)) is not None:
                return await self._forward(request, user, path, remote)
            if path is None or served is None:
                return self._page(request, user)
            return await self._resource(request, user, path, served)
        except ApiError as error:
            return failure(error)
        except StorageError as error:
            log.error("%s %s: %s", request.method, request.path, error)
            return failure(statuses.internal(str(error)))
        except Exception as error:
            # The server outlives any fault of one request, says 500 and logs where it was.
            log.exception("%s %s failed", request.method, request.path)
            return failure(statuses.internal(f"{type(error).__name__}: {error}"))

    async def _forward(self, request: Request, user: UserInfo, path: ResourcePath | None, remote: Remote) -> Answer:
        """What an extension API server serves. Who may is decided here first, and by it again."""
        if path is None:
            check_path(self.rbac, user, request.method, request.path)
        else:
            check_foreign(self.rbac, user, verb_of(request, path), path)
        return await forward(self.backend, request, user, remote)

    async def _resource(self, request: Request, user: UserInfo, path: ResourcePath, served: Served) -> Answer:
        verb, work = _route(request, path, served)
        call = Call(request=request, user=user, served=served, path=path, verb=verb)
        if served.deprecation:
            call.warnings.append(served.deprecation)
        check(self.rbac, call)
        if path.subresource and self.backend.gate.busy:
            await requested(self.backend, call)
        form = Form.PLAIN if request.accept in _PLAIN else form_of(request.accept)
        answer = await work(self.backend, call)
        if form is not Form.PLAIN:
            answer = present(self.backend, call, answer, form)
        if call.warnings:
            answer.headers = {**answer.headers, "Warning": warning_header(call.warnings)}
        return answer

    def _page(self, request: Request, user: UserInfo) -> Answer:
        page = page_for(request.path)
        if page is None:
            check_path(self.rbac, user, request.method, request.path)
            raise statuses.no_such_path()
        check_path(self.rbac, user, request.method, request.path)
        if request.method != "GET":
            raise statuses.method_not_allowed()
        return page(self, request)

    def impersonate(self, user: UserInfo, headers: Mapping[str, str], groups: Sequence[str]) -> UserInfo:
        """The user that ``headers`` (Impersonate-User, -Group, -Uid, -Extra-*) name. ForbiddenError unless ``user`` may."""
        return impersonated(self.rbac, user, headers, groups)


def _route(request: Request, path: ResourcePath, served: Served) -> tuple[str, Verb]:
    """The verb's name (as RBAC knows it) and its function. MethodNotAllowedError, NotFoundError."""
    if served.resource.namespaced is False and path.namespace:
        raise statuses.no_such_path()
    method = request.method
    virtual = VIRTUAL.get(served.collection)
    if virtual is not None:
        return _virtual(method, path, virtual)
    if served.collection in COMPUTED:
        if method != "GET" or path.subresource or _truthy(request.query.get("watch")):
            raise statuses.method_not_allowed()
        return "get" if path.name else "list", COMPUTED[served.collection]
    if path.subresource:
        return subresource_for(served, path.subresource, method)
    if path.name:
        found = _NAMED.get(method)
    elif method == "GET" and _truthy(request.query.get("watch")):
        return "watch", watch
    else:
        found = _COLLECTION.get(method)
    if found is None or (found[0] not in served.resource.verbs):
        raise statuses.method_not_allowed()
    if found[0] in ("create", "deletecollection") and served.resource.namespaced and not path.namespace:
        raise statuses.method_not_allowed()
    if found[0] == "create" and served.terminating:
        raise statuses.terminating_definition()
    return found


@lru_cache(maxsize=4096)
def _labels(method: str, path: ResourcePath | None, watches: bool) -> tuple[str, ...]:
    """A request's metric labels. Names do not count, so that the cache and the metrics stay small."""
    if path is None:
        return (method, "", "", "", "", "")
    scope = "resource" if path.name else "namespace" if path.namespace else "cluster"
    verb = "WATCH" if watches else "LIST" if method == "GET" and not path.name else method
    return (verb, path.group, path.version, path.plural, path.subresource, scope)


def _virtual(method: str, path: ResourcePath, work: Verb) -> tuple[str, Verb]:
    if method != "POST" or path.name:
        raise statuses.method_not_allowed()
    return "create", work


def verb_of(request: Request, path: ResourcePath) -> str:
    """The verb that RBAC knows for a request to a resource that is not served here."""
    if path.name:
        return {"GET": "get", "PUT": "update", "PATCH": "patch", "DELETE": "delete", "POST": "create"}.get(request.method, "get")
    if request.method == "GET":
        return "watch" if _truthy(request.query.get("watch")) else "list"
    return {"POST": "create", "DELETE": "deletecollection", "PUT": "update", "PATCH": "patch"}.get(request.method, "get")


def _truthy(value: Any) -> bool:
    return isinstance(value, str) and value.lower() in _TRUE


def warning_header(warnings: Iterable[str]) -> str:
    """RFC 7234 warnings, as kubectl prints them."""
    quoted = (w.replace("\\", "\\\\").replace('"', '\\"') for w in dict.fromkeys(warnings))
    return ", ".join(f'299 - "{w}"' for w in quoted)


def failure(error: ApiError) -> Answer:
    """The Status of an error."""
    status = error.status
    retry = (status.get("details") or {}).get("retryAfterSeconds")
    return Answer(status=int(status["code"]), obj=status, headers={"Retry-After": str(retry)} if retry else {})


def _response(answer: Answer) -> Response:
    if answer.watch is not None:
        return Response(status=answer.status, events=answer.watch.events(), headers=answer.headers)
    if answer.stream is not None:
        return Response(status=answer.status, stream=answer.stream, content_type=answer.content_type, headers=answer.headers)
    if answer.raw is not None:
        return Response(status=answer.status, raw=answer.raw, content_type=answer.content_type, headers=answer.headers)
    return Response(status=answer.status, object=answer.object(), headers=answer.headers)
