"""payment: charges an amount for an order. The same order is the same charge, however often it is asked for."""

import hashlib

from kit.server import Refused, Request, Service

service = Service("payment")


@service.route("POST", "/charge")
async def charge(request: Request) -> object:
    order = request.json()
    if "order_id" not in order or not isinstance(order.get("amount"), int | float) or order["amount"] < 0:
        raise Refused(400, "a charge needs order_id and an amount")
    receipt = hashlib.sha256(f"{order['order_id']}:{order['amount']}".encode()).hexdigest()[:16]
    return {"order_id": order["order_id"], "amount": order["amount"], "receipt": receipt}


service.run()
