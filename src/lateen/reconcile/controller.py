"""A controller: sources feed keys into a queue, workers hand them to a reconciler, one switch decides what comes next.

Used by every controller of the embedded cluster and of the product. The same key is never worked on twice at once.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from lateen.aio.clock import Clock
from lateen.aio.queue import WorkQueue
from lateen.aio.tasks import TaskOwner
from lateen.client.informer import Informer, InformerSet
from lateen.errors import AlreadyExistsError, ConflictError, LateenError, NotFoundError, TerminalError
from lateen.kube.meta import Key, Object, key_of
from lateen.reconcile.result import Result

log = logging.getLogger(__name__)
Predicate = Callable[[Object | None, Object | None], bool]
MapToKeys = Callable[[Object], Iterable[Key]]


def _always(old: Object | None, new: Object | None) -> bool:
    return True


def _itself(obj: Object) -> Iterable[Key]:
    return (key_of(obj),)


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Where keys come from: a change in ``informer`` that passes ``predicate`` queues ``keys`` of the old and the new object.

    ``delay`` (seconds, or a key's own) gathers bursts: keys wait so long, and wait once.
    """

    informer: Informer
    predicate: Predicate = _always
    keys: MapToKeys = _itself
    delay: float | Callable[[Key], float] = 0.0

    def wait(self, key: Key) -> float:
        """Seconds that ``key`` waits."""
        return self.delay(key) if callable(self.delay) else self.delay


class Reconciler(Protocol):
    """The one shape."""

    async def reconcile(self, key: Key) -> Result:
        """Make the world as the object ``key`` wants it. Reads everything anew; may be called at any time."""
        ...


@dataclass(slots=True)
class Counters:
    """How the reconciles of one controller ended. They stand at 0 from the start."""

    done: int = 0
    requeued: int = 0
    conflicts: int = 0
    errors: int = 0
    terminal: int = 0


@dataclass(slots=True, kw_only=True)
class Controller:
    """A reconciler with its sources. ``workers`` keys are worked on at once."""

    name: str
    reconciler: Reconciler
    sources: Sequence[Source]
    clock: Clock
    workers: int = 4
    counters: Counters = field(default_factory=Counters)
    queue: WorkQueue[Key] = field(init=False)
    _reconciles: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        self.queue = WorkQueue(self.clock)

    def subscribe(self) -> None:
        """Feed the queue from the sources. Once, before ``run``."""
        for source in self.sources:
            source.informer.subscribe(self._feed(source))

    def _feed(self, source: Source) -> Callable[[Object | None, Object | None], None]:
        def handle(old: Object | None, new: Object | None) -> None:
            if source.predicate(old, new):
                for obj in (old, new):
                    if obj is not None:
                        for key in source.keys(obj):
                            self.queue.add_after(key, source.wait(key))

        return handle

    def start(self, owner: TaskOwner) -> None:
        """Run timers and workers as tasks of ``owner``."""
        owner.start(self.queue.run_timers(), f"{self.name}/timers")
        for i in range(self.workers):
            owner.start(self._work(), f"{self.name}/{i}")

    async def _work(self) -> None:
        while True:
            key = await self.queue.get()
            try:
                await self._once(key)
            finally:
                self.queue.done(key)

    async def _once(self, key: Key) -> None:
        self._reconciles += 1
        number = self._reconciles
        try:
            result = await self.reconciler.reconcile(key)
        except TerminalError as error:
            self.counters.terminal += 1
            self.queue.forget(key)
            log.warning("%s#%d %s: given up until it changes: %s", self.name, number, key, error)
        except (ConflictError, NotFoundError, AlreadyExistsError) as error:
            # Somebody was faster: the informer will tell, and the next look at the world decides.
            self.counters.conflicts += 1
            log.debug("%s#%d %s: %s; again in %.3f s", self.name, number, key, error, self.queue.retry(key))
        except LateenError as error:
            self.counters.errors += 1
            log.warning("%s#%d %s: %s; again in %.3f s", self.name, number, key, error, self.queue.retry(key))
        except Exception:
            self.counters.errors += 1
            log.exception("%s#%d %s: defect; again in %.3f s", self.name, number, key, self.queue.retry(key))
        else:
            self.queue.forget(key)
            if result.after is None:
                self.counters.done += 1
            else:
                self.counters.requeued += 1
                self.queue.add_after(key, result.after)


class Manager:
    """Runs controllers: subscribes them, waits until their informers are synced, then starts the workers.

    With ``informers`` it waits for all of them: a reconciler reads more than what wakes it.
    """

    def __init__(self, controllers: Sequence[Controller], informers: InformerSet | None = None) -> None:
        self.controllers, self._informers = controllers, informers

    async def start(self, owner: TaskOwner) -> None:
        """Returns once every controller runs. The informers must already run."""
        for controller in self.controllers:
            controller.subscribe()
        if self._informers is not None:
            await self._informers.synced()
        for controller in self.controllers:
            for source in controller.sources:
                await source.informer.synced()
        for controller in self.controllers:
            controller.start(owner)
