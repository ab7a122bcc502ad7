from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
import yaml

from lateen.model import schema

ROOT = Path(__file__).parents[3]
GOOD = [ROOT / "examples" / "shop" / "lateen.yaml", *sorted((ROOT / "tests" / "golden" / "render").glob("*.in.yaml"))]


def test_it_is_a_schema_of_its_dialect() -> None:
    assert schema()["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    jsonschema_rs.meta.validate(schema())


@pytest.mark.parametrize("path", GOOD, ids=lambda p: p.parent.name + "/" + p.name)
def test_an_editor_accepts_what_the_loader_accepts(path: Path) -> None:
    jsonschema_rs.validator_for(schema()).validate(yaml.safe_load(path.read_text()))


@pytest.mark.parametrize(
    "bad",
    [
        {"name": "shop"},
        {"name": "Shop", "services": {}},
        {"name": "shop", "services": {"a": {"imge": "b"}}},
        {"name": "shop", "services": {"a": {"image": "b", "ports": {"http": "x"}}}},
        {"name": "shop", "services": {"a": {"image": "b", "needs": {"c": {"order": "later"}}}}},
    ],
)
def test_an_editor_marks_what_the_loader_refuses(bad: Any) -> None:
    assert not jsonschema_rs.validator_for(schema()).is_valid(bad)


def test_every_field_says_what_it_means() -> None:
    def fields(found: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
        return [f for part in [found, *found.get("anyOf", ())] for f in part.get("properties", {}).items()]

    definitions = {"App": schema(), **schema()["$defs"]}
    silent = [
        f"{name}.{field}" for name, found in definitions.items() for field, value in fields(found) if not value.get("description")
    ]
    assert silent == []


def test_the_reference_is_up_to_date() -> None:
    result = subprocess.run(
        [sys.executable, "scripts/model_docs.py", "--check"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stdout
