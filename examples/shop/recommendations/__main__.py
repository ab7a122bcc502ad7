"""recommendations: products that share a tag with what the customer looks at."""

from urllib.parse import parse_qs

from kit.client import call
from kit.server import Request, Service

service = Service("recommendations")


@service.route("GET", "/recommendations")
async def recommend(request: Request) -> object:
    products = (await call("GET", "catalog", "/catalog"))["products"]
    wanted = parse_qs(request.query).get("sku", [])
    tags = {tag for p in products if p["sku"] in wanted for tag in p["tags"]}
    related = [p for p in products if p["sku"] not in wanted and (not tags or tags & set(p["tags"]))]
    return {"products": related[:3]}


service.run()
