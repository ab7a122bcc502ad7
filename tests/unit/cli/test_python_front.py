"""An application as Python objects: the same as the file, with errors that point to the module's lines."""

from __future__ import annotations

from pathlib import Path

import pytest

from lateen.cli.project import load_application
from lateen.cli.root import run
from lateen.model import App, Source, load
from lateen.model.origins import leaves, place

MODULE = """\
from lateen.model import App, Service

common = {"health": {"ready": "GET /ready"}}
cart = Service(image="r/cart:1", ports={"http": 8080}, working_dir="/srv", resources={"cpu": "100m..1"}, **common)
app = App(
    name="shop",
    services={
        "web": Service(
            image="r/web:1",
            ports={"http": 8080},
            needs={"cart": {"timeout": "2s"}},
        ),
        "cart": cart,
    },
)
"""
FILE = """\
name: shop
services:
  web: {image: "r/web:1", ports: {http: 8080}, needs: {cart: {timeout: 2s}}}
  cart: {image: "r/cart:1", ports: {http: 8080}, workingDir: /srv, resources: {cpu: 100m..1}, health: {ready: GET /ready}}
"""


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "app.py").write_text(MODULE)
    return Path("app.py")


def test_the_same_application(module: Path) -> None:
    assert load_application([module]).spec == load([Source("lateen.yaml", FILE)]).spec


def test_values_have_the_lines_that_gave_them(module: Path) -> None:
    found = {".".join(map(str, p)): place(n) for p, n in leaves(load_application([module]).tree)}
    assert found["services.web.image"] == "app.py:9"
    assert found["services.web.needs.cart.timeout"] == "app.py:11"
    assert found["services.cart.image"] == "app.py:4"


def test_errors_point_to_the_line(module: Path, capsys: pytest.CaptureFixture[str]) -> None:
    module.write_text(MODULE.replace('"cart": {"timeout"', '"card": {"timeout"'))
    assert run(["config", "-f", str(module)]) == 2
    assert "app.py:11" in capsys.readouterr().err
    module.write_text(MODULE.replace('ports={"http": 8080},\n', 'ports={"http": "x"},\n'))
    assert run(["config", "-f", str(module)]) == 2
    assert "app.py:8" in capsys.readouterr().err
    module.write_text("x = 1\n")
    assert run(["config", "-f", str(module)]) == 2
    assert "has no application" in capsys.readouterr().err


def test_a_function_may_make_it(module: Path) -> None:
    module.write_text(MODULE.replace("app = App(", "def app() -> App:\n  return App("))
    assert isinstance(load_application([module]).spec, App)


def test_a_file_keeps_to_the_names_of_the_schema() -> None:
    with pytest.raises(ExceptionGroup) as found:
        load([Source("lateen.yaml", FILE.replace("workingDir", "working_dir"))])
    assert "workingDir" in str(found.value.exceptions[0])


@pytest.mark.parametrize("story", sorted((Path(__file__).parents[2] / "golden/render").glob("*.in.yaml")), ids=lambda p: p.name)
def test_every_application_survives_being_written_and_read_again(story: Path) -> None:
    app = load([Source(story.name, story.read_text())], environment="test" if "routes" in story.name else "")
    data = app.spec.model_dump(mode="json", by_alias=True, exclude_unset=True)
    assert App.model_validate(data, by_alias=True, by_name=False) == app.spec
