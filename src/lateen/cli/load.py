"""A small load generator for the demo: reads and orders through the gateway, counted from outside.

A request is lost when it gets no answer, or one of the 500s. Nothing is retried here.
"""

from __future__ import annotations

import itertools
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import aiohttp

from lateen.aio.clock import Clock
from lateen.aio.tasks import TaskOwner


@dataclass(slots=True)
class Tally:
    """What happened in one phase. ``latencies`` are seconds of the answered requests."""

    name: str
    sent: int = 0
    lost: int = 0
    latencies: list[float] = field(default_factory=list)
    seconds: float = 0.0
    failures: dict[str, int] = field(default_factory=dict)

    def quantile(self, q: float) -> float:
        """The ``q`` quantile of the latencies in milliseconds (nearest rank)."""
        if not self.latencies:
            return 0.0
        ordered = sorted(self.latencies)
        return ordered[min(len(ordered) - 1, int(q * len(ordered)))] * 1000

    def summary(self) -> dict[str, object]:
        """For ``-o json``."""
        quantiles = {"p50": round(self.quantile(0.5), 2), "p99": round(self.quantile(0.99), 2)}
        return {
            "phase": self.name,
            "seconds": round(self.seconds, 2),
            "sent": self.sent,
            "lost": self.lost,
            "latency_ms": quantiles,
            "failures": self.failures,
        }


class Load:
    """Drives ``url`` at about ``rate`` requests per second until closed; every tenth request is an order with its own id."""

    def __init__(
        self, url: str, *, rate: float, clock: Clock, connections: int = 16, keep_alive: bool = True, orders: bool = True
    ) -> None:
        self._url, self._interval, self._clock, self._connections = url.rstrip("/"), connections / rate, clock, connections
        self._keep_alive, self._orders = keep_alive, orders
        self.tally = Tally("idle")
        self.acknowledged: set[str] = set()
        self._turn = itertools.count(1)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Load]:
        """Load flows while inside."""
        # A generator of load must not hide a broken connection: every failure is seen once and counted.
        connector = aiohttp.TCPConnector(limit=self._connections, force_close=not self._keep_alive)
        timeout = aiohttp.ClientTimeout(total=15)
        async with aiohttp.ClientSession(connector=connector, timeout=timeout) as session, TaskOwner("load") as owner:
            for i in range(self._connections):
                owner.start(self._drive(session, i * self._interval / self._connections), f"client-{i}")
            yield self

    @asynccontextmanager
    async def phase(self, name: str) -> AsyncIterator[Tally]:
        """Count what is sent while inside under ``name``."""
        previous, tally = self.tally, Tally(name)
        self.tally, start = tally, time.perf_counter()
        try:
            yield tally
        finally:
            tally.seconds = time.perf_counter() - start
            self.tally = previous

    async def _drive(self, session: aiohttp.ClientSession, delay: float) -> None:
        await self._clock.sleep(delay)
        while True:
            began = time.perf_counter()
            await self._request(session, self.tally)
            await self._clock.sleep(self._interval - (time.perf_counter() - began))

    async def _request(self, session: aiohttp.ClientSession, tally: Tally) -> None:
        order_id = uuid.uuid4().hex if self._orders and next(self._turn) % 10 == 0 else ""
        tally.sent += 1
        began = time.perf_counter()
        try:
            status = await (self._order(session, order_id) if order_id else self._read(session))
        except (TimeoutError, aiohttp.ClientError, OSError) as error:
            tally.lost += 1
            tally.failures[type(error).__name__] = tally.failures.get(type(error).__name__, 0) + 1
            return
        tally.latencies.append(time.perf_counter() - began)
        if status >= 500:
            tally.lost += 1
            tally.failures[str(status)] = tally.failures.get(str(status), 0) + 1
        elif order_id and status < 300:
            self.acknowledged.add(order_id)

    async def _read(self, session: aiohttp.ClientSession) -> int:
        async with session.get(f"{self._url}/api/home?sku=mug") as answer:
            await answer.read()
            return answer.status

    async def _order(self, session: aiohttp.ClientSession, order_id: str) -> int:
        async with session.post(f"{self._url}/checkout", json={"order_id": order_id, "items": ["mug", "lamp"]}) as answer:
            await answer.read()
            return answer.status

    async def missing(self) -> tuple[int, int]:
        """(acknowledged orders that are not there exactly once, orders in the ledger), asked through the gateway."""
        wrong = 0
        async with aiohttp.ClientSession() as session:
            for order_id in self.acknowledged:
                async with session.get(f"{self._url}/orders/{order_id}") as answer:
                    body = await answer.json()
                    wrong += answer.status != 200 or body.get("copies") != 1
            async with session.get(f"{self._url}/orders/count") as answer:
                return wrong, int((await answer.json())["count"])
