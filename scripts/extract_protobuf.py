"""Extract the protobuf wire form of Kubernetes' types into src/lateen/kube/data/protobuf.json.gz. Run by hand for a new version.

    python scripts/extract_protobuf.py FIELDS.json SOURCES

FIELDS.json maps message -> field -> [number, type], as ``generated.proto`` has them. SOURCES is a folder that holds
``k8s.io/api``, ``k8s.io/apimachinery`` and ``k8s.io/apiextensions-apiserver``: the tags in their ``types.go`` tell a field's JSON
name, whether it is inlined, and whether it is a pointer (only then is a zero that was sent different from none).

The result maps message -> list of [number, JSON name ("" for inlined), type, 1 for a pointer or 0].
"""

from __future__ import annotations

import gzip
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

TARGET = Path(__file__).resolve().parent.parent / "src" / "lateen" / "kube" / "data" / "protobuf.json.gz"
STRUCT = re.compile(r"^type (\w+) struct \{\n(.*?)^\}", re.MULTILINE | re.DOTALL)
FIELD = re.compile(r'^\s+(?:\w+\s+)?(\S+)\s+`.*?json:"([^"]*)".*?protobuf:"\w+,(\d+),', re.MULTILINE)


class Tag(NamedTuple):
    """What Go says about a field."""

    name: str
    pointer: bool


def tags(sources: Path) -> Iterator[tuple[str, int, Tag]]:
    """(message, number, tag) of every field with both tags."""
    for file in sorted(sources.rglob("*.go")):
        package = ".".join(file.parent.relative_to(sources).parts).replace("-", "_")
        for name, body in STRUCT.findall(file.read_text()):
            for go_type, json_tag, number in FIELD.findall(body):
                yield f"{package}.{name}", int(number), Tag(json_tag.partition(",")[0], go_type.startswith("*"))


def extract(fields: dict[str, dict[str, list[Any]]], sources: Path) -> dict[str, list[list[Any]]]:
    """The result's content."""
    known = {(message, number): tag for message, number, tag in tags(sources)}
    result: dict[str, list[list[Any]]] = {}
    for message, content in sorted(fields.items()):
        rows = []
        for name, (number, kind) in content.items():
            tag = known.get((message, number), Tag(name, False))
            rows.append([number, tag.name, kind, int(tag.pointer)])
        result[message] = sorted(rows)
    return result


def main() -> None:
    """Write the file."""
    found = extract(json.loads(Path(sys.argv[1]).read_text()), Path(sys.argv[2]))
    TARGET.write_bytes(gzip.compress(json.dumps(found, separators=(",", ":")).encode(), 9, mtime=0))
    print(f"{TARGET.name}: {len(found)} messages, {TARGET.stat().st_size} bytes")


if __name__ == "__main__":
    main()
