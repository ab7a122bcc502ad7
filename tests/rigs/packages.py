"""Packages in tests: graphs of application files, objects that packages render to, and what of two packages counts as the same."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml

from lateen.kube.meta import Object
from lateen.model import Application, Source, every
from lateen.render import render
from lateen.render.capabilities import DEFAULT, Capabilities
from lateen.render.hidden import withheld
from lateen.render.targets import Graph, Variant

KUBECTL = Path(sys.executable).with_name("kubectl")
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def graph_of(text: str, *, having: Capabilities = DEFAULT, files: Mapping[str, bytes] | None = None, **more: Any) -> Graph:
    """The graph of an application file, with every environment of it."""

    def variant(app: Application) -> Variant:
        objects, _ = withheld(render(app, files=files or {}, having=having, **more))
        return Variant(app=app, objects=tuple(objects))

    base, environments = every([Source("lateen.yaml", text)])
    return Graph(base=variant(base), environments={n: variant(app) for n, app in environments.items()}, having=having)


def put(folder: Path, files: Mapping[str, str]) -> Path:
    for path, text in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(text.encode())
    return folder


def kustomized(folder: Path) -> list[Object]:
    """What the real Kustomize makes of a folder."""
    done = subprocess.run([KUBECTL, "kustomize", str(folder)], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert "deprecated" not in done.stderr.lower(), done.stderr
    return documents(done.stdout)


def documents(text: str) -> list[Object]:
    return [o for o in yaml.load_all(text, Loader=_LOADER) if o]


def normal(objects: Iterable[Object]) -> dict[tuple[str, ...], Object]:
    """By kind and name, whatever the order, and whatever hash stands at the end of a name: each packager computes its own."""
    found = list(objects)
    hashed = re.compile(r"(.+)-(?:[0-9a-f]{10}|[2456789bcdfghkmt]{10})")
    names = {
        name: match[1]
        for o in found
        if o["kind"] in ("ConfigMap", "Job") and (match := hashed.fullmatch(name := o["metadata"]["name"]))
    }
    result: dict[tuple[str, ...], Object] = {}
    for one in found:
        one = _renamed(one, names)
        metadata = one["metadata"]
        key = (one["apiVersion"], one["kind"], metadata.get("namespace", ""), metadata["name"])
        assert key not in result, f"twice: {key}"
        result[key] = one
    return result


def _renamed(value: Any, names: Mapping[str, str]) -> Any:
    if isinstance(value, str):
        for name, stem in names.items():
            if name in value:
                value = value.replace(name, stem)
        return value
    if isinstance(value, dict):
        return {k: _renamed(v, names) for k, v in value.items()}
    return [_renamed(v, names) for v in value] if isinstance(value, list) else value


def differences(got: Iterable[Object], wanted: Iterable[Object]) -> list[str]:
    """What differs after normalisation, in words; empty when the two are the same."""
    a, b = normal(got), normal(wanted)
    lines = [f"missing {k}" for k in b.keys() - a.keys()] + [f"not wanted {k}" for k in a.keys() - b.keys()]
    for key in sorted(a.keys() & b.keys()):
        lines += [f"{key}: {line}" for line in _differ(a[key], b[key], "")]
    return lines


def _differ(got: Any, wanted: Any, path: str) -> list[str]:
    if isinstance(got, dict) and isinstance(wanted, dict):
        lines = []
        for key in sorted(got.keys() | wanted.keys()):
            if key not in got or key not in wanted:
                lines.append(f"{path}.{key} {'missing' if key not in got else f'not wanted: {got[key]!r}'}")
            else:
                lines += _differ(got[key], wanted[key], f"{path}.{key}")
        return lines
    if isinstance(got, list) and isinstance(wanted, list) and len(got) == len(wanted):
        return [line for i, (x, y) in enumerate(zip(got, wanted, strict=True)) for line in _differ(x, y, f"{path}[{i}]")]
    alike = type(got) is type(wanted) and got == wanted
    return [] if alike else [f"{path}: {got!r}, wanted {wanted!r}"]
