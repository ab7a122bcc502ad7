"""How ``lateen check`` comes to its report: configuration, sources, world, run."""

from __future__ import annotations

import gc
import importlib
import importlib.util
import tomllib
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from lateen.check import Check, Config, Edit, Manifest, Read, Report, World, run
from lateen.check.config import from_table
from lateen.check.custom import from_rule
from lateen.check.fixing import fixable, fixed
from lateen.check.registry import CHECKS
from lateen.cli.sources import Gather
from lateen.errors import ApiError, InputError
from lateen.kube.resources import NAMESPACES, builtin


def configuration(file: Path | None, *, profile: str, select: Sequence[str], ignore: Sequence[str]) -> Config:
    """What ``file`` (default: pyproject.toml here or above) says, and over it the command line."""
    table, where = _table(file)
    if profile:
        table = {**table, "profile": profile}
    found = from_table(table, where)
    return replace(found, select=tuple(select) or found.select, ignore=(*found.ignore, *ignore))


def own_checks(config: Config) -> list[Check]:
    """Checks of one's own: rules of the configuration, and what its plugins (files or modules) enter."""
    before = set(CHECKS)
    for name in config.plugins:
        _import(name)
    return [from_rule(rule) for rule in config.rules] + [CHECKS[i] for i in CHECKS if i not in before]


def _import(name: str) -> None:
    path = Path(name)
    try:
        if path.suffix != ".py":
            importlib.import_module(name)
        elif (spec := importlib.util.spec_from_file_location(f"lateen_check_{path.stem}", path)) and spec.loader:
            spec.loader.exec_module(importlib.util.module_from_spec(spec))
    except (ImportError, OSError, SyntaxError, ValueError) as error:
        raise InputError(f"cannot import the checks {name}: {error}") from error


def examined(paths: Sequence[Path], checks: Sequence[Check], config: Config, *, environment: str = "", fix: bool = False) -> Report:
    """The report on what is at ``paths``; with ``fix``, after the safe changes were written into the files."""
    report = _examined(paths, checks, config, environment)
    if fix and (count := _write_fixes(report)):
        report = _examined(paths, checks, config, environment)
        report.notes.append(f"{count} {'change' if count == 1 else 'changes'} written")
    return report


def _examined(paths: Sequence[Path], checks: Sequence[Check], config: Config, environment: str) -> Report:
    notes: list[str] = []
    report = run(world_of(paths, config, environment=environment, notes=notes), checks, config)
    report.notes.extend(notes)
    return report


def world_of(paths: Sequence[Path], config: Config, *, environment: str = "", notes: list[str] | None = None) -> World:
    """What is at ``paths``; ``notes`` gets what could not be read. InputError when there is nothing."""
    gc.disable()  # what is read is kept to the end; collecting among thousands of objects costs a third
    gather = Gather(environment=environment)
    for path in paths:
        gather.take(path)
    if notes is not None:
        notes.extend(gather.notes)
    found = gather.found
    if not (found.objects or found.others or found.broken):
        raise InputError(f"nothing to check at {', '.join(map(str, paths))}", hint="name a folder or file with Kubernetes objects")
    return World(found, settings=config.settings, now=datetime.now(UTC))


def _write_fixes(report: Report) -> int:
    """Writes the safe changes into plain files; how many there were."""
    by_file: dict[Path, list[tuple[Manifest, list[Edit]]]] = {}
    for manifest, edits in fixable(report.findings).values():
        if (path := Path(manifest.source)).is_file():
            by_file.setdefault(path, []).append((manifest, edits))
    for path, changes in by_file.items():
        path.write_text(fixed(path.read_bytes().decode(), changes))
    return sum(len(edits) for changes in by_file.values() for _, edits in changes)


async def live(namespace: str, checks: Sequence[Check], config: Config, *, how: dict[str, str]) -> Report:
    """The report on a namespace of a running cluster. Kinds that may not be read are named in a note."""
    from lateen.cli.target import target

    found, refused = Read(), []
    async with target(**how) as client:
        for resource in (r for r in builtin() if r.namespaced and "list" in r.verbs and r.kind in _LIVE):
            try:
                objects = (await client.list(resource, namespace)).items
            except ApiError as error:
                refused.append(f"{resource.plural}: {error}")
                continue
            found.objects += [Manifest(o, source=f"namespace {namespace}") for o in objects]
        found.objects.append(Manifest(await client.get(NAMESPACES, namespace), source=f"namespace {namespace}"))
    report = run(World(found, settings=config.settings, now=datetime.now(UTC), live=True), checks, config)
    report.notes.extend(f"not looked at: {r}" for r in refused)
    return report


_LIVE = (
    "ConfigMap", "CronJob", "DaemonSet", "Deployment", "HorizontalPodAutoscaler", "Ingress", "Job", "LimitRange", "NetworkPolicy",
    "PersistentVolumeClaim", "Pod", "PodDisruptionBudget", "ReplicaSet", "ResourceQuota", "Role", "RoleBinding", "Secret",
    "Service", "ServiceAccount", "StatefulSet",
)  # fmt: skip


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
