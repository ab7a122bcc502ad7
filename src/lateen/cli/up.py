"""``lateen up``: from the application file to running services."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from lateen.cli.options import Context, Files, Format, Kubeconfig, Name, Output, Timeout
from lateen.cli.output import emit, note, paint, say
from lateen.cli.running import run
from lateen.errors import InputError

if TYPE_CHECKING:
    from lateen.apply import Report
    from lateen.client import Client
    from lateen.model import Application

_PAST = {"create": "created", "update": "updated", "delete": "deleted", "unchanged": "unchanged"}
ForceConflicts = Annotated[bool, typer.Option("--force-conflicts", help="Take fields that another manager owns.")]


def up(
    files: Files = None,
    env: Annotated[str, typer.Option("--env", help="The environment to deploy.")] = "",
    name: Name = "default",
    context: Context = "",
    kubeconfig: Kubeconfig = "",
    wait: Annotated[bool, typer.Option("--wait/--no-wait", help="Wait until everything is healthy.")] = True,
    timeout: Timeout = 300.0,
    force_conflicts: ForceConflicts = False,
    output: Output = Format.text,
) -> None:
    """Start or reuse the cluster, build, deploy, wait, and print URLs. Run again, it changes only what differs."""
    from lateen.cli.project import check_sources, load_application, rendered

    quiet = output is not Format.text
    application = load_application(files, environment=env, tell=lambda text: None if quiet else note(text))
    check_sources(application)
    embedded = not (context or kubeconfig)
    if embedded:
        _start(name, quiet)
    elif (built := _only_here(application)) and not _is_lateen(context, kubeconfig):
        raise InputError(
            f"services {', '.join(built)} are built from source, and this cluster cannot see images of this machine",
            hint="set `registry` in the file and run `lateen build --push`, or deploy to the embedded cluster (without --context)",
        )
    having = run(capabilities(name, context, kubeconfig))
    objects = rendered(application, build=True, progress=lambda text: None if quiet else note(f"  {text}"), having=having)
    result = run(
        deploy(
            application,
            objects,
            name=name,
            context=context,
            kubeconfig=kubeconfig,
            wait=wait,
            seconds=timeout,
            force=force_conflicts,
            quiet=quiet,
        )
    )
    _print(result, output)


def _start(name: str, quiet: bool) -> None:
    from lateen.server import control, home

    cluster = home.cluster_home(name)
    if control.running_pid(cluster) is None and not quiet:
        note(f"  starting cluster {name}")
    control.start(cluster, control.StartOptions())


def _only_here(application: Application) -> list[str]:
    """Services that are built and whose images belong to no registry."""
    from lateen.images.reference import parse

    return [n for n, s in application.services.items() if s.build and not parse(application.image(n)).hosted]


def _is_lateen(context: str, kubeconfig: str) -> bool:
    """Whether the cluster is an embedded one, which runs images of the local store."""
    from lateen.cli.target import client_for

    async def ask() -> bool:
        client = client_for(kubeconfig=kubeconfig, context=context)
        try:
            answer = await client.raw("GET", "/version")
            return (answer.object or {}).get("compiler") == "python"
        finally:
            await client.close()

    return run(ask())


async def capabilities(name: str, context: str, kubeconfig: str) -> frozenset[str]:
    """Which optional kinds the cluster has."""
    from lateen.cli.target import target
    from lateen.render.capabilities import of_groups

    async with target(name=name, context=context, kubeconfig=kubeconfig) as client:
        answer = await client.raw("GET", "/apis")
        return of_groups(group["name"] for group in (answer.object or {}).get("groups", ()))


async def deploy(
    application: Application,
    objects: list[dict[str, Any]],
    *,
    name: str,
    context: str,
    kubeconfig: str,
    wait: bool,
    seconds: float,
    force: bool,
    quiet: bool,
) -> dict[str, Any]:
    """Apply ``objects`` and describe the result. FailedError when something is not healthy."""
    from lateen.apply import Options, apply
    from lateen.cli.addresses import public
    from lateen.cli.passwords import passwords
    from lateen.cli.progress import listener
    from lateen.cli.target import target
    from lateen.render.hidden import revealed

    async with target(name=name, context=context, kubeconfig=kubeconfig) as client:
        objects = [*objects, *await passwords(client, application)]
        with listener(quiet=quiet) as listen:
            report = await apply(
                client,
                revealed(objects),
                app=application.name,
                namespace=application.namespace,
                on_progress=listen,
                options=Options(wait=wait, timeout=seconds, force=force),
            )
        report.raise_for_failure()
        embedded = not (context or kubeconfig)
        described = _described(application, report, await gateway_url(client, application, name if embedded else ""))
        return described | {"public": await public(client, application, embedded=embedded)}


async def gateway_url(client: Client, application: Application, name: str) -> str:
    """Where the application is reached from outside; empty if it has no routes or no gateway is programmed."""
    from lateen.errors import NotFoundError
    from lateen.kube.resources import GATEWAYS
    from lateen.server import home

    if not any(s.routes for s in application.services.values()):
        return ""
    if name:
        return str(home.cluster_home(name).settings().get("gateway", ""))
    try:
        gateway = await client.get(GATEWAYS, "default", application.namespace)
    except NotFoundError:
        return ""
    found = (gateway.get("status") or {}).get("addresses") or []
    return f"http://{found[0]['value']}" if found else ""


def _described(application: Application, report: Report, gateway: str) -> dict[str, Any]:
    from lateen.apply import Verb

    routes = {n: [gateway.rstrip("/") + r.path for r in s.routes] for n, s in application.services.items() if s.routes}
    return {
        "app": application.name,
        "namespace": application.namespace,
        "seconds": round(report.seconds, 3),
        "changes": {_PAST[v.value]: report.count(v) for v in Verb},
        "urls": [gateway + "/"] + [u for found in routes.values() for u in found if u != gateway + "/"] if gateway else [],
        "routes": routes if gateway else {},
    }


def _print(result: dict[str, Any], output: Format) -> None:
    if emit(result, output):
        return
    changes = ", ".join(f"{n} {verb}" for verb, n in result["changes"].items() if n)
    say(f"{paint(result['app'], 'strong')} is {paint('up', 'good')} after {result['seconds']:.1f} s ({changes})")
    for service, urls in result["routes"].items():
        say(f"  {service:<18}{'  '.join(urls)}")
    for service, places in result["public"].items():
        say(f"  {service:<18}{'  '.join(places)}")
