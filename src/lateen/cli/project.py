"""The user's project as commands see it: its application file(s), and the images built from its source."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from lateen.cli import formats
from lateen.errors import InputError
from lateen.images.build import BuildRequest, Built, build
from lateen.images.layout import ImageStore
from lateen.images.reference import parse
from lateen.kube.meta import Object
from lateen.model import Application, Source, every, load


def load_application(
    files: Sequence[Path] | None, *, environment: str = "", tell: Callable[[str], None] = lambda _: None
) -> Application:
    """The application in ``files`` (default: lateen.yaml or compose.yaml here or in a parent). InputErrors carry file:line:column.

    ``tell`` hears what of a Compose file is not carried.
    """
    return load(formats.sources(files or _found(), tell), environment=environment)


def load_every(files: Sequence[Path] | None) -> tuple[Application, dict[str, Application]]:
    """What packages start from, and every environment of the file."""
    return every(formats.sources(files or _found()))


def read_source(path: Path) -> Source:
    """The text of a file that the user named. InputError when it cannot be read or is no text."""
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}", hint="name the file with -f") from error
    try:
        return Source(str(path), raw.decode())
    except UnicodeDecodeError as error:
        before = raw[: error.start].decode()
        line, column = before.count("\n") + 1, len(before) - (before.rfind("\n") + 1) + 1
        raise InputError("this is not UTF-8 text", where=f"{path}:{line}:{column}", hint="save the file as UTF-8") from error


def _found() -> list[Path]:
    here = Path.cwd()
    for folder in (here, *here.parents):
        for name in (*formats.OWN, *formats.COMPOSE, "score.yaml"):
            if (folder / name).is_file():
                return formats.beside((folder / name).relative_to(here) if folder == here else folder / name)
    raise InputError(
        "there is no lateen.yaml or compose.yaml in this folder or above it",
        hint="write one (see docs/quickstart.md), or name it with -f FILE",
    )


def folder_of(application: Application) -> Path:
    """The folder that the file's relative paths start from."""
    return Path(str(application.tree.mark.source.name)).absolute().parent


def check_sources(application: Application) -> None:
    """InputError when source or a file that the application names is not there: before anything is started or built."""
    from lateen.render import files_needed

    for name, service in application.services.items():
        if service.build is not None:
            _request(application, name)
    for path, where in files_needed(application).items():
        _content(folder_of(application) / path, where)


def build_images(application: Application, store: Path, progress: Callable[[str], None], *, base: str = "") -> Mapping[str, Built]:
    """Build every service that has source, several at a time; on ``base``, those that name none. InputError, FailedError."""
    images = ImageStore(store)
    sources = [name for name, service in application.services.items() if service.build is not None]
    requests = {name: _request(application, name, base) for name in sources}
    if bases := [r.base for r in requests.values() if r.base]:
        from lateen.cli.registries import fetch_missing

        fetch_missing(images, bases, progress)

    def one(name: str) -> Built:
        built = build(images, requests[name])
        progress(f"{'unchanged' if built.cached else 'built    '} {name} {built.image.digest[7:19]}")
        return built

    if not requests:
        return {}
    names = list(requests)
    # The first one alone: services that share requirements then find their dependency layer in the cache.
    first = one(names[0])
    with ThreadPoolExecutor(max_workers=4, thread_name_prefix="build") as pool:
        rest = list(pool.map(one, names[1:]))
    return dict(zip(names, [first, *rest], strict=True))


def rendered(
    application: Application, *, build: bool, progress: Callable[[str], None], having: frozenset[str] | None = None
) -> list[Object]:
    """The application's objects; with ``build``, images are built first and named by digest.

    ``having`` says which optional kinds the target has (``render.capabilities``); what is left out for want of one goes to
    ``progress``. Secrets are in the result as values that cannot be written: see ``render.hidden``.
    """
    from lateen.render import files_needed, render
    from lateen.render.capabilities import DEFAULT, omitted
    from lateen.server import home

    having = DEFAULT if having is None else having
    for text in omitted(application, having):
        progress(text)

    images = {n: b.reference for n, b in build_images(application, home.home() / "images", progress).items()} if build else {}
    folder = folder_of(application)
    files = {path: _content(folder / path, where) for path, where in files_needed(application).items()}
    return render(application, images=images, files=files, having=having, manifests=_manifests(application, folder))


def renderer(application: Application) -> Callable[[Application], list[Object]]:
    """Renders this application, and others that name no further files: what it names is read once. Images are named, not built."""
    from lateen.render import files_needed, render

    folder = folder_of(application)
    files = {path: _content(folder / path, where) for path, where in files_needed(application).items()}
    manifests = _manifests(application, folder)
    return lambda other: render(other, files=files, manifests=manifests)


def _manifests(application: Application, folder: Path) -> list[Object]:
    """The user's own manifests, files and folders, as the application file names them."""
    from lateen.kube.yamltext import documents, plain

    found: list[Object] = []
    for i, name in enumerate(application.spec.manifests):
        path, where = folder / name, application.where("manifests", i)
        files = sorted(p for p in path.rglob("*") if p.suffix in (".yaml", ".yml", ".json")) if path.is_dir() else [path]
        if not files:
            raise InputError(f"{name} has no manifests", where=where)
        for file in files:
            read = documents(Source(str(file), _content(file, where).decode()))
            found += [_checked(plain(document), str(document.mark)) for document in read]
    return found


def _checked(manifest: Object, where: str) -> Object:
    if not isinstance(manifest, dict) or not (manifest.get("kind") and (manifest.get("metadata") or {}).get("name")):
        raise InputError("this is not a Kubernetes object: it needs apiVersion, kind and metadata.name", where=where)
    return manifest


def _content(file: Path, where: str) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise InputError(f"cannot read {file}: {error.strerror}", where=where) from error


def _request(application: Application, name: str, base: str = "") -> BuildRequest:
    service = application.services[name]
    assert service.build is not None
    context = (folder_of(application) / service.build.context).resolve()
    if not context.is_dir():
        raise InputError(
            f"build context {service.build.context!r} is not a folder",
            where=application.where("services", name, "build"),
            hint="build names the folder with the source, relative to the application file",
        )
    wanted, dockerfile = parse(application.image(name)), service.build.dockerfile or ""
    return BuildRequest(
        name=wanted.repository,
        context=context,
        inputs=service.build.inputs,
        labels={"org.opencontainers.image.title": name},
        tags=[wanted.tag] if wanted.tag else [],
        base=service.build.base or ("" if dockerfile else base),
        dockerfile=dockerfile,
    )
