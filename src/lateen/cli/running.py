"""Run a coroutine from a command. asyncio costs 25 ms to import: it waits until a command needs it."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


def run(work: Coroutine[Any, Any, T]) -> T:
    """The coroutine's result."""
    import asyncio

    return asyncio.run(work)
