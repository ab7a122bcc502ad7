"""``lateen status``: how the application is."""

from __future__ import annotations

from contextlib import aclosing
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lateen.cli.options import Context, Files, Format, Kubeconfig, Name, Output
from lateen.cli.output import coloured, emit, paint, say, table
from lateen.cli.running import run

if TYPE_CHECKING:
    from lateen.apply import Status

_MOODS = {"Healthy": "good", "Progressing": "busy", "Degraded": "bad", "Missing": "bad"}


def status(
    files: Files = None,
    env: Annotated[str, typer.Option("--env", help="The environment to look at.")] = "",
    name: Name = "default",
    context: Context = "",
    kubeconfig: Kubeconfig = "",
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Go on, and show every change.")] = False,
    everything: Annotated[bool, typer.Option("--all", "-a", help="Every object, not only workloads.")] = False,
    output: Output = Format.text,
) -> None:
    """Show the health of every service. Exit code 1 if something is not healthy."""
    from lateen.cli.project import load_application

    application = load_application(files, environment=env)
    how = {"name": name, "context": context, "kubeconfig": kubeconfig}
    ok = run(_show(application.name, application.namespace, how, watch=watch, everything=everything, output=output))
    if not ok:
        raise typer.Exit(1)


async def _show(app: str, namespace: str, how: dict[str, str], *, watch: bool, everything: bool, output: Format) -> bool:
    from lateen.apply import follow
    from lateen.cli.target import target

    ok = True
    async with target(**how) as client, aclosing(follow(client, app=app, namespace=namespace)) as states:
        async for state in states:
            ok = state.ok
            if watch and coloured():
                say("\x1b[2J\x1b[H")
            _print(state, everything=everything, output=output)
            if not watch:
                break
    return ok


def _print(state: Status, *, everything: bool, output: Format) -> None:
    rows = [_row(ref, health, state.objects.get(ref)) for ref, health in sorted(state.health.items())]
    if emit({"app": state.app, "namespace": state.namespace, "ok": state.ok, "objects": rows}, output):
        return
    shown = [r for r in rows if everything or r["ready"] or r["health"] != "Healthy"]
    table(
        ["KIND", "NAME", "READY", "HEALTH", "MESSAGE"],
        [
            [r["kind"], r["name"], r["ready"] or "-", paint(r["health"], _MOODS.get(r["health"], "dim")), r["message"]]
            for r in shown
        ],
    )


def _row(ref: Any, health: Any, obj: dict[str, Any] | None) -> dict[str, Any]:
    spec, found = ((obj or {}).get("spec") or {}), ((obj or {}).get("status") or {})
    ready = f"{found.get('readyReplicas', 0)}/{spec['replicas']}" if "replicas" in spec else ""
    return {
        "kind": ref.kind,
        "namespace": ref.namespace,
        "name": ref.name,
        "ready": ready,
        "health": health.state.value,
        "message": health.message,
    }
