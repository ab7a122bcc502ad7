"""``lateen render --target``: what it writes, what it never overwrites, what it removes."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from lateen.cli.root import run

FILE = """
name: shop
services:
  web: {image: web:1, ports: {http: 8080}, needs: {db: }}
  cart: {image: cart:1}
resources:
  db: {type: postgres}
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LATEEN_HOME", str(tmp_path / "home"))
    Path("lateen.yaml").write_text(FILE)
    return tmp_path


def package(*more: str) -> int:
    return run(["render", "--no-build", "--target", "plain", "-o", "out", *more])


def names() -> list[str]:
    return sorted(p.name for p in Path("out").iterdir() if not p.name.startswith("."))


def test_a_package_holds_what_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert package() == 0
    capsys.readouterr()
    assert names() == ["00-application.yaml", "10-resource-db.yaml", "20-service-cart.yaml", "20-service-web.yaml"]
    assert run(["render", "--no-build"]) == 0
    printed = list(yaml.safe_load_all(capsys.readouterr().out))
    written = [o for p in sorted(Path("out").glob("*.yaml")) for o in yaml.safe_load_all(p.read_text())]
    assert len(written) == len(printed)
    assert all(o in written for o in printed)
    assert written[0]["kind"] == "Namespace"


def test_what_is_no_longer_rendered_goes_and_nothing_is_written_twice(capsys: pytest.CaptureFixture[str]) -> None:
    assert package() == 0
    capsys.readouterr()
    Path("lateen.yaml").write_text(FILE.replace("  cart: {image: cart:1}\n", ""))
    assert package() == 0
    assert capsys.readouterr().out == "removed 20-service-cart.yaml\n"
    assert "20-service-cart.yaml" not in names()
    assert package() == 0
    assert capsys.readouterr().out == "out is up to date\n"


@pytest.mark.parametrize("when", ["before", "after", "stale"])
def test_a_file_of_somebody_else_stays(when: str, capsys: pytest.CaptureFixture[str]) -> None:
    mine = Path("out/20-service-cart.yaml")
    if when == "before":
        mine.parent.mkdir()
    else:
        assert package() == 0
    mine.write_text("mine")
    if when == "stale":
        Path("lateen.yaml").write_text(FILE.replace("  cart: {image: cart:1}\n", ""))
    before = names()
    capsys.readouterr()
    assert package() == 2
    assert "20-service-cart.yaml" in capsys.readouterr().err
    assert (mine.read_text(), names()) == ("mine", before)
    assert package("--force") == 0
    assert mine.exists() == (when != "stale")


def test_a_file_beside_the_package_is_left_alone() -> None:
    assert package() == 0
    Path("out/README.md").write_text("mine")
    assert package() == 0
    assert Path("out/README.md").read_text() == "mine"


def test_a_list_that_leads_out_of_the_folder_removes_nothing() -> None:
    assert package() == 0
    with Path("out/.lateen-files").open("a") as file:
        file.write("0" * 64 + "  ../lateen.yaml\n")
    assert package("--force") == 0
    assert Path("lateen.yaml").exists()


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["--target", "plane", "-o", "out"], "did you mean 'plain'?"),
        (["--target", "plain"], "name a folder with -o"),
        (["--target", "plain", "-o", "lateen.yaml"], "is a file"),
        (["-o", "out"], "'out' is no format"),
    ],
)
def test_wrong_words(argv: list[str], words: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["render", "--no-build", *argv]) == 2
    assert words in capsys.readouterr().err
