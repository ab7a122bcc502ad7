"""Leader election: of several processes that could do the same work, one does. By a coordination.k8s.io Lease, as client-go does.

Clocks of different machines are never compared: a holder counts as gone when its Lease has not changed for ``duration`` seconds of
one's own time. Whoever cannot renew stops leading before another may begin (``deadline`` < ``duration``).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any

from lateen.aio.clock import Clock
from lateen.aio.tasks import TaskOwner
from lateen.client.client import Client
from lateen.errors import ApiError, ConflictError, NotFoundError, TransportError
from lateen.kube.meta import Object, meta, micro_timestamp
from lateen.kube.resources import LEASES

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """Seconds; client-go's defaults."""

    duration: float = 15.0
    deadline: float = 10.0
    retry: float = 2.0


class Election:
    """One candidate, ``identity``, for the Lease ``namespace/name``."""

    def __init__(
        self,
        client: Client,
        clock: Clock,
        *,
        name: str,
        namespace: str,
        identity: str,
        terms: Terms = Terms(),
    ) -> None:
        self._client, self._clock, self._terms = client, clock, terms
        self.name, self.namespace, self.identity = name, namespace, identity
        self.leading = False
        self._seen: tuple[str, float] = ("", 0.0)
        self._renewed = 0.0

    async def run(self, lead: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Wait until elected, run ``lead`` as long as the Lease is held; returns when it ended or the Lease was lost (``lead`` is
        then cancelled and awaited). On leaving, the Lease is given back for the next one."""
        self._renewed = self._clock.monotonic()
        while not await self._attempt():
            await self._clock.sleep(self._terms.retry)
            self._renewed = self._clock.monotonic()
        self.leading = True
        log.info("%s leads %s/%s", self.identity, self.namespace, self.name)
        try:
            async with TaskOwner(f"leader {self.name}") as owner:
                ended = asyncio.Event()
                owner.start(lead(), "lead").add_done_callback(lambda _: ended.set())
                owner.start(self._expiry(), "expiry").add_done_callback(lambda _: ended.set())
                owner.start(self._keep(), "renew")
                await ended.wait()
        finally:
            self.leading = False
            await self._release()

    async def _keep(self) -> None:
        """Renew until cancelled."""
        while True:
            await self._clock.sleep(self._terms.retry)
            began = self._clock.monotonic()
            if await self._attempt():
                self._renewed = began

    async def _expiry(self) -> None:
        """Returns when nothing was renewed for ``deadline`` seconds, also while a request hangs."""
        while (left := self._renewed + self._terms.deadline - self._clock.monotonic()) > 0:
            await self._clock.sleep(left)

    async def _attempt(self) -> bool:
        """Take or renew the Lease; False when another holds it or the server cannot be asked."""
        try:
            try:
                lease = await self._client.get(LEASES, self.name, self.namespace)
            except NotFoundError:
                await self._client.create(LEASES, self._lease())
                return True
            if not self._free(lease):
                return False
            await self._client.update(LEASES, {**lease, "spec": self._spec(lease)})
        except ConflictError:
            return False  # somebody was faster
        except (ApiError, TransportError) as error:
            log.warning("the lease %s/%s cannot be had: %s", self.namespace, self.name, error)
            return False
        return True

    def _free(self, lease: Object) -> bool:
        """Whether this candidate may take the Lease: it is its own, nobody's, or has not changed for too long."""
        version, now = meta(lease)["resourceVersion"], self._clock.monotonic()
        if self._seen[0] != version:
            self._seen = (version, now)
        holder = (lease.get("spec") or {}).get("holderIdentity")
        return not holder or holder == self.identity or now - self._seen[1] >= self._terms.duration

    def _lease(self) -> Object:
        metadata = {"name": self.name, "namespace": self.namespace}
        return {"apiVersion": LEASES.api_version, "kind": LEASES.kind, "metadata": metadata, "spec": self._spec(None)}

    def _spec(self, lease: Object | None) -> dict[str, Any]:
        old, now = ((lease or {}).get("spec") or {}), micro_timestamp(self._clock.now())
        mine = old.get("holderIdentity") == self.identity
        changes = int(old.get("leaseTransitions") or 0)
        return {
            "holderIdentity": self.identity,
            "leaseDurationSeconds": max(1, round(self._terms.duration)),
            "acquireTime": old.get("acquireTime", now) if mine else now,
            "renewTime": now,
            "leaseTransitions": changes if mine or lease is None else changes + 1,
        }

    async def _release(self) -> None:
        try:
            lease = await self._client.get(LEASES, self.name, self.namespace)
            if (lease.get("spec") or {}).get("holderIdentity") == self.identity:
                spec = {**lease["spec"], "holderIdentity": "", "leaseDurationSeconds": 1}
                await self._client.update(LEASES, {**lease, "spec": spec})
        except (ApiError, TransportError) as error:
            log.info("the lease %s/%s was not given back: %s", self.namespace, self.name, error)
