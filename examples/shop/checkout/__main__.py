"""checkout: cart -> prices -> payment -> order. It answers 200 only once the order is on disk."""

from kit.client import call
from kit.server import Refused, Request, Service

service = Service("checkout")


@service.route("POST", "/checkout")
async def checkout(request: Request) -> object:
    order = request.json()
    order_id = order.get("order_id")
    if not order_id:
        raise Refused(400, "a checkout needs order_id")
    lines = (await call("POST", "cart", "/cart", {"items": order.get("items", [])}))["lines"]
    prices = await call("POST", "catalog", "/prices", {"skus": [line["sku"] for line in lines]})
    total = round(sum(prices[line["sku"]] * line["quantity"] for line in lines), 2)
    receipt = await call("POST", "payment", "/charge", {"order_id": order_id, "amount": total})
    stored = await call(
        "POST", "orders", "/orders", {"order_id": order_id, "lines": lines, "total": total, "receipt": receipt["receipt"]}
    )
    return {"order_id": order_id, "total": total, "receipt": receipt["receipt"], "copies": stored["copies"]}


service.run()
