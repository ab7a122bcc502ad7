from __future__ import annotations

import pytest

from lateen.model import Application, Source, load
from lateen.model.types import Range

BASE = """
name: shop
defaults:
  replicas: 2
  ports: {http: 8080}
  env: {LOG: info, ZERO: 0777, FLAG: yes}
services:
  web:
    build: .
    needs: {cart: }
    routes: [{path: /, timeout: 1m30s}, {path: /admin, match: exact}]
  cart:
    image: example.com/cart:1.4
    command: [serve, 8080, true]
    resources: {cpu: 100m..500m, memory: 64Mi}
environments:
  base: {domain: example.com, defaults: {env: {LOG: debug}}}
  prod:
    from: base
    services:
      web: {scale: 5, routes: [{path: /, timeout: 5}], needs: {cart: {optional: true}}}
      cart:
"""


def app(*texts: str, environment: str = "") -> Application:
    return load([Source(f"{i}.yaml", t) for i, t in enumerate(texts)], environment=environment)


def test_defaults_lie_under_every_service() -> None:
    web = app(BASE).services["web"]
    assert web.count == 2
    assert web.ports["http"].port == 8080
    assert web.build is not None
    assert web.build.context == "."


def test_texts_are_taken_as_written() -> None:
    services = app(BASE).services
    assert {k: v.value for k, v in services["cart"].env.items()} == {"LOG": "info", "ZERO": "0777", "FLAG": "yes"}
    assert services["cart"].command == ["serve", "8080", "true"]


def test_values_are_parsed() -> None:
    services = app(BASE).services
    assert services["cart"].resources.cpu == Range("100m", "500m")
    assert services["cart"].resources.memory == Range("64Mi")
    assert services["web"].routes[0].timeout == 90


def test_without_an_environment() -> None:
    found = app(BASE)
    assert (found.environment, found.namespace, found.domain) == ("local", "shop", "")


def test_an_environment_lies_over_the_application() -> None:
    found = app(BASE.replace("{cart: {optional: true}}", "{cart: }"), environment="prod")
    web = found.services["web"]
    assert list(found.services) == ["web"], "an empty value removes a service"
    assert web.count == 5, "scale of the overlay wins over replicas of the defaults"
    assert web.needs == {}, "an empty value removes what is below"
    assert [(r.path, r.timeout) for r in web.routes] == [("/", 5), ("/admin", None)], "routes merge by host and path"
    assert web.env["LOG"].value == "debug"
    assert (found.environment, found.namespace, found.domain) == ("prod", "shop-prod", "example.com")


def test_a_second_file_lies_over_the_first() -> None:
    found = app(BASE, "services: {cart: {image: 'example.com/cart:2'}}")
    assert found.image("cart") == "example.com/cart:2"
    assert found.services["cart"].resources.memory == Range("64Mi")
    assert found.where("services", "cart", "image") == "1.yaml:1:19"
    assert found.where("services", "cart", "command") == "0.yaml:14:5"
    assert found.tree.mark.source.name == "0.yaml"


def test_the_image_of_a_build() -> None:
    assert app(BASE).image("web") == "shop/web"
    assert app(BASE + "registry: registry.example.com/team\n").image("web") == "registry.example.com/team/shop/web"


def test_merge_keys_and_anchors() -> None:
    text = "name: a\nservices:\n  x: &x {image: a, ports: {http: 80}}\n  y: {<<: *x, image: b}\n"
    services = app(text).services
    assert services["y"].image == "b"
    assert services["y"].ports["http"].port == 80


@pytest.mark.parametrize("empty", ["env:", "ports:", "health:", "command:", "replicas:"])
def test_an_empty_field_means_its_default(empty: str) -> None:
    assert app(f"name: a\nservices:\n  x:\n    image: a\n    {empty}\n").services["x"].count == 1
