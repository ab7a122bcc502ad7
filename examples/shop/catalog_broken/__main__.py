"""catalog, a bad version: healthy by its probe, but every third answer is an error and the others are slow."""

import asyncio
import itertools

from catalog.products import PRODUCTS, price
from kit.server import Refused, Request, Service

service = Service("catalog", version="broken")
turn = itertools.count(1)


async def misbehave() -> None:
    if next(turn) % 3 == 0:
        raise Refused(500, "the catalog lost its shelf")
    await asyncio.sleep(0.4)


@service.route("GET", "/catalog")
async def products(request: Request) -> object:
    await misbehave()
    return {"version": service.version, "products": [{"sku": sku, **p} for sku, p in PRODUCTS.items()]}


@service.route("POST", "/prices")
async def prices(request: Request) -> object:
    await misbehave()
    return {sku: price(sku) for sku in request.json().get("skus", [])}


service.run()
