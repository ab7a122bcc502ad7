"""``lateen diff``: what differs between two environments, or between the file and what runs: values of the file, and objects."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lateen.cli.options import Context, Files, Format, Kubeconfig, Name, Output
from lateen.cli.output import emit, note, paint, say
from lateen.cli.running import run
from lateen.errors import InputError

if TYPE_CHECKING:
    from lateen.apply import Plan
    from lateen.kube.meta import Object
    from lateen.model import Application

_MOODS = {"+": "good", "-": "bad", "~": "busy"}


def diff(
    files: Files = None,
    env: Annotated[
        list[str] | None, typer.Option("--env", help="Give two to compare them, or one to compare with the file alone or --live.")
    ] = None,
    live: Annotated[bool, typer.Option("--live", help="Compare with what runs, by a dry run on the server.")] = False,
    name: Name = "default",
    context: Context = "",
    kubeconfig: Kubeconfig = "",
    objects: Annotated[bool, typer.Option("--objects/--no-objects", help="Show rendered objects, too.")] = True,
    output: Output = Format.text,
) -> None:
    """Show what differs. Nothing is changed. Exit code 0 if nothing differs, 1 if something does."""
    names = env or []
    if (live and len(names) > 1) or (not live and not 1 <= len(names) <= 2):
        raise InputError("what should be compared?", hint="--env A --env B, --env A (with the file alone), or --live [--env A]")
    if live:
        found = _live(files, names[0] if names else "", {"name": name, "context": context, "kubeconfig": kubeconfig})
    else:
        found = _environments(files, ["", *names] if len(names) == 1 else names, with_objects=objects)
    if not emit(found, output):
        _print(found)
    if found["model"] or found["objects"]:
        raise typer.Exit(1)


def _environments(files: Any, names: Sequence[str], *, with_objects: bool) -> dict[str, Any]:
    from lateen.cli.project import load_application, renderer

    one, other = (load_application(files, environment=n) for n in names)
    rendered = _objects(renderer(one)(one), renderer(other)(other)) if with_objects else []
    return {"from": one.environment, "to": other.environment, "model": _model(one, other), "objects": rendered}


def _model(one: Application, other: Application) -> list[dict[str, Any]]:
    """Values that differ, with the lines that give them."""
    from lateen.kube.yamltext import Node
    from lateen.model import origins

    def values(app: Application) -> dict[str, Node]:
        kept = ("services", "resources", "gateways", "policies")
        return {".".join(map(str, p)): n for p, n in origins.leaves(app.tree) if p and p[0] in kept}

    before, after = values(one), values(other)
    found = []
    for path in sorted(before.keys() | after.keys()):
        old, new = before.get(path), after.get(path)
        if (old.data if old else None) != (new.data if new else None) or (old is None) != (new is None):
            change = {"path": path, "before": old.data if old else None, "after": new.data if new else None}
            found.append(change | {"where": origins.place(new or old)})  # type: ignore[arg-type] # one of them is there
    return found


def _objects(before: Sequence[Object], after: Sequence[Object]) -> list[dict[str, Any]]:
    """Rendered objects that differ, field by field. Namespaces differ between environments anyway: they are no difference."""
    from lateen.apply.diff import changes
    from lateen.render.hidden import withheld

    def known(objects: Sequence[Object]) -> dict[tuple[str, str], Object]:
        kept = withheld(objects)[0]
        return {(o["kind"], o["metadata"]["name"] if o["kind"] != "Namespace" else ""): o for o in kept}

    found: list[dict[str, Any]] = []
    olds, news = known(before), known(after)
    for ref in sorted(olds.keys() | news.keys()):
        old, new = olds.get(ref), news.get(ref)
        title = "/".join(p for p in ref if p)
        if old is None or new is None:
            found.append({"object": title, "verb": "create" if old is None else "delete", "changes": []})
        elif lines := [c for c in changes(old, new) if c.path not in ("metadata.namespace", "metadata.name")]:
            told = [{"path": c.path, "before": c.before, "after": c.after} for c in lines]
            found.append({"object": title, "verb": "update", "changes": told})
    return found


def _live(files: Any, environment: str, how: dict[str, str]) -> dict[str, Any]:
    from lateen.cli.project import check_sources, load_application, rendered
    from lateen.cli.up import capabilities

    application = load_application(files, environment=environment, tell=note)
    check_sources(application)
    having = run(capabilities(**how))
    planned = run(_plan(application, rendered(application, build=True, progress=note, having=having), how))
    actions = [
        {
            "object": str(a.ref),
            "verb": a.verb.value,
            "changes": [{"path": c.path, "before": c.before, "after": c.after} for c in a.changes],
        }
        for a in planned.actions.values()
        if a.verb.value != "unchanged"
    ]
    actions += [{"object": str(ref), "verb": "delete", "changes": []} for ref in planned.prune]
    return {"from": "live", "to": application.environment, "model": [], "objects": actions}


async def _plan(application: Application, objects: list[Object], how: dict[str, str]) -> Plan:
    from lateen.apply import plan
    from lateen.cli.passwords import passwords
    from lateen.cli.target import target
    from lateen.render.hidden import revealed

    async with target(**how) as client:
        wanted = revealed([*objects, *await passwords(client, application)])
        return await plan(client, wanted, app=application.name, namespace=application.namespace)


def _print(found: dict[str, Any]) -> None:
    if not found["model"] and not found["objects"]:
        say(f"nothing differs between {found['from']} and {found['to']}")
    for change in found["model"]:
        say(f"{_line(change)}  ({change['where']})")
    for action in found["objects"]:
        sign = {"create": "+", "delete": "-"}.get(action["verb"], "~")
        say(paint(f"{sign} {action['object']}", _MOODS[sign]))
        for change in action["changes"]:
            say(f"    {_line(change)}")


def _line(change: dict[str, Any]) -> str:
    before, after = change["before"], change["after"]
    if before is None:
        return paint(f"+ {change['path']}: {after}", "good")
    if after is None:
        return paint(f"- {change['path']}: {before}", "bad")
    return paint(f"~ {change['path']}: {before} -> {after}", "busy")
