"""``include``: an application in several files, each with paths of its own."""

from __future__ import annotations

from pathlib import Path

import pytest

from lateen.cli.project import load_application, rendered
from lateen.cli.root import run

MAIN = "name: shop\ninclude: [teams/*/part.yaml]\nservices:\n  web: {image: 'r/web:1', ports: {http: 8080}, needs: {cart: }}\n"
CART = """\
name: shop
services:
  cart:
    build: src
    ports: {http: 8080}
    config: {/etc/cart.conf: {source: cart.conf}}
    secrets: {TOKEN: {from: "file:token"}}
  worker: {build: {inputs: ["*.py"]}}
"""


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "lateen.yaml").write_text(MAIN)
    team = tmp_path / "teams/cart"
    (team / "src").mkdir(parents=True)
    (team / "part.yaml").write_text(CART)
    (team / "cart.conf").write_text("a = 1")
    (team / "token").write_text("secret")
    return tmp_path


def test_parts_make_one_application_and_keep_their_paths(project: Path) -> None:
    app = load_application(None)
    assert list(app.services) == ["web", "cart", "worker"]
    cart, worker = app.services["cart"], app.services["worker"]
    assert cart.build is not None and worker.build is not None
    assert (cart.build.context, worker.build.context) == ("teams/cart/src", "teams/cart")
    assert app.where("services", "cart", "ports") == "teams/cart/part.yaml:5:5"
    maps = [o for o in rendered(app, build=False, progress=lambda _: None) if o["kind"] == "ConfigMap"]
    assert [m["data"] for m in maps] == [{"etc-cart-conf": "a = 1"}]


def test_a_service_given_twice_is_an_error_with_both_places(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (project / "teams/cart/part.yaml").write_text("services:\n  web: {image: 'r/other:1'}\n")
    assert run(["config"]) == 2
    said = capsys.readouterr().err
    assert "teams/cart/part.yaml:2:3: services.web is given twice" in said
    assert "first given at lateen.yaml:4:3" in said


def test_a_glob_that_finds_nothing_is_an_error(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (project / "lateen.yaml").write_text(MAIN.replace("part.yaml", "nothing.yaml"))
    assert run(["config"]) == 2
    assert "lateen.yaml:2:11: 'teams/*/nothing.yaml' includes no file" in capsys.readouterr().err


def test_parts_may_include_others_and_each_other(project: Path) -> None:
    (project / "teams/cart/part.yaml").write_text("include: [../more.yaml]\n" + CART)
    (project / "teams/more.yaml").write_text("include: ['cart/part.yaml', '../lateen.yaml']\nservices: {extra: {build: .}}\n")
    extra = load_application(None).services["extra"]
    assert extra.build is not None
    assert extra.build.context == "teams"
