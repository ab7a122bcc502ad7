"""``lateen logs``: what the pods of a service say."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lateen.cli.options import Context, Kubeconfig, Name
from lateen.cli.output import paint, say
from lateen.cli.running import run
from lateen.errors import InputError

if TYPE_CHECKING:
    from lateen.client import Client

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def logs(
    service: Annotated[str, typer.Argument(help="The service.")],
    files: Annotated[
        list[Path] | None, typer.Option("--file", help="The application file; repeatable.", show_default=False)
    ] = None,
    env: Annotated[str, typer.Option("--env", help="The environment.")] = "",
    name: Name = "default",
    context: Context = "",
    kubeconfig: Kubeconfig = "",
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on with what comes, new pods included.")] = False,
    since: Annotated[str, typer.Option("--since", help="Only what is younger: 30s, 5m, 2h.")] = "",
    tail: Annotated[int, typer.Option("--tail", help="Only the last lines of each pod; -1 for all.")] = -1,
    timestamps: Annotated[bool, typer.Option("--timestamps", help="Show when each line was written.")] = False,
) -> None:
    """Print the logs of every pod of SERVICE, each line with its pod."""
    from lateen.cli.project import load_application

    application = load_application(files, environment=env)
    if service not in application.services:
        import difflib

        near = difflib.get_close_matches(service, application.services, 1)
        known = ", ".join(application.services)
        raise InputError(f"there is no service {service!r}", hint=f"did you mean {near[0]}?" if near else f"services: {known}")
    query = {"timestamps": "true"} if timestamps else {}
    if since:
        query["sinceSeconds"] = str(_seconds(since))
    if tail >= 0:
        query["tailLines"] = str(tail)
    how = {"name": name, "context": context, "kubeconfig": kubeconfig}
    run(_print(service, application.name, application.namespace, how, query=query, follow=follow))


def _seconds(text: str) -> int:
    found = re.fullmatch(r"(\d+)([smhd]?)", text)
    if found is None:
        raise InputError(f"{text!r} is not a duration", hint="write 30s, 5m or 2h")
    return max(1, int(found[1]) * _UNITS[found[2] or "s"])


async def _print(service: str, app: str, namespace: str, how: dict[str, str], *, query: dict[str, str], follow: bool) -> None:
    from lateen.aio.tasks import TaskOwner
    from lateen.cli.target import target
    from lateen.kube.resources import PODS

    selector = f"app.kubernetes.io/name={service},app.kubernetes.io/instance={app}"
    async with target(**how) as client:
        found = await client.list(PODS, namespace, label_selector=selector)
        names = sorted(p["metadata"]["name"] for p in found.items)
        if not follow:
            for pod in names:
                await _pod(client, namespace, pod, query)
            return
        async with TaskOwner("logs") as owner:
            for pod in names:
                owner.start(_pod(client, namespace, pod, query | {"follow": "true"}), pod)
            async for event in client.watch(PODS, namespace, label_selector=selector, resource_version=found.resource_version):
                name = event.object["metadata"]["name"]
                started = any(
                    c.get("state", {}).get("running") for c in (event.object.get("status") or {}).get("containerStatuses") or ()
                )
                if name not in names and event.type == "MODIFIED" and started:
                    names.append(name)
                    owner.start(_pod(client, namespace, name, query | {"follow": "true"}), name)


async def _pod(client: Client, namespace: str, pod: str, query: dict[str, str]) -> None:
    from lateen.errors import BadRequestError
    from lateen.kube.resources import PODS

    label = paint(pod, "dim")
    try:
        answer = await client.raw("GET", PODS.path(namespace, pod, "log"), query=query)
    except BadRequestError as error:
        say(f"{label}  ({error.message})")
        return
    if answer.stream is None:
        for line in (answer.raw or b"").decode(errors="replace").splitlines():
            say(f"{label}  {line}")
        return
    rest = b""
    async for chunk in answer.stream:
        *lines, rest = (rest + chunk).split(b"\n")
        for raw in lines:
            say(f"{label}  {raw.decode(errors='replace')}")
