"""The build hook: makes the schema extract before the package is built or installed in place."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class SchemaHook(BuildHookInterface):  # type: ignore[misc,type-arg]
    """Runs scripts/extract_schemas.py."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Called by hatchling before files are collected."""
        spec = importlib.util.spec_from_file_location("extract_schemas", Path(self.root) / "scripts" / "extract_schemas.py")
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        module.main()
