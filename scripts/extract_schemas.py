"""Extract what lateen needs of Kubernetes' interface from two packages into src/lateen/kube/data.

``definitions.json.gz``: every type of Kubernetes 1.37, from kubernetes-validate (whose types were made nullable: undone here), as
OpenAPI v3 components. ``resources.json``: plurals, scope, verbs and subresources, from lightkube-models (read, never imported).
Run by the package build (scripts/hatch_build.py) and by hand: python scripts/extract_schemas.py.
"""

from __future__ import annotations

import ast
import gzip
import importlib.metadata
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

VERSION = "v1.37.0-local"
TARGET = Path(__file__).resolve().parent.parent / "src" / "lateen" / "kube" / "data"
VERBS = {"post": "create", "put": "update", "global_list": "list", "global_watch": "watch"}
SHORT = {
    "componentstatuses": "cs", "configmaps": "cm", "endpoints": "ep", "events": "ev", "limitranges": "limits", "namespaces": "ns",
    "nodes": "no", "persistentvolumeclaims": "pvc", "persistentvolumes": "pv", "pods": "po", "replicationcontrollers": "rc",
    "resourcequotas": "quota", "serviceaccounts": "sa", "services": "svc", "customresourcedefinitions": "crd crds",
    "daemonsets": "ds",
    "deployments": "deploy", "replicasets": "rs", "statefulsets": "sts", "horizontalpodautoscalers": "hpa", "cronjobs": "cj",
    "certificatesigningrequests": "csr", "ingresses": "ing", "networkpolicies": "netpol", "poddisruptionbudgets": "pdb",
    "priorityclasses": "pc", "storageclasses": "sc", "volumeattributesclasses": "vac", "ipaddresses": "ip",
}  # fmt: skip
IN_ALL = [
    *("pods", "replicationcontrollers", "services", "daemonsets", "deployments", "replicasets", "statefulsets"),
    *("horizontalpodautoscalers", "cronjobs", "jobs"),
]
EXTENSIONS = ["clusterroles", "customresourcedefinitions"]


def definitions(folder: Path) -> dict[str, Any]:
    """Type name -> OpenAPI v3 schema."""
    raw = json.loads((folder / "kubernetes-json-schema" / VERSION / "_definitions.json").read_text())
    return {name: restored(name, schema) for name, schema in raw["$defs"].items()}


def restored(name: str, schema: dict[str, Any]) -> dict[str, Any]:
    """One type as Kubernetes publishes it."""
    result: dict[str, Any] = _plain(schema)
    if name.endswith("intstr.IntOrString"):
        return {"format": "int-or-string", "oneOf": [{"type": "integer"}, {"type": "string"}], "x-kubernetes-int-or-string": True}
    if name.endswith("resource.Quantity"):
        return {"oneOf": [{"type": "string"}, {"type": "number"}], "description": schema.get("description", "")}
    return result


def _plain(node: Any) -> Any:
    if isinstance(node, list):
        return [_plain(n) for n in node]
    if not isinstance(node, dict):
        return node
    result = {k: _plain(v) for k, v in node.items()}
    if isinstance(result.get("type"), list):
        result["type"] = next(t for t in result["type"] if t != "null")
    if isinstance(result.get("enum"), list):
        result["enum"] = [e for e in result["enum"] if e is not None]
    reference = result.pop("$ref", None)
    if isinstance(reference, str):
        target = "#/components/schemas/" + reference.rpartition("/")[2]
        return {"allOf": [{"$ref": target}], **result} if result else {"$ref": target}
    return result


def resources(folder: Path) -> list[dict[str, Any]]:
    """Every resource, subresources folded in."""
    found: dict[tuple[str, str, str], dict[str, Any]] = {}
    subresources: dict[tuple[str, str, str], set[str]] = {}
    for module in sorted((folder / "resources").glob("*.py")):
        for base, info in infos(ast.parse(module.read_text())):
            if info.get("action"):
                group, version, _ = info.get("parent") or info["resource"]
                subresources.setdefault((group, version, info["plural"]), set()).add(info["action"])
                continue
            group, version, kind = info["resource"]
            found[group, version, info["plural"]] = {
                "group": group,
                "version": version,
                "kind": kind,
                "plural": info["plural"],
                "namespaced": base.startswith("Namespaced"),
                "verbs": sorted({VERBS.get(v, v) for v in info["verbs"]}),
                "short": SHORT.get(info["plural"], "").split(),
                "categories": ["all"] if info["plural"] in IN_ALL else [],
            }
    for key, resource in found.items():
        resource["subresources"] = sorted(subresources.get(key, ()))
    return list(found.values())


def infos(tree: ast.Module) -> Iterator[tuple[str, dict[str, Any]]]:
    """(base class, its ApiInfo) of each resource class."""
    for node in tree.body:
        if not isinstance(node, ast.ClassDef):
            continue
        for statement in node.body:
            if isinstance(statement, ast.Assign) and isinstance(statement.value, ast.Call):
                base = node.bases[0]
                yield (
                    base.attr if isinstance(base, ast.Attribute) else "",
                    {k.arg: _value(k.value) for k in statement.value.keywords if k.arg},
                )


def _value(node: ast.expr) -> Any:
    return [ast.literal_eval(a) for a in node.args] if isinstance(node, ast.Call) else ast.literal_eval(node)


def package(name: str, inside: str) -> Path:
    """The folder of an installed distribution's package, without importing it."""
    distribution = importlib.metadata.distribution(name)
    return Path(str(distribution.locate_file(inside)))


def main() -> None:
    """Write both files."""
    TARGET.mkdir(parents=True, exist_ok=True)
    types = definitions(package("kubernetes-validate", "kubernetes_validate"))
    text = json.dumps(types, separators=(",", ":"), sort_keys=True).encode()
    (TARGET / "definitions.json.gz").write_bytes(gzip.compress(text, compresslevel=9, mtime=0))
    served = resources(package("lightkube-models", "lightkube"))
    (TARGET / "resources.json").write_text(json.dumps(served, separators=(",", ":")))
    print(f"{len(types)} types, {len(served)} resources -> {TARGET}", file=sys.stderr)


if __name__ == "__main__":
    main()
