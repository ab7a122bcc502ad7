"""What goes into an image built from source: the files, their identity, and reproducible layers made of them.

Used by ``images.build``. Identity is content: two builds of the same files are the same digest, on any day.
"""

from __future__ import annotations

import fnmatch
import gzip
import hashlib
import io
import py_compile
import sys
import tarfile
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import pathspec

from lateen.errors import InputError

NEVER = (".git", "__pycache__", ".venv", "node_modules", ".mypy_cache", ".ruff_cache", ".pytest_cache", ".DS_Store")


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One file of a layer: its path in the image, its bytes (or link target), and whether it is executable."""

    path: str
    data: bytes = b""
    executable: bool = False
    link: str = ""


def collect(context: Path, inputs: Sequence[str] = ()) -> list[Entry]:
    """The files of ``context`` in path order, without what .dockerignore and NEVER name; only ``inputs`` (globs) if given."""
    if not context.is_dir():
        raise InputError(f"build context {context} is not a folder", hint="set build to the folder that holds the source")
    ignored = _ignored(context)
    entries = [
        _entry(file, name)
        for file in sorted(context.rglob("*"))
        if (file.is_file() or file.is_symlink())
        and not _never(name := file.relative_to(context).as_posix())
        and not ignored.match_file(name)
        and (not inputs or any(_matches(name, pattern) for pattern in inputs))
    ]
    if not entries:
        what = f"no file matches {', '.join(inputs)} in {context}" if inputs else f"{context} holds no files"
        raise InputError(what, hint="build.inputs are globs below the context, for example src/**")
    return entries


def _never(name: str) -> bool:
    return any(part in NEVER for part in PurePosixPath(name).parts) or name.endswith(".pyc")


def _matches(name: str, pattern: str) -> bool:
    if pattern.endswith("/**"):
        return name.startswith(pattern[:-2])
    return fnmatch.fnmatchcase(name, pattern)


def _ignored(context: Path) -> pathspec.PathSpec[pathspec.Pattern]:
    file = context / ".dockerignore"
    lines = file.read_text().splitlines() if file.exists() else []
    return pathspec.PathSpec.from_lines("gitignore", lines)


def _entry(file: Path, name: str) -> Entry:
    if file.is_symlink():
        return Entry(path=name, link=str(file.readlink()))
    return Entry(path=name, data=file.read_bytes(), executable=bool(file.stat().st_mode & 0o100))


def identity(entries: Iterable[Entry], *more: str) -> str:
    """A hex SHA-256 over names, modes and contents (and ``more`` strings)."""
    total = hashlib.sha256("\0".join(more).encode())
    for e in entries:
        total.update(f"\n{e.path}\0{int(e.executable)}\0{e.link}\0".encode())
        total.update(hashlib.sha256(e.data).digest())
    return total.hexdigest()


def compiled(entries: Iterable[Entry], root: str) -> list[Entry]:
    """Bytecode for every .py, checked against nothing at run time because the layer never changes (PEP 552)."""
    result = []
    with tempfile.TemporaryDirectory() as scratch:
        for e in entries:
            if e.path.endswith(".py") and e.data:
                source, target = Path(scratch, "m.py"), Path(scratch, "m.pyc")
                source.write_bytes(e.data)
                mode = py_compile.PycInvalidationMode.UNCHECKED_HASH
                try:
                    py_compile.compile(str(source), str(target), dfile=f"{root}/{e.path}", doraise=True, invalidation_mode=mode)
                except (py_compile.PyCompileError, ValueError):
                    continue  # not for this Python: it is shipped as it is, and fails where it is imported, if ever
                result.append(Entry(path=_pyc(e.path), data=target.read_bytes()))
    return result


def _pyc(path: str) -> str:
    p = PurePosixPath(path)
    return str(p.parent / "__pycache__" / f"{p.stem}.{sys.implementation.cache_tag}.pyc")


def layer(entries: Iterable[Entry], root: str) -> tuple[bytes, str]:
    """A gzip'd tar of ``entries`` under ``root`` with fixed owners and times, and the diff ID (digest of the plain tar)."""
    plain = io.BytesIO()
    with tarfile.open(fileobj=plain, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for folder in _folders([f"{root.strip('/')}/{e.path}" for e in entries]):
            info = tarfile.TarInfo(folder)
            info.type, info.mode = tarfile.DIRTYPE, 0o755
            tar.addfile(info)
        for e in sorted(entries, key=lambda e: e.path):
            info = tarfile.TarInfo(f"{root.strip('/')}/{e.path}")
            info.mode = 0o755 if e.executable else 0o644
            if e.link:
                info.type, info.linkname = tarfile.SYMTYPE, e.link
                tar.addfile(info)
            else:
                info.size = len(e.data)
                tar.addfile(info, io.BytesIO(e.data))
    data = plain.getvalue()
    return gzip.compress(data, compresslevel=6, mtime=0), "sha256:" + hashlib.sha256(data).hexdigest()


def _folders(paths: Iterable[str]) -> list[str]:
    found = {str(parent) for path in paths for parent in PurePosixPath(path).parents if str(parent) != "."}
    return sorted(found)
