"""catalog, version 1: products and prices."""

from kit.server import Refused, Request, Service

from catalog.products import PRODUCTS, price

service = Service("catalog")


@service.route("GET", "/catalog")
async def products(request: Request) -> object:
    return {"version": service.version, "products": [{"sku": sku, **p} for sku, p in PRODUCTS.items()]}


@service.route("GET", "/catalog/{sku}")
async def product(request: Request) -> object:
    sku = request.args["sku"]
    if sku not in PRODUCTS:
        raise Refused(404, f"no product {sku}")
    return {"sku": sku, **PRODUCTS[sku]}


@service.route("POST", "/prices")
async def prices(request: Request) -> object:
    return {sku: price(sku) for sku in request.json().get("skus", [])}


service.run()
