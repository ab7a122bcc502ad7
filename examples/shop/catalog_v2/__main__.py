"""catalog, version 2: as version 1, with ratings."""

from catalog.products import PRODUCTS, price
from kit.server import Refused, Request, Service

service = Service("catalog", version="2")


def rated(sku: str) -> dict[str, object]:
    return {"sku": sku, **PRODUCTS[sku], "rating": 3 + len(sku) % 3}


@service.route("GET", "/catalog")
async def products(request: Request) -> object:
    return {"version": service.version, "products": [rated(sku) for sku in PRODUCTS]}


@service.route("GET", "/catalog/{sku}")
async def product(request: Request) -> object:
    if request.args["sku"] not in PRODUCTS:
        raise Refused(404, f"no product {request.args['sku']}")
    return rated(request.args["sku"])


@service.route("POST", "/prices")
async def prices(request: Request) -> object:
    return {sku: price(sku) for sku in request.json().get("skus", [])}


service.run()
