"""cart: turns what a customer sends into order lines with quantities."""

from kit.client import call
from kit.server import Refused, Request, Service

service = Service("cart")


def line(item: object) -> tuple[str, int]:
    """An item is a name, or {"sku": name, "quantity": n}."""
    if isinstance(item, dict):
        sku = item.get("sku") or item.get("id") or item.get("name")
        quantity = item.get("quantity", item.get("qty", 1))
        if not sku or not isinstance(quantity, int) or quantity < 1:
            raise Refused(400, f"an item needs a sku and a quantity of at least 1: {item}")
        return str(sku), quantity
    return str(item), 1


@service.route("POST", "/cart")
async def lines(request: Request) -> object:
    items = request.json().get("items", [])
    if not isinstance(items, list):
        raise Refused(400, "items is a list")
    counted: dict[str, int] = {}
    for sku, quantity in map(line, items):
        counted[sku] = counted.get(sku, 0) + quantity
    return {"lines": [{"sku": sku, "quantity": n} for sku, n in counted.items()]}


@service.route("POST", "/cart/quote")
async def quote(request: Request) -> object:
    cart = (await lines(request))["lines"]  # type: ignore[index]
    prices = await call("POST", "catalog", "/prices", {"skus": [entry["sku"] for entry in cart]})
    return {"lines": cart, "total": round(sum(prices[e["sku"]] * e["quantity"] for e in cart), 2)}


service.run()
