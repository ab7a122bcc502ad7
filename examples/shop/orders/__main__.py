"""orders: keeps every order exactly once, on the volume at DATA_DIR."""

import asyncio
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from kit.server import Refused, Reply, Request, Service

from orders.ledger import Ledger

service = Service("orders")
ledger = Ledger(Path(os.environ.get("DATA_DIR", "/data")) / "ledger.jsonl")
disk = ThreadPoolExecutor(max_workers=1, thread_name_prefix="disk")
waiting: list[tuple[dict[str, Any], asyncio.Future[None]]] = []


async def store(order: dict[str, Any]) -> None:
    """Orders that arrive together share one flush."""
    done = asyncio.get_running_loop().create_future()
    waiting.append((order, done))
    await asyncio.get_running_loop().run_in_executor(disk, flush, asyncio.get_running_loop())
    await done


def flush(loop: asyncio.AbstractEventLoop) -> None:
    batch = waiting[:]
    if not batch:
        return
    try:
        ledger.append([order for order, _ in batch])
        error = None
    except OSError as failure:
        error = failure
    del waiting[: len(batch)]
    loop.call_soon_threadsafe(settle, [done for _, done in batch], error)


def settle(done: list["asyncio.Future[None]"], error: OSError | None) -> None:
    for future in done:
        if future.done():
            continue
        if error is None:
            future.set_result(None)
        else:
            future.set_exception(error)


@service.route("POST", "/orders")
async def add(request: Request) -> object:
    order = request.json()
    if not order.get("order_id"):
        raise Refused(400, "an order needs order_id")
    await store(order)
    return Reply(201, {"order_id": order["order_id"], "copies": ledger.copies(str(order["order_id"]))})


@service.route("GET", "/orders/count")
async def count(request: Request) -> object:
    return {"count": await asyncio.get_running_loop().run_in_executor(disk, ledger.count)}


@service.route("GET", "/orders/{order_id}")
async def find(request: Request) -> object:
    order_id = request.args["order_id"]
    copies = await asyncio.get_running_loop().run_in_executor(disk, ledger.copies, order_id)
    if not copies:
        raise Refused(404, f"no order {order_id}")
    return {"order_id": order_id, "copies": copies}


service.run()
