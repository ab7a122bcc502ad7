"""Waiting for health, driven by watches: after every change, every object that is waited for is judged again.

``Watcher`` follows objects from the moment they are applied; several waiters (objects that depend on others, and the end of the
apply) wait on it at once. Diagnosis of a failure, with the container's last log lines, is in ``apply.diagnose``.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from lateen.aio.tasks import TaskOwner
from lateen.apply.events import EventSeen, HealthChanged, Listener
from lateen.apply.health import HEALTHY, Health, State, assess
from lateen.apply.refs import Ref, ref_of
from lateen.apply.world import World
from lateen.errors import ApiError, FailedError, ServerError, TransportError
from lateen.kube.meta import Object, controller_of, meta, parse_time, uid_of

_COALESCE, _SHARE = 0.005, 9  # seconds, and times what a judgement takes: one judgement for a burst of changes
_EVENT_SLACK = 2.0  # seconds that an event may be older than the apply: timestamps have whole ones

_ASK_SERVER = 2.0  # seconds
_PENDING = Health(State.progressing, "waits to be applied")


class UnhealthyError(FailedError):
    """Some objects will not become healthy, or did not in time; ``refs`` are those."""

    def __init__(self, refs: Iterable[Ref], *, late: bool) -> None:
        self.refs, self.late = tuple(refs), late
        super().__init__(", ".join(str(r) for r in self.refs))


@dataclass(slots=True)
class _Waiter:
    refs: frozenset[Ref]
    done: asyncio.Future[None]


class Watcher:
    """Judges followed objects. An async context manager inside that of its World."""

    def __init__(self, world: World, *, listener: Listener, deadline: float) -> None:
        self._world, self._listener, self._deadline = world, listener, deadline
        self._began, self._since = world.clock.monotonic(), world.clock.now()
        self._expected: dict[Ref, Object] = {}
        self._waiters: list[_Waiter] = []
        self._error: BaseException | None = None
        self.health: dict[Ref, Health] = {}
        self._owner = TaskOwner("health", on_error=self._broken)

    async def __aenter__(self) -> Watcher:
        self._owner.start(self._run(), "judge")
        self._owner.start(self._ask_server(), "server")
        self._world.wake_at(self._deadline)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._owner.close()

    def follow(self, ref: Ref, applied: Object) -> None:
        """Judge this object from now on; ``applied`` is what the server answered, older states of it do not count."""
        self._expected[ref] = applied
        self.health[ref] = Health(State.progressing, "was applied")
        self._world.changed.set()

    async def healthy(self, refs: Iterable[Ref]) -> None:
        """Return when all are healthy, those too that are yet to be applied. UnhealthyError: one is hopeless, or it is too late."""
        if self._error is not None:
            raise self._error
        waiter = _Waiter(frozenset(refs), asyncio.get_running_loop().create_future())
        self._waiters.append(waiter)
        self._world.changed.set()
        await waiter.done

    async def _run(self) -> None:
        while True:
            await self._world.changed.wait()
            self._world.changed.clear()
            began = self._world.clock.monotonic()
            self._judge_all()
            self._tell_events()
            self._wake()
            took = self._world.clock.monotonic() - began
            await self._world.clock.sleep(max(_COALESCE, took * _SHARE))

    async def _ask_server(self) -> None:
        """A server that says twice in a row that it is not well (its disk is full, ...) cannot show that anything gets better."""
        said = 0
        while True:
            await self._world.clock.sleep(_ASK_SERVER)
            try:
                await self._world.client.raw("GET", "/readyz", accept="*/*")
            except ServerError as error:
                said += 1
                if said > 1:
                    raise FailedError(f"the cluster is not well; its API server says:\n{_indented(str(error))}") from error
            except (ApiError, TransportError):
                continue  # not allowed to ask, or it is being restarted
            else:
                said = 0

    def _broken(self, name: str, error: BaseException) -> None:
        self._error = error
        for waiter in self._waiters:
            if not waiter.done.done():
                waiter.done.set_exception(error)

    def _judge_all(self) -> None:
        for ref, applied in self._expected.items():
            judged = self._judge(ref, applied)
            if judged != self.health[ref]:
                self.health[ref] = judged
                self._listener(HealthChanged(ref=ref, health=judged, after=self._world.clock.monotonic() - self._began))

    def _judge(self, ref: Ref, applied: Object) -> Health:
        if not self._world.follows(ref):
            return HEALTHY  # it may be written and not read: nothing more can be known
        seen = self._world.get(ref)
        if seen is None or (uid_of(seen) == uid_of(applied) and _generation(seen) < _generation(applied)):
            return Health(State.progressing, "was applied")
        return assess(seen, self._world)

    def _wake(self) -> None:
        late = self._world.clock.monotonic() >= self._deadline
        for waiter in list(self._waiters):
            if waiter.done.done() or self._settled(waiter, late):
                self._waiters.remove(waiter)

    def _settled(self, waiter: _Waiter, late: bool) -> bool:
        waiting = [r for r in waiter.refs if not self.health.get(r, _PENDING).ok]
        hopeless = [r for r in waiting if self.health.get(r, _PENDING).hopeless]
        if not waiting:
            waiter.done.set_result(None)
        elif hopeless or late:
            waiter.done.set_exception(UnhealthyError(sorted(hopeless or waiting), late=not hopeless))
        return waiter.done.done()

    def _tell_events(self) -> None:
        while self._world.news:
            event = self._world.news.popleft()
            if self._recent(event) and (ref := self._about(event)) is not None:
                kind, reason, text = (str(event.get(f) or "") for f in ("type", "reason", "message"))
                self._listener(EventSeen(ref=ref, type=kind, reason=reason, message=text))

    def _recent(self, event: Object) -> bool:
        series = event.get("series") or {}
        times = (
            event.get("lastTimestamp"),
            series.get("lastObservedTime"),
            event.get("eventTime"),
            meta(event).get("creationTimestamp"),
        )
        when = next((str(t) for t in times if t), "")
        return bool(when) and (self._since - parse_time(when)).total_seconds() <= _EVENT_SLACK

    def _about(self, event: Object) -> Ref | None:
        """The followed object that the event is about, itself or through what it controls."""
        found = event.get("involvedObject") or {}
        kind, namespace, uid = found.get("kind", ""), found.get("namespace", ""), found.get("uid", "")
        obj: Mapping[str, object] | None = self._world.by_uid(kind, namespace, uid)
        while obj is not None:
            ref = ref_of(dict(obj))
            if ref in self._expected:
                return ref
            owner = controller_of(obj)
            obj = self._world.by_uid(owner["kind"], namespace, owner["uid"]) if owner else None
        return None


def _indented(text: str) -> str:
    return "\n".join(f"  {line}" for line in text.strip().splitlines())


def _generation(obj: Object) -> int:
    return int(meta(obj).get("generation") or 0)
