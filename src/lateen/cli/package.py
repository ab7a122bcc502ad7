"""``lateen render --target``: gathers what a target needs, and keeps the folder it writes to.

The folder carries a list of what lateen wrote, with a digest of each file: by it, a file that somebody else wrote or changed is
known and never overwritten unasked, and a file that is no longer rendered is removed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from hashlib import sha256
from pathlib import Path, PurePosixPath

from lateen.errors import InputError
from lateen.model import Application
from lateen.render.capabilities import Capabilities
from lateen.render.hidden import withheld
from lateen.render.targets import TARGETS, Graph, Target, Variant

LIST = ".lateen-files"  # no .json or .yaml: kubectl would read it


def target(name: str) -> Target:
    """The target of this name. InputError."""
    from lateen.model.problems import nearest

    if name not in TARGETS:
        raise InputError(f"there is no target {name!r}", hint=nearest(name, TARGETS) or f"known: {', '.join(TARGETS)}")
    return TARGETS[name]


def graph(
    wanted: Target,
    files: Sequence[Path] | None,
    *,
    environment: str,
    build: bool,
    having: Capabilities,
    progress: Callable[[str], None],
) -> Graph:
    """What ``wanted`` is given. Without ``environment``, a target that holds them all gets every one of the file."""
    from lateen.cli.project import load_application, load_every, rendered

    told: set[str] = set()

    def once(text: str) -> None:
        if text not in told:
            progress(text)
        told.add(text)

    def variant(app: Application) -> Variant:
        objects, secrets = withheld(rendered(app, build=build, progress=once, having=having))
        for name in secrets:
            once(f"Secret {name} is not written: its values come from files of this machine, `lateen up` applies them")
        return Variant(app=app, objects=tuple(objects))

    if wanted.environments and not environment:
        base, others = load_every(files)
    else:
        base, others = load_application(files, environment=environment), {}
    return Graph(base=variant(base), environments={n: variant(app) for n, app in others.items()}, having=having)


def write(folder: Path, files: Mapping[str, str], *, force: bool) -> list[str]:
    """Make ``folder`` hold ``files``; what changed, in words. InputError, before anything is written, for what is not lateen's."""
    own = _listed(folder)
    if not force and (
        others := sorted(path for path in files.keys() | own if _foreign(folder / path, own.get(path), files.get(path)))
    ):
        raise InputError(
            f"{folder} has files that lateen did not write, or that were changed since: {', '.join(others[:5])}"
            + (f" and {len(others) - 5} more" if len(others) > 5 else ""),
            hint="name an empty folder, or overwrite them with --force",
        )
    done = [f"removed {path}" for path in sorted(own.keys() - files.keys()) if _remove(folder, path)]
    done += [f"wrote {path}" for path, text in files.items() if _put(folder / path, text)]
    _put(folder / LIST, "".join(f"{_digest(text.encode())}  {path}\n" for path, text in sorted(files.items())))
    return done


def _listed(folder: Path) -> dict[str, str]:
    """Digests of what lateen wrote here before. A path that leads out of the folder is nobody's."""
    try:
        lines = (folder / LIST).read_text().splitlines()
    except FileNotFoundError:
        return {}
    except NotADirectoryError as error:
        raise InputError(f"{folder} is a file", hint="-o names a folder with --target") from error
    pairs = [line.split("  ", 1) for line in lines if "  " in line]
    return {path: digest for digest, path in pairs if not PurePosixPath(path).is_absolute() and ".." not in path.split("/")}


def _foreign(file: Path, written: str | None, wanted: str | None) -> bool:
    """Whether to keep the hands off: it is there, not as lateen wrote it, and not what is wanted anyway."""
    if not file.exists():
        return False
    found = _digest(file.read_bytes()) if file.is_file() else ""
    return found not in (written, _digest(wanted.encode()) if wanted is not None else None)


def _remove(folder: Path, path: str) -> bool:
    """Remove a file, and the folders that are empty without it."""
    file = folder / path
    found = file.is_file()
    file.unlink(missing_ok=True)
    for parent in file.parents:
        if parent == folder or not parent.is_dir() or any(parent.iterdir()):
            break
        parent.rmdir()
    return found


def _put(file: Path, text: str) -> bool:
    if file.is_file() and file.read_bytes() == text.encode():
        return False
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(text.encode())
    return True


def _digest(content: bytes) -> str:
    return sha256(content).hexdigest()
