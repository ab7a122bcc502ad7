"""Registers nodes and keeps their leases: used by the agent for its one node and by the hollow nodes for all of theirs."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence

from lateen.aio.clock import Clock
from lateen.client.client import Client
from lateen.cluster.node.node_object import lease_object, node_object, node_status
from lateen.errors import AlreadyExistsError, ApiError, LateenError, NotFoundError, TransportError
from lateen.kube.meta import Object, condition_true, labels_of, meta, micro_timestamp, uid_of
from lateen.kube.resources import LEASES, NODES

log = logging.getLogger(__name__)
RENEW, STATUS_EVERY = 10.0, 300.0
_LEASE_NAMESPACE = "kube-node-lease"


class Registration:
    """One node in the API. ``resources`` is its capacity; everything of it is allocatable."""

    def __init__(
        self,
        client: Client,
        clock: Clock,
        name: str,
        *,
        runtime: str,
        resources: Mapping[str, str],
        ip: str,
        labels: Mapping[str, str] | None = None,
        taints: Sequence[Mapping[str, str]] = (),
        every: float = RENEW,
    ) -> None:
        """``every`` so many seconds the lease is renewed."""
        self._client, self._clock, self.name, self._runtime = client, clock, name, runtime
        self._resources, self._ip, self._every = resources, ip, every
        self._labels, self._taints = dict(labels or {}), [dict(t) for t in taints]
        self.node: Object = {}
        self._pressures: frozenset[str] = frozenset()

    async def register(self) -> Object:
        """Create the node or take it over, write its status Ready, renew its lease; the Node."""
        wanted = node_object(self.name, self._runtime, labels=self._labels, taints=self._taints)
        try:
            self.node = await self._client.create(NODES, wanted)
        except AlreadyExistsError:
            self.node = await self._client.get(NODES, self.name)
            labels = {k: v for k, v in labels_of(wanted).items() if labels_of(self.node).get(k) != v}
            if labels:
                self.node = await self._client.patch(NODES, self.name, {"metadata": {"labels": labels}})
        await self.renew()  # first: a status that nobody vouches for would be taken back
        await self.report()
        return self.node

    async def report(self) -> None:
        """Write the whole status with a fresh heartbeat."""
        status = node_status(
            self.name,
            self._runtime,
            self._resources,
            self._ip,
            self._clock.now(),
            old=self.node.get("status"),
            pressures=self._pressures,
        )
        self.node = await self._client.patch(NODES, self.name, {"status": status}, subresource="status")

    async def refresh(self) -> Object:
        """The Node as it is now; the one known last where the API server cannot be asked."""
        try:
            self.node = await self._client.get(NODES, self.name)
        except (ApiError, TransportError) as error:
            log.warning("node %s could not be read: %s", self.name, error)
        return self.node

    async def press(self, conditions: frozenset[str]) -> None:
        """Say which pressures the node is under."""
        self._pressures = conditions
        await self.report()

    async def renew(self) -> None:
        """Say that the node lives."""
        now = micro_timestamp(self._clock.now())
        try:
            await self._client.patch(LEASES, self.name, {"spec": {"renewTime": now}}, namespace=_LEASE_NAMESPACE)
        except NotFoundError:
            try:
                await self._client.create(LEASES, lease_object(self.name, now, uid_of(self.node)))
            except AlreadyExistsError:
                return

    async def _doubted(self) -> bool:
        """Whether somebody wrote into the status that the node is not ready: we were away, and are back."""
        self.node = await self._client.get(NODES, self.name)
        return not condition_true(self.node, "Ready")

    async def keep(self) -> None:
        """Renew and report for ever; a failure is tried again at the next turn. Registers anew when somebody deleted the node."""
        last = self._clock.monotonic()
        while True:
            await self._clock.sleep(self._every)
            try:
                await self.renew()
                if self._clock.monotonic() - last >= STATUS_EVERY or await self._doubted():
                    await self.report()
                    last = self._clock.monotonic()
            except NotFoundError:
                await self._again()
            except (ApiError, TransportError) as error:
                log.warning("node %s: the lease was not renewed: %s", self.name, error)

    async def _again(self) -> None:
        try:
            await self.register()
        except LateenError as error:
            log.warning("node %s could not be registered anew: %s", self.name, error)

    @property
    def uid(self) -> str:
        return str(meta(self.node).get("uid") or "")
