"""Which line decides a field: known answers, and that every field of every object has one."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest

from lateen.errors import InputError
from lateen.kube.meta import Object
from lateen.model import Application, Source, load, origins
from lateen.render import render
from lateen.render.why import Answer, look, parse, why

FILE = """\
name: shop
registry: registry.example.com
defaults:
  replicas: 2
  health: {ready: GET /ready}
services:
  web:
    image: registry.example.com/shop/web:1
    ports: {http: {port: 80, target: 8080}}
    resources: {cpu: 100m..1}
    env: {MODE: "on", CART: "${services.cart.url}"}
    routes: [{path: /}]
    needs: {cart: {timeout: 2s}}
  cart:
    image: registry.example.com/shop/cart:1
    ports: {http: 8080}
    security: {user: 1000}
environments:
  prod:
    namespace: live
    services: {web: {replicas: 5}}
"""
ROOT = Path(__file__).parents[3]


def application(environment: str = "", text: str = FILE) -> Application:
    return load([Source("lateen.yaml", text)], environment=environment)


def ask(kind: str, name: str, path: str, environment: str = "") -> Answer:
    return why(application(environment), lambda app: render(app, files={}), (kind, name), parse(path))


@pytest.mark.parametrize(
    ("kind", "name", "path", "environment", "line", "leaf"),
    [
        ("Deployment", "web", "spec.replicas", "", 4, "services.web.replicas"),
        ("Deployment", "web", "spec.replicas", "prod", 21, "services.web.replicas"),
        ("Deployment", "web", "spec.template.spec.containers[web].image", "", 8, "services.web.image"),
        ("Deployment", "web", "spec.template.spec.containers[0].ports[0].containerPort", "", 9, "services.web.ports.http.target"),
        ("Deployment", "web", "spec.template.spec.containers[0].env[MODE].value", "", 11, "services.web.env.MODE"),
        ("Deployment", "web", "spec.template.spec.containers[0].resources.limits.cpu", "", 10, "services.web.resources.cpu"),
        ("Deployment", "web", "spec.template.spec.containers[0].readinessProbe.httpGet.path", "", 5, "services.web.health.ready"),
        ("Deployment", "cart", "spec.template.spec.securityContext.runAsUser", "", 17, "services.cart.security.user"),
        ("Service", "web", "spec.ports[0].port", "", 9, "services.web.ports.http.port"),
        ("HTTPRoute", "web", "spec.rules[0].matches[0].path.value", "", 12, "services.web.routes.0.path"),
        ("Service", "web", "metadata.namespace", "prod", 20, "environments.prod.namespace"),
        ("NetworkPolicy", "cart", "spec.ingress[0].ports[0].port", "", 16, "services.cart.ports.http"),
    ],
)
def test_the_line_that_decides(kind: str, name: str, path: str, environment: str, line: int, leaf: str) -> None:
    found = ask(kind, name, path, environment)
    assert (found.causes[0].where, found.causes[0].path) == (f"lateen.yaml:{line}", leaf)


def test_what_no_line_decides_is_a_default_or_a_rule() -> None:
    assert ask("Deployment", "web", "spec.template.spec.securityContext.runAsNonRoot").default.startswith(
        "the default of services.web.security"
    )
    assert ask("NetworkPolicy", "default-deny", "spec.policyTypes[0]").default.startswith("the default of policies.network")
    assert ask("Deployment", "web", "kind").default.startswith("a rule of lateen's")


def test_a_path_that_is_none() -> None:
    for text in ("", "a..b", "a[", "."):
        with pytest.raises(InputError):
            parse(text)
    assert parse(r"metadata.labels.app\.kubernetes\.io/name") == ("metadata", "labels", "app.kubernetes.io/name")
    with pytest.raises(KeyError):
        ask("Deployment", "web", "spec.nothing")


def leaves(found: Any, path: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    if isinstance(found, dict):
        return [p for k, v in found.items() for p in leaves(v, (*path, k))]
    if isinstance(found, list):
        return [p for i, v in enumerate(found) for p in leaves(v, (*path, i))]
    return [path]


def test_every_field_of_the_shop_has_an_answer() -> None:
    """A sample of all fields, with a fixed seed: each is decided by a line of the file, or told as default or rule."""
    file = ROOT / "examples/shop/lateen.yaml"
    app = load([Source(str(file), file.read_text())])

    def rendered(one: Application) -> list[Object]:
        return render(one, files={})

    fields = [((o["kind"], o["metadata"]["name"]), p) for o in rendered(app) for p in leaves(o)]
    by_line = 0
    for ref, path in random.Random(7).sample(fields, 25):
        answer = why(app, rendered, ref, path)
        assert bool(answer.causes) != bool(answer.default), (ref, path)
        by_line += bool(answer.causes)
    assert by_line >= 5


def test_the_merged_application_with_its_places() -> None:
    text = origins.described(origins.of(application("prod")))
    assert "    replicas: 5  # lateen.yaml:21\n" in text
    assert "    health:\n      ready: GET /ready  # lateen.yaml:5\n" in text
    assert "defaults" not in text
    again = application(text=origins.described(origins.of(application("prod")), origins=False))
    assert again.services == application("prod").services, "what is shown is the application"


def test_look_finds_items_by_name() -> None:
    assert look({"a": [{"name": "x", "v": 1}]}, ("a", "x", "v")) == 1
