"""web: the page a person uses, and the one call behind it."""

import asyncio
from pathlib import Path

from kit.client import call
from kit.server import Refused, Reply, Request, Service

service = Service("web")
page = Path(__file__).with_name("page.html").read_bytes()


@service.route("GET", "/")
async def index(request: Request) -> object:
    return Reply(200, page, "text/html; charset=utf-8")


@service.route("GET", "/api/home")
async def home(request: Request) -> object:
    catalog, also = await asyncio.gather(call("GET", "catalog", "/catalog"), recommended(request.query))
    return {"version": catalog["version"], "products": catalog["products"], "also": also}


async def recommended(query: str) -> object:
    try:
        return (await call("GET", "recommendations", f"/recommendations?{query}"))["products"]
    except (Refused, OSError):
        return []  # the shop sells without advice


service.run()
