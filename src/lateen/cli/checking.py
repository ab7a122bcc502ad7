"""How ``lateen check`` comes to its report: configuration, sources, world, run."""

from __future__ import annotations

import gc
import tomllib
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from lateen.check import Check, Config, Report, World, run
from lateen.check.config import from_table
from lateen.cli.sources import Gather
from lateen.errors import InputError


def configuration(file: Path | None, *, profile: str, select: Sequence[str], ignore: Sequence[str]) -> Config:
    """What ``file`` (default: pyproject.toml here or above) says, and over it the command line."""
    table, where = _table(file)
    if profile:
        table = {**table, "profile": profile}
    found = from_table(table, where)
    return replace(found, select=tuple(select) or found.select, ignore=(*found.ignore, *ignore))


def examined(paths: Sequence[Path], checks: Sequence[Check], config: Config, *, environment: str = "") -> Report:
    """The report on what is at ``paths``."""
    gc.disable()  # everything read is kept until the end: collecting among ten thousand objects finds nothing and costs a third
    gather = Gather(environment=environment)
    for path in paths:
        gather.take(path)
    found = gather.found
    if not (found.objects or found.others or found.broken):
        raise InputError(f"nothing to check at {', '.join(map(str, paths))}", hint="name a folder or file with Kubernetes objects")
    world = World(found, settings=config.settings, now=datetime.now(UTC))
    return run(world, checks, config)


def _table(file: Path | None) -> tuple[dict[str, Any], str]:
    here = Path.cwd()
    candidates = [file] if file else [f / "pyproject.toml" for f in (here, *here.parents)]
    for path in candidates:
        if file is None and not path.is_file():
            continue
        try:
            found = tomllib.loads(path.read_text())
        except OSError as error:
            raise InputError(f"cannot read {path}: {error.strerror}") from error
        except tomllib.TOMLDecodeError as error:
            if file is None:
                continue  # somebody else's broken file above this folder
            raise InputError(f"not TOML: {error}", where=str(path)) from error
        table = found.get("tool", {}).get("lateen", {}).get("check")
        if table is not None:
            return table, str(path)
    return {}, ""
