"""Which cluster a command speaks to: a context of a kubeconfig, or an embedded cluster by its own kubeconfig. One code path."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from lateen.client import Client
from lateen.client.http import HttpTransport
from lateen.client.kubeconfig import load_kubeconfig
from lateen.errors import InputError
from lateen.server import control, home


def client_for(*, kubeconfig: str = "", context: str = "") -> Client:
    """A client for a kubeconfig (default: $KUBECONFIG, ~/.kube/config) and context (default: the current one)."""
    return Client(HttpTransport(load_kubeconfig(kubeconfig or None, context=context or None)))


@asynccontextmanager
async def target(*, name: str, context: str, kubeconfig: str) -> AsyncIterator[Client]:
    """The client for a command's --name, --context and --kubeconfig; closed at the end."""
    client = client_for(kubeconfig=kubeconfig, context=context) if context or kubeconfig else embedded(name)
    try:
        yield client
    finally:
        await client.close()


def embedded(name: str) -> Client:
    """A client for the running embedded cluster ``name``. InputError if it does not run."""
    cluster = home.cluster_home(name)
    if control.running_pid(cluster) is None:
        raise InputError(
            f"cluster {name} is not running",
            hint=f"run `lateen up` or `lateen cluster start --name {name}`, or choose another cluster with --context",
        )
    return client_for(kubeconfig=str(cluster.kubeconfig))
