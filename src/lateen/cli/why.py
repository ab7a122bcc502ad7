"""``lateen why``: which line of which file decides a field of a rendered object."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lateen.cli.options import Files, Format, Output
from lateen.cli.output import emit, note, paint, say
from lateen.errors import InputError

if TYPE_CHECKING:
    from lateen.kube.meta import Object
    from lateen.model.origins import Path
    from lateen.render.why import Answer

_SHOWN = 5


def why(
    what: Annotated[str, typer.Argument(help="A service, or an object as KIND/NAME.", metavar="SERVICE|KIND/NAME")],
    path: Annotated[str, typer.Argument(help="A field, such as spec.replicas or spec.template.spec.containers[0].image.")],
    files: Files = None,
    env: Annotated[str, typer.Option("--env", help="The environment to look at.")] = "",
    every: Annotated[bool, typer.Option("--all", help="Show every value that decides it, not only the nearest ones.")] = False,
    output: Output = Format.text,
) -> None:
    """Say why a field of a rendered object is what it is: the lines of the application's files that decide it, or the default."""
    from lateen.cli.project import load_application, renderer
    from lateen.render import why as reasons

    application = load_application(files, environment=env, tell=note)
    render, steps = renderer(application), reasons.parse(path)
    objects = render(application)
    refs = _having([o for o in objects if _named(o, what)], steps, what, path)
    answers = [reasons.why(application, render, ref, steps) for ref in refs]
    if emit([_described(a) for a in answers], output):
        return
    for answer in answers:
        _print(answer, len(answer.causes) if every else _SHOWN)


def _named(found: Object, what: str) -> bool:
    kind, slash, name = what.partition("/")
    if slash:
        return bool(found["kind"].lower() == kind.lower() and found["metadata"]["name"] == name)
    labels = found["metadata"].get("labels") or {}
    return bool(labels.get("app.kubernetes.io/name") == what or found["metadata"]["name"] == what)


def _having(objects: list[Object], steps: Path, what: str, path: str) -> list[tuple[str, str]]:
    """The objects with such a field. InputError if there is none."""
    from lateen.render.why import look

    if not objects:
        raise InputError(f"nothing that is rendered is called {what!r}", hint="name a service, or KIND/NAME")
    found = []
    for one in objects:
        try:
            look(one, steps)
        except KeyError:
            continue
        found.append((one["kind"], one["metadata"]["name"]))
    if not found:
        kinds = ", ".join(f"{o['kind']}/{o['metadata']['name']}" for o in objects)
        raise InputError(f"no object of {what} has the field {path}", hint=f"looked at {kinds}")
    return found


def _described(answer: Answer) -> dict[str, Any]:
    causes = [{"path": c.path, "where": c.where, "value": c.value} for c in answer.causes]
    default = {"default": answer.default} if answer.default else {}
    return {"object": answer.object, "field": answer.field, "value": answer.value, "causes": causes, **default}


def _print(answer: Answer, most: int) -> None:
    value = json.dumps(answer.value) if isinstance(answer.value, dict | list) else answer.value
    say(f"{paint(answer.object, 'strong')} {answer.field}: {value}")
    for cause in answer.causes[:most]:
        say(f"  {cause.where}  {cause.path}{'' if cause.value is None else f': {cause.value}'}")
    if len(answer.causes) > most:
        say(f"  and {len(answer.causes) - most} more; --all shows them")
    if answer.default:
        say(f"  {answer.default}")
