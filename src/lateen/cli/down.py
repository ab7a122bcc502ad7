"""``lateen down``: remove the application."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from lateen.cli.options import Context, Files, Format, Kubeconfig, Name, Output, Timeout
from lateen.cli.output import emit, say
from lateen.cli.running import run


def down(
    files: Files = None,
    env: Annotated[str, typer.Option("--env", help="The environment to remove.")] = "",
    name: Name = "default",
    context: Context = "",
    kubeconfig: Kubeconfig = "",
    purge: Annotated[bool, typer.Option("--purge", help="Remove its volumes and namespace too. Data is lost.")] = False,
    timeout: Timeout = 120.0,
    output: Output = Format.text,
) -> None:
    """Remove the application's objects. Volumes stay unless --purge; the cluster goes on (see `lateen cluster stop`)."""
    from lateen.cli.project import load_application

    application = load_application(files, environment=env)
    how = {"name": name, "context": context, "kubeconfig": kubeconfig}
    quiet = output is not Format.text
    result = run(_down(application.name, application.namespace, how, purge=purge, seconds=timeout, quiet=quiet))
    if not emit(result, output):
        say(f"{application.name} is down: {result['deleted']} objects removed in {result['seconds']:.1f} s")
        if result["kept"]:
            say(f"  kept: {', '.join(result['kept'])} (remove with --purge)")


async def _down(app: str, namespace: str, how: dict[str, str], *, purge: bool, seconds: float, quiet: bool) -> dict[str, Any]:
    from lateen.apply import Verb, delete
    from lateen.cli.progress import listener
    from lateen.cli.target import target

    async with target(**how) as client:
        with listener(quiet=quiet) as listen:
            report = await delete(client, app=app, namespace=namespace, everything=purge, on_progress=listen, timeout=seconds)
        report.raise_for_failure()
        deleted = sum(report.count(v) for v in Verb if v is not Verb.unchanged)
        return {"app": app, "deleted": deleted, "kept": [str(r) for r in report.kept], "seconds": round(report.seconds, 3)}
