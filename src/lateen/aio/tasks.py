"""Owned and named tasks: the only door to ``asyncio.create_task``.

A TaskOwner is an async context manager. Leaving it cancels and awaits what still runs. A task that fails is never silent:
its exception goes to ``on_error`` (default: the log), with the task's name; :func:`gather` runs siblings to completion.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from typing import Any, Self, TypeVar

log = logging.getLogger(__name__)
T = TypeVar("T")
OnError = Callable[[str, BaseException], None]


def _log_failure(name: str, error: BaseException) -> None:
    log.error("task %s failed", name, exc_info=error)


class TaskOwner:
    """Owns every task it started until it is closed."""

    def __init__(self, name: str, *, on_error: OnError = _log_failure) -> None:
        self.name, self._on_error = name, on_error
        self._tasks: set[asyncio.Task[Any]] = set()

    def start(self, work: Coroutine[Any, Any, T], name: str) -> asyncio.Task[T]:
        """Start ``work`` as the task ``<owner>/<name>``."""
        task = asyncio.create_task(work, name=f"{self.name}/{name}")
        self._tasks.add(task)
        task.add_done_callback(self._done)
        return task

    def _done(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._on_error(task.get_name(), error)

    def __len__(self) -> int:
        return len(self._tasks)

    async def close(self) -> None:
        """Cancel every task and wait until each has ended."""
        while tasks := [t for t in self._tasks if t is not asyncio.current_task()]:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
            self._tasks.difference_update(tasks)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()


async def gather(works: Iterable[Awaitable[T]]) -> list[T]:
    """Run ``works`` together; the first error cancels the rest and is raised alone."""
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(_await(w)) for w in works]
    except BaseExceptionGroup as errors:
        raise errors.exceptions[0] from None
    return [t.result() for t in tasks]


async def outcomes(works: Iterable[Coroutine[Any, Any, T]], *, at_once: int = 32) -> list[T | Exception]:
    """Run ``works``, ``at_once`` at a time, each to its end: results and errors in order.

    For writes, which cancelling does not undo.
    """
    results: dict[int, T | Exception] = {}
    waiting = list(enumerate(works))[::-1]

    async def work_off() -> None:
        while waiting:
            i, work = waiting.pop()
            try:
                results[i] = await work
            except Exception as error:  # noqa: BLE001 - the caller looks at each
                results[i] = error

    try:
        await gather(work_off() for _ in range(min(at_once, len(waiting))))
    finally:
        for _, work in waiting:
            work.close()
    return [results[i] for i in range(len(results))]


async def _await(work: Awaitable[T]) -> T:
    return await work


async def within(seconds: float, work: Awaitable[T]) -> T:
    """``work``'s result, or TimeoutError after ``seconds`` of real time (for calls to the outside, never for logic)."""
    async with asyncio.timeout(seconds):
        return await work
