"""``lateen cluster``: the embedded cluster itself."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any

import typer

from lateen.cli.options import Format, Name, Output
from lateen.cli.output import emit, note, paint, say, table
from lateen.errors import InputError


class Network(StrEnum):
    """The network that pods are on."""

    netns = "netns"
    loopback = "loopback"


class Mode(StrEnum):
    """How pods run."""

    auto = "auto"
    process = "process"
    oci = "oci"


app = typer.Typer(help="Start, stop and look after the embedded cluster.", no_args_is_help=True, rich_markup_mode=None)


@app.command()
def start(
    name: Name = "default",
    nodes: Annotated[int | None, typer.Option(help="Real nodes on this machine.", min=1, max=16, show_default="1")] = None,
    fake_nodes: Annotated[
        int | None,
        typer.Option(
            "--fake-nodes",
            help="Hollow nodes for scale tests: label lateen.dev/runtime=fake, taint lateen.dev/fake:NoSchedule.",
            min=0,
            max=10000,
            show_default="0",
        ),
    ] = None,
    api_port: Annotated[
        int | None,
        typer.Option(
            "--api-port",
            help="Port of the API server. Default: the first free one from 16443, kept while it can be had.",
            min=1,
            max=65535,
        ),
    ] = None,
    gateway_port: Annotated[
        int | None,
        typer.Option(
            "--gateway-port",
            help="Port of the default gateway. Default: the first free one from 18080, kept while it can be had.",
            min=1,
            max=65535,
        ),
    ] = None,
    node_grace: Annotated[
        float | None,
        typer.Option("--node-grace", help="Seconds without a sign of life until a node is not ready.", min=1, show_default="40"),
    ] = None,
    network: Annotated[
        Network | None,
        typer.Option(
            "--network", help="netns: a network namespace per pod. loopback: 127.x addresses. Kept. Default: netns where allowed."
        ),
    ] = None,
    runtime: Annotated[
        Mode | None,
        typer.Option(help="How pods run: auto (as containers where image or pod need it), process or oci.", show_default="auto"),
    ] = None,
    eviction_hard: Annotated[
        str | None,
        typer.Option(
            "--eviction-hard",
            help="Below what nodes put pods out, as a kubelet's: memory.available<100Mi,nodefs.available<5%. '' for never.",
            show_default="memory.available<100Mi,nodefs.available<1%,nodefs.inodesFree<1%",
        ),
    ] = None,
    image_gc: Annotated[
        str | None,
        typer.Option(
            "--image-gc",
            help="HIGH,LOW: when so many percent of the disk are full, unused pulled images go, down to the other. 100: never.",
            show_default="85,80",
        ),
    ] = None,
    allowed_unsafe_sysctls: Annotated[
        str | None,
        typer.Option(
            "--allowed-unsafe-sysctls",
            help="Sysctls that pods may set besides the safe ones, as a kubelet's: kernel.msg*,net.core.somaxconn.",
            show_default="none",
        ),
    ] = None,
    node: Annotated[str, typer.Option("--node", help="Start only this node again, after `cluster stop --node`.")] = "",
    timeout: Annotated[float, typer.Option(help="Seconds to wait until it is ready.")] = 60.0,
    output: Output = Format.text,
) -> None:
    """Start the cluster, or find it running. Ready means that the API answers and a node can run pods."""
    from lateen.server import control, home

    if node:
        _mark_node(name, node, stopped=False, output=output)
        return
    options = control.StartOptions(
        nodes=nodes,
        fake_nodes=fake_nodes,
        api_port=api_port,
        gateway_port=gateway_port,
        node_grace=node_grace,
        network=network.value if network else None,
        runtime=runtime.value if runtime is not None else None,
        eviction_hard=eviction_hard,
        image_gc=image_gc,
        allowed_unsafe_sysctls=allowed_unsafe_sysctls,
        seconds=timeout,
    )
    cluster = home.cluster_home(name)
    settings = control.start(cluster, options, lambda phase: note(f"  {phase}") if output is Format.text else None)
    if emit(summary(settings) | {"dns_problem": settings.get("dns_problem", "")}, output):
        return
    say(f"cluster {paint(name, 'strong')} is {paint('ready', 'good')}")
    say(f"  API server  {settings['api_server']}")
    say(f"  gateway     {settings['gateway']}")
    say(f"  kubeconfig  {settings['kubeconfig']}")
    if problem := settings.get("dns_problem"):
        say(f"  {paint('no DNS', 'bad')}      pods can look up no names: {problem}")
    say(f"  try         kubectl --kubeconfig {settings['kubeconfig']} get nodes")


@app.command()
def stop(
    name: Name = "default",
    node: Annotated[str, typer.Option("--node", help="Stop only this node, at once, as if its machine lost power.")] = "",
    output: Output = Format.text,
) -> None:
    """Stop the daemon, its pods and proxies. State and volumes stay; `cluster start` brings everything back."""
    from lateen.server import control, home

    if node:
        _mark_node(name, node, stopped=True, output=output)
        return
    stopped = control.stop(home.cluster_home(name), progress=lambda phase: note(f"  {phase}") if output is Format.text else None)
    if not emit({"name": name, "stopped": stopped}, output):
        say(f"cluster {name} is stopped" if stopped else f"cluster {name} was not running")


@app.command()
def status(name: Name = "default", output: Output = Format.text) -> None:
    """Whether the cluster runs, and how much of it there is. Exit code 1 if it does not run."""
    from lateen.server import control, home

    cluster = home.cluster_home(name)
    pid = control.running_pid(cluster)
    facts: dict[str, Any] = {"name": name, "running": pid is not None}
    if pid is not None:
        from lateen.cli.facts import cluster_facts

        facts |= summary(cluster.settings()) | cluster_facts(cluster, pid)
    if not emit(facts, output):
        table(_COLUMNS, [_row(facts)])
    if pid is None:
        raise typer.Exit(1)


_COLUMNS = ("NAME", "RUNNING", "PODS", "NODES", "NETWORK", "RUNTIME", "RSS", "API SERVER", "GATEWAY")


def _row(facts: dict[str, Any]) -> list[Any]:
    if not facts["running"]:
        return [facts["name"], paint("no", "dim"), *["-"] * (len(_COLUMNS) - 2)]
    rss = f"{facts['rss_bytes'] / 2**20:.0f} MiB"
    return [
        facts["name"],
        paint("yes", "good"),
        facts["pods"],
        facts["nodes"],
        facts["network"],
        facts["runtime"],
        rss,
        facts["api_server"],
        facts["gateway"],
    ]


@app.command("list")
def list_clusters(output: Output = Format.text) -> None:
    """Every embedded cluster of this user."""
    from lateen.server import control, home

    rows = [{"name": n, "running": control.running_pid(home.cluster_home(n)) is not None} for n in home.cluster_names()]
    if not emit(rows, output):
        table(["NAME", "RUNNING"], [[r["name"], paint("yes", "good") if r["running"] else paint("no", "dim")] for r in rows])


@app.command()
def kubeconfig(
    name: Name = "default", path: Annotated[bool, typer.Option("--path", help="Print the file's path, not its text.")] = False
) -> None:
    """Print the kubeconfig, for kubectl and every other client."""
    from lateen.server import home

    file = home.cluster_home(name).kubeconfig
    if not file.exists():
        raise InputError(f"cluster {name} has no kubeconfig yet", hint=f"run `lateen cluster start --name {name}`")
    say(str(file) if path else file.read_text().rstrip())


@app.command()
def reset(name: Name = "default", yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False) -> None:
    """Stop the cluster and forget everything it stored, volumes included."""
    from lateen.server import control, home

    cluster = home.cluster_home(name)
    if cluster.root.exists() and not yes:
        typer.confirm(f"Forget cluster {name} with all its objects and volumes in {cluster.root}?", abort=True)
    control.reset(cluster, progress=lambda phase: note(f"  {phase}"))
    say(f"cluster {name} is gone")


def _mark_node(name: str, node: str, *, stopped: bool, output: Format) -> None:
    """Stop or start one node: an annotation on its Node object says which, and the daemon follows it."""
    import asyncio

    from lateen.cli.target import embedded
    from lateen.cluster.machine import STOPPED
    from lateen.errors import NotFoundError
    from lateen.kube.resources import NODES

    async def mark() -> None:
        client = embedded(name)
        try:
            await client.patch(NODES, node, {"metadata": {"annotations": {STOPPED: "true" if stopped else None}}})
        except NotFoundError as error:
            known = ", ".join(n["metadata"]["name"] for n in (await client.list(NODES)).items)
            raise InputError(f"there is no node {node!r}", hint=f"nodes: {known}") from error
        finally:
            await client.close()

    asyncio.run(mark())
    if not emit({"name": name, "node": node, "stopped": stopped}, output):
        say(f"node {node} is being {'stopped' if stopped else 'started'}")


def summary(settings: dict[str, Any]) -> dict[str, Any]:
    """What scripts need of a cluster."""
    keys = ("name", "kubeconfig", "api_server", "gateway", "network", "network_reason", "internet")
    return {key: settings.get(key, "") for key in keys}
