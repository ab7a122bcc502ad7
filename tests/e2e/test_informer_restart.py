"""An informer over real TLS, by a kubeconfig file, through the restart of its API server."""

from pathlib import Path

from lateen.aio.clock import SystemClock
from lateen.aio.tasks import TaskOwner
from lateen.client.client import Client
from lateen.client.http import HttpTransport
from lateen.client.informer import Informer
from lateen.client.inprocess import InProcessTransport
from lateen.client.kubeconfig import load_kubeconfig
from lateen.cluster.api.auth.authenticator import Authenticator
from lateen.cluster.api.auth.kubeconfig import kubeconfig
from lateen.cluster.api.auth.pki import load_or_make
from lateen.cluster.api.auth.tokens import StaticTokens
from lateen.cluster.api.https import HttpsServer
from lateen.cluster.api.server import ApiServer
from lateen.cluster.api.user import ADMIN
from lateen.cluster.storage.memory import MemoryStorage
from lateen.kube.meta import Object, meta
from lateen.kube.resources import CONFIGMAPS

CLOCK = SystemClock()


class Served:
    """An API server over one storage, that can be stopped and started on the same port."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.storage, self.port = folder, MemoryStorage(), 0
        self.pki = load_or_make(folder / "pki", ["127.0.0.1"])
        self.static = StaticTokens(folder / "tokens.json")
        self.token = self.static.add(ADMIN)

    async def start(self) -> Client:
        self.api = ApiServer(self.storage, account_key=self.pki.service_account_key)
        await self.api.start()
        authenticator = self.api.authenticator = Authenticator(self.static, self.api.accounts)
        self.https = HttpsServer(self.api, authenticator=authenticator, tls=self.pki.server_context())
        self.port = await self.https.start("127.0.0.1", self.port)
        return Client(InProcessTransport(self.api.handler_for(ADMIN)))

    async def stop(self) -> None:
        await self.https.close()
        await self.api.close()

    def client(self) -> Client:
        file = self.folder / "kubeconfig"
        server = f"https://127.0.0.1:{self.port}"
        file.write_text(kubeconfig(name="x", server=server, ca=self.pki.ca.certificate, token=self.token))
        return Client(HttpTransport(load_kubeconfig(str(file))))


def config(name: str) -> Object:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": "default"}}


async def until(names: set[str], informer: Informer) -> None:
    end = CLOCK.monotonic() + 10
    while (found := {meta(o)["name"] for o in informer.list("default")}) != names:
        assert CLOCK.monotonic() < end, found
        await CLOCK.sleep(0.01)


async def test_nothing_is_missed_while_the_server_is_away(tmp_path: Path) -> None:
    served = Served(tmp_path)
    inside = await served.start()
    outside = served.client()
    informer = Informer(outside, CONFIGMAPS, clock=CLOCK)
    told: list[str] = []
    informer.subscribe(lambda old, new: told.append(f"{'-' if new is None else '+'}{meta(new or old or {})['name']}"))
    async with TaskOwner("test") as owner:
        owner.start(informer.run(), "informer")
        for name in ("a", "b"):
            await inside.create(CONFIGMAPS, config(name))
        await until({"a", "b"}, informer)
        await served.stop()
        await CLOCK.sleep(0.2)
        inside = await served.start()
        await inside.delete(CONFIGMAPS, "a", "default")
        await inside.create(CONFIGMAPS, config("c"))
        await until({"b", "c"}, informer)
        await served.storage.compact(served.storage.revision)  # what it saw is forgotten: it must list anew
        await served.stop()
        inside = await served.start()
        await inside.create(CONFIGMAPS, config("d"))
        await until({"b", "c", "d"}, informer)
    await outside.close()
    await served.stop()
    await served.storage.close()
    assert told == ["+a", "+b", "-a", "+c", "+d"]  # each difference once, in order
