"""Packages in tests: graphs of application files, objects that packages render to, and what of two packages counts as the same."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml

from lateen.kube.meta import Object
from lateen.model import Application, Source, every
from lateen.render import render
from lateen.render.capabilities import DEFAULT, Capabilities
from lateen.render.hidden import withheld
from lateen.render.targets import Graph, Variant
from lateen.render.workload import DEPENDS_ON

KUBECTL = Path(sys.executable).with_name("kubectl")
ROOT = Path(__file__).parents[2]
STORIES = ROOT / "tests" / "golden" / "render"
FILES = {"app.conf": b"a = 1\nb = 2\n", "logo.png": b"\x89PNG\xff", "secrets/key": b"hunter2\n"}
EXAMPLES = [*sorted(STORIES.glob("*.in.yaml")), *sorted((ROOT / "examples").glob("*/lateen.yaml"))]
ENVIRONMENTS = """
name: shop
defaults: {replicas: 2, ports: {http: 8080}}
services:
  web:
    image: registry.example.com/shop/web:1.0
    needs: {cart: , db: {order: ready}}
    env: {LEVEL: info, MODE: "yes", NAME: "x${env.name}"}
    routes: [{path: /}]
    config: {/etc/web.conf: {content: "level = info\\n"}, /etc/static.conf: {content: same}}
    availability: {priority: "100"}
    hooks: {migrate: {command: [migrate, up]}}
  cart:
    image: registry.example.com/shop/cart:1.0
    resources: {cpu: 100m..500m, memory: 128Mi}
    identity: {rbac: [{resources: [configmaps], verbs: [get]}]}
  legacy: {image: "legacy:1"}
resources:
  db: {type: postgres}
environments:
  dev:
    defaults: {replicas: 1}
    services: {legacy: }
  prod:
    namespace: live
    domain: example.com
    services:
      web:
        image: registry.example.com/shop/web:1.1
        resources: {cpu: 100m}
        scale: {min: 3, max: 9, cpu: 70%}
        env: {LEVEL: warn, EXTRA: "0777"}
        routes: [{host: shop.example.com, path: /}]
        config: {/etc/web.conf: {content: "level = warn\\n"}}
      cart: {replicas: 5, resources: {cpu: 200m..1, memory: 256Mi..512Mi}}
      search: {image: "search@sha256:%s", config: {/etc/s: {content: s}}}
""".replace("%s", "ab" * 32)
FOREIGN = [
    {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "x", "namespace": "elsewhere"}, "data": {"a": "on"}},
    {"apiVersion": "example.com/v1", "kind": "Cluster", "metadata": {"name": "x"}, "spec": {"n": 1}},
]


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """What Go writes: there `=` is a text as any other."""


_Loader.add_constructor("tag:yaml.org,2002:value", yaml.constructor.SafeConstructor.construct_yaml_str)


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
    return [o for o in yaml.load_all(text, Loader=_Loader) if o]


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


def differences(got: Iterable[Object], wanted: Iterable[Object], stripped: Callable[[Any], Any] = lambda o: o) -> list[str]:
    """What differs after normalisation, in words; empty when the two are the same."""
    a, b = normal(map(stripped, got)), normal(map(stripped, wanted))
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


def values_of(chart: Path, environment: str) -> dict[str, Any]:
    """The values file of an environment; none for the file alone."""
    found: dict[str, Any] = yaml.safe_load((chart / f"values-{environment}.yaml").read_text()) if environment else {}
    return found


def helmed(folder: Path, app: Application, environment: str, values: Mapping[str, Any] | None = None) -> list[Object]:
    """What the real Helm makes of a chart in an environment; its hooks, which are tests, are left out."""
    import helm_python

    with helm_python.Chart.load(folder) as chart:
        given = {**values_of(folder, environment), "namespace": {"create": True}, **(values or {})}
        texts = chart.render(given, name=app.name, namespace=app.namespace)
    found = [o for path, text in sorted(texts.items()) if not path.endswith("NOTES.txt") for o in documents(text)]
    return [o for o in found if "helm.sh/hook" not in (o["metadata"].get("annotations") or {})]


def released(found: Any) -> Any:
    """An object without what every release of a chart adds, the order that Helm does not read, and empty fields."""
    if isinstance(found, list):
        return [released(v) for v in found]
    if not isinstance(found, dict):
        return found
    found = {k: released(v) for k, v in found.items() if v is not None and k not in ("helm.sh/chart", DEPENDS_ON)}
    if found.get("app.kubernetes.io/managed-by") == "Helm":
        found["app.kubernetes.io/managed-by"] = "lateen"
    return {k: v for k, v in found.items() if not (k == "annotations" and v == {})}
