"""``lateen adopt``: an application file from Compose or Score files, manifests, charts, kustomizations, a live namespace."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lateen.cli.options import Context, Format, Kubeconfig, Name, Output
from lateen.cli.output import emit, note, say
from lateen.cli.running import run
from lateen.errors import InputError

if TYPE_CHECKING:
    from lateen.adopt import Loss
    from lateen.adopt.manifests.app import Adopted
    from lateen.kube.yamltext import Source


def adopt(
    paths: Annotated[
        list[str] | None,
        typer.Argument(
            help="Compose or Score files, manifests (files, folders, - for stdin), a Helm chart, a Kustomize folder.",
            show_default=False,
        ),
    ] = None,
    live: Annotated[bool, typer.Option("--live", help="Take a namespace of a running cluster.")] = False,
    namespace: Annotated[str, typer.Option("--namespace", "-n", help="The namespace of --live; of a chart's release.")] = "",
    app: Annotated[str, typer.Option("--app", help="The application's name, where the source does not say one.")] = "",
    to: Annotated[str, typer.Option("--to", metavar="FOLDER", help="Write lateen.yaml and what belongs to it there.")] = "",
    force: Annotated[bool, typer.Option("--force", help="With --to: overwrite files that are there.")] = False,
    values: Annotated[
        list[Path] | None, typer.Option("--values", help="Values of a chart; repeat to lay one over another.")
    ] = None,
    profiles: Annotated[list[str] | None, typer.Option("--profile", help="An active profile of a Compose file.")] = None,
    name: Name = "default",
    context: Context = "",
    kubeconfig: Kubeconfig = "",
    output: Output = Format.text,
) -> None:
    """Write an application file for what is there already. What it cannot carry is listed with its place."""
    if live == bool(paths):
        raise InputError("name either sources or --live -n NAMESPACE", hint="lateen adopt FOLDER, or lateen adopt --live -n shop")
    if live:
        adopted = run(_live(namespace, how={"name": name, "context": context, "kubeconfig": kubeconfig}))
    else:
        adopted = _sources(paths or [], app=app, namespace=namespace, values=values or [], profiles=profiles or [], to=to)
    written = _write(Path(to), adopted, force=force) if to else []
    _print(adopted, written, output)


async def _live(namespace: str, *, how: dict[str, str]) -> Adopted:
    from lateen.adopt import live
    from lateen.adopt.manifests.app import adopt as adopted
    from lateen.cli.target import target

    if not namespace:
        raise InputError("which namespace?", hint="name it with -n")
    async with target(**how) as client:
        found, losses = await live.objects(client, namespace)
    result = adopted(found, name=_usable(namespace), secrets=False)
    result.losses[:0] = losses
    return result


def _sources(paths: list[str], *, app: str, namespace: str, values: list[Path], profiles: list[str], to: str) -> Adopted:
    from lateen.adopt.manifests.app import Adopted
    from lateen.cli import formats
    from lateen.kube.yamltext import plain
    from lateen.model import load

    files = [Path(p) for p in paths]
    if len(files) == 1 and files[0].is_dir() and (beside := formats.inside(files[0])):
        files = beside
    if imported := formats.imported(files, profiles=profiles):
        model = plain(imported.tree) | ({"name": app} if app else {})
        load([imported.tree])  # its faults point into the source
        if to:
            _rebase(model, files[0].absolute().parent, Path(to).absolute())
        return Adopted(model, dict(imported.files), list(imported.losses))
    return _manifests(paths, app=app, namespace=namespace, values=values)


def _rebase(model: dict[str, Any], source: Path, target: Path) -> None:
    """Relative paths start from the application file: move them along with it."""
    import os

    def moved(path: str) -> str:
        return path if Path(path).is_absolute() else os.path.relpath(source / path, target)

    if source == target:
        return
    for service in model["services"].values():
        build = service.get("build")
        if isinstance(build, str):
            service["build"] = moved(build)
        elif build:
            build["context"] = moved(build.get("context", "."))
        for file in (service.get("config") or {}).values():
            if "source" in file:
                file["source"] = moved(file["source"])
        for secret in (service.get("secrets") or {}).values():
            if secret["from"].startswith("file:"):
                secret["from"] = f"file:{moved(secret['from'][5:])}"


def _manifests(paths: list[str], *, app: str, namespace: str, values: list[Path]) -> Adopted:
    from lateen.adopt.manifests.app import adopt as adopted
    from lateen.adopt.manifests.reading import read

    title = app or _usable("app" if paths[0] == "-" else Path(paths[0]).absolute().name.partition(".")[0])
    texts = [t for p in paths for t in _texts(p, title, namespace or title, values)]
    found, losses = read(texts)
    result = adopted(found, name=title)
    result.losses[:0] = losses
    return result


def _texts(path: str, title: str, namespace: str, values: list[Path]) -> list[Source]:
    from lateen.adopt import packages
    from lateen.cli.project import read_source
    from lateen.kube.yamltext import Source

    place = Path(path)
    if path == "-":
        return [Source("<stdin>", sys.stdin.read())]
    if packages.is_chart(place):
        return [Source(f"{path} (helm template)", packages.helm(place, name=title, namespace=namespace, values=values))]
    if packages.is_kustomization(place):
        return [Source(f"{path} (kubectl kustomize)", packages.kustomize(place))]
    found = sorted(p for p in place.rglob("*") if p.suffix in (".yaml", ".yml", ".json")) if place.is_dir() else [place]
    if not found:
        raise InputError(f"{path} holds no manifests", hint="*.yaml, *.yml and *.json are read")
    return [read_source(p) for p in found]


def _usable(name: str) -> str:
    from lateen.model.types import slug

    fixed = slug(name)[:50].rstrip("-")
    reserved = fixed in ("default", "kube-system", "kube-public", "kube-node-lease") or not fixed[:1].isalpha()
    return f"app-{fixed}" if reserved else fixed


def _write(folder: Path, adopted: Adopted, *, force: bool) -> list[str]:
    texts = {"lateen.yaml": text_of(adopted.model), **adopted.files}
    if there := [n for n in texts if (folder / n).exists() and not force]:
        raise InputError(f"{folder / there[0]} is there already", hint="--force overwrites it")
    for name, text in texts.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return [str(folder / n) for n in texts]


def text_of(model: dict[str, Any]) -> str:
    """The application file."""
    from lateen.kube.yamltext import dump

    return dump([{"apiVersion": "lateen.dev/v1", **model}])


def _print(adopted: Adopted, written: list[str], output: Format) -> None:
    described = {
        "model": adopted.model,
        "files": adopted.files,
        "written": written,
        "lost": [x.described() for x in adopted.losses],
    }
    if emit(described, output):
        return
    if written:
        for file in written:
            say(f"wrote {file}")
    else:
        say(text_of(adopted.model).rstrip())
        for file in adopted.files:
            note(f"{file} belongs beside it: name a folder with --to")
    _lost(adopted.losses)


def _lost(losses: list[Loss]) -> None:
    if losses:
        note(f"{len(losses)} not carried into the model:")
    for loss in losses:
        note(f"  {loss}")
