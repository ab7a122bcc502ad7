"""Discovery against the API server in process, aggregated and by group."""

import pytest

from lateen.client.client import Client
from lateen.client.discovery import Discovery
from lateen.client.seam import Request, Response
from lateen.kube.resources import Resource


class OldCluster:
    """A transport to a cluster that knows no aggregated discovery."""

    def __init__(self, client: Client) -> None:
        self._inner = client.transport

    async def send(self, request: Request) -> Response:
        plain = Request(method=request.method, path=request.path, query=request.query, body=request.body)
        return await self._inner.send(plain)

    async def close(self) -> None: ...


@pytest.mark.parametrize(
    ("word", "plural"),
    [
        ("pods", "pods"),
        ("po", "pods"),
        ("Pod", "pods"),
        ("deploy", "deployments"),
        ("deployments.apps", "deployments"),
        ("deploy.v1.apps", "deployments"),
        ("svc", "services"),
        ("configmap", "configmaps"),
        ("deployments.batch", ""),
        ("nonsense", ""),
    ],
)
async def test_names_that_people_use(client: Client, word: str, plural: str) -> None:
    found = await Discovery(client).named(word)
    assert (found.plural if found else "") == plural


async def test_both_ways_agree(client: Client) -> None:
    def by_name(found: list[Resource]) -> dict[str, Resource]:
        return {r.group_resource: r for r in found}

    new = by_name(await Discovery(client).preferred())
    old = by_name(await Discovery(Client(OldCluster(client))).preferred())
    assert len(new) > 15
    assert new.keys() == old.keys()
    for name, resource in new.items():
        assert (resource.api_version, resource.kind, resource.namespaced) == (
            old[name].api_version,
            old[name].kind,
            old[name].namespaced,
        )
        assert set(resource.verbs) == set(old[name].verbs)
        assert set(resource.subresources) == set(old[name].subresources)


async def test_one_kind(client: Client) -> None:
    discovery = Discovery(client)
    found = await discovery.find("apps/v1", "Deployment")
    assert found is not None
    assert found.path("n", "x") == "/apis/apps/v1/namespaces/n/deployments/x"
    assert await discovery.find("apps/v1", "Nonsense") is None
    assert await discovery.find("nobody.example/v1", "Thing") is None
