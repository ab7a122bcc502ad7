"""Write docs/model.md, the reference of the application file, from its JSON Schema. ``--check`` only says whether it is up to date.

Run after every change of ``src/lateen/model``; a test fails when it was forgotten.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from lateen.model import schema

TARGET = Path(__file__).parents[1] / "docs" / "model.md"
HEAD = """# The application file

*Written by `scripts/model_docs.py` from the schema that `lateen schema` prints. Do not edit.*

`lateen.yaml` declares an application: its services, how each is built, configured, reached and kept healthy, and what it needs.
Unknown fields are errors. For completion in an editor, write `lateen schema > lateen.schema.json` and start the file with

```yaml
# yaml-language-server: $schema=lateen.schema.json
```

**Layers.** `lateen up -f lateen.yaml -f other.yaml` lays one file over another; `--env NAME` lays an environment over both;
`defaults` lies under every service. Maps merge, scalars and lists replace, routes merge by host and path, an empty value deletes
what is below.

**References.** In `env`, `command` and `args`: `${services.NAME.url}` or `${services.NAME.PORT.url}` (also `host`, `port`; of a
service under `needs`), `${secrets.NAME.KEY}`, `${env.name}`, `${env.domain}`, `${app.name}`. The last three also in
`template` files and in the `host` of a route. `$${` is a literal `${`.

**Needs.** For a needed service `cart` the variable `CART_URL` holds its address (`order-store` gives `ORDER_STORE_URL`).
"""


def main() -> int:
    """0 when docs/model.md is what the schema says (after writing it, without --check)."""
    text = document(schema())
    if "--check" in sys.argv:
        fresh = TARGET.exists() and TARGET.read_text() == text
        print("docs/model.md is up to date" if fresh else "docs/model.md is out of date: run scripts/model_docs.py")
        return 0 if fresh else 1
    TARGET.write_text(text)
    return 0


def document(root: dict[str, Any]) -> str:
    """The whole page."""
    definitions = root["$defs"]
    names = ["Service", *(n for n in sorted(definitions) if n != "Service")]
    parts = [HEAD, section("App", root), *(section(n, definitions[n]) for n in names)]
    return "\n".join(parts)


def section(name: str, found: dict[str, Any]) -> str:
    """One class: what it is, its short form, its fields."""
    full, short = found, None
    if "anyOf" in found:
        short, full = found["anyOf"]
    lines = [f"## {name}", "", found.get("description", ""), ""]
    if short is not None and short != {"type": "null"}:
        lines += [f"Short form: {kind(short)}.", ""]
    lines += ["| field | type | default | meaning |", "| --- | --- | --- | --- |"]
    required = full.get("required", ())
    lines += [row(field, value, field in required) for field, value in full["properties"].items()]
    return "\n".join([*lines, ""])


def row(field: str, value: dict[str, Any], required: bool) -> str:
    """One field."""
    default = "**required**" if required else shown(value.get("default"))
    cells = (f"`{field}`", kind(value), default, value.get("description", ""))
    return "| " + " | ".join(c.replace("|", "\\|") for c in cells) + " |"


def shown(default: Any) -> str:
    """A default, empty when it says nothing."""
    if default is None or default == {} or default == [] or isinstance(default, dict):
        return ""
    return f"`{default if isinstance(default, str) else json.dumps(default)}`"


def kind(value: dict[str, Any]) -> str:
    """The type of a value, as people say it."""
    if "$ref" in value:
        name = value["$ref"].rpartition("/")[2]
        return f"[{name}](#{name.lower()})"
    if "anyOf" in value:
        return " or ".join(k for v in value["anyOf"] if v != {"type": "null"} and (k := kind(v)))
    if "const" in value:
        return f"`{value['const']}`"
    if "enum" in value:
        return ", ".join(f"`{v}`" for v in value["enum"])
    return compound(value)


def compound(value: dict[str, Any]) -> str:
    """Lists, maps, and plain types."""
    if value.get("type") == "array":
        return f"list of {kind(value['items'])}"
    if value.get("type") == "object":
        inner = value.get("additionalProperties") or next(iter(value.get("patternProperties", {}).values()), {})
        return "map" if inner is True else f"map of {kind(inner)}"
    if value.get("type") == ["string", "number", "boolean"]:
        return "text"  # numbers and booleans are taken as they are written
    words = {"string": "text", "integer": "number", "number": "number", "boolean": "true or false"}
    types = value.get("type", [])
    names = ", ".join(words[t] for t in ([types] if isinstance(types, str) else types))
    examples = ", ".join(f"`{e}`" for e in value.get("examples", ()))
    return f"{names}: {examples}" if examples else names


if __name__ == "__main__":
    raise SystemExit(main())
