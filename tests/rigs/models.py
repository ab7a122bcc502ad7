"""A hypothesis strategy over application files: services of every kind that need each other, an environment that changes them."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

TEXTS = st.one_of(
    st.sampled_from(
        [
            "",
            "yes",
            "null",
            "1e3",
            "0777",
            "~",
            "{{ .Values.x }}",
            "a: b",
            "- a",
            "#",
            "'",
            '"',
            "a\nb\n",
            " a ",
            "ü",
            "%",
            "true",
            "1",
        ]
    ),
    st.text(
        alphabet=st.characters(codec="utf-8", exclude_categories=["Cs", "Cc"], exclude_characters="$\x85\u2028\u2029\ufeff"),
        max_size=12,
    ),
)
NAMES = ("web", "cart", "on", "order-store")
KINDS = st.sampled_from(["web", "web", "worker", "stateful", "job", "cron", "daemon"])
IMAGES = st.builds(
    lambda name, end: name + end,
    st.sampled_from(["web", "registry.example.com:5000/a/b", "ghcr.io/x/y"]),
    st.sampled_from(["", ":1.0", ":latest", ":1.0_b", "@sha256:" + "ab" * 32, ":2@sha256:" + "cd" * 32]),
)
RANGES = st.sampled_from(["100m", "1", "50m..2"])
SIZES = st.sampled_from(["64Mi", "64Mi..1Gi", "1Gi"])
ENV = st.one_of(TEXTS, st.just({"secret": "token/key"}), st.just({"field": "metadata.name"}), st.just("x${env.name}y"))
PROBES = st.sampled_from(["GET /ready", "tcp:8080", "GET /other"])


def some(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """Any of the fields."""
    return st.fixed_dictionaries({}, optional=fields)


def partial() -> st.SearchStrategy[dict[str, Any]]:
    """What an environment may say of a service, and a service of itself."""
    hook = {"command": ["run", "{{ it }}"]}
    return some(
        image=IMAGES,
        command=st.lists(TEXTS, min_size=1, max_size=2),
        env=st.dictionaries(st.sampled_from(["A", "B", "C", "LOG_LEVEL"]), ENV, max_size=3),
        config=st.dictionaries(
            st.sampled_from(["/etc/a.conf", "/etc/b/c"]),
            st.builds(lambda text, change: {"content": text, "onChange": change}, TEXTS, st.sampled_from(["restart", "none"])),
            max_size=2,
        ),
        health=some(ready=PROBES, live=PROBES),
        resources=some(cpu=RANGES, memory=SIZES),
        scale=st.one_of(st.integers(0, 4), st.just({"min": 2, "max": 5, "memory": "70%"})),
        storage=st.just({"/data": {"size": "1Gi"}}),
        init=st.just({"prepare": {"command": ["prepare"]}}),
        sidecars=st.one_of(st.just({"log": {"image": "log:1"}}), st.just({"log": {"image": "log:2", "env": {"A": "b"}}})),
        hooks=st.one_of(st.just({"migrate": hook}), st.just({"postSync": {**hook, "image": "tool:1"}})),
        identity=st.just({"rbac": [{"resources": ["pods"], "verbs": ["get"]}]}),
        security=st.sampled_from([{"user": 1000740000}, {"readOnlyRoot": False}]),
        availability=st.sampled_from([{"priority": "100"}, {"spread": "none"}, {"grace": "5s"}]),
        observe=st.sampled_from([{"traces": True}, {"logs": "json"}]),
        labels=st.just({"team": "a"}),
        annotations=st.dictionaries(st.sampled_from(["example.com/a", "b"]), TEXTS, max_size=2),
    )


@st.composite
def services(draw: st.DrawFn, name: str, callable_: list[str]) -> dict[str, Any]:
    kind = draw(KINDS)
    found: dict[str, Any] = {"image": "a:1", "ports": {"http": 8080}, "kind": kind, **draw(partial())}
    found.setdefault("resources", {})["memory"] = "128Mi"
    found["needs"] = dict.fromkeys(draw(st.lists(st.sampled_from(callable_), unique=True))) if callable_ else {}
    if kind == "web" and draw(st.booleans()):
        found["routes"] = [{"path": f"/{name}"}]
    if kind == "cron":
        found["schedule"] = "0 3 * * *"
    return suited(found, kind)


def suited(found: dict[str, Any], kind: str) -> dict[str, Any]:
    """Without what a service of this kind cannot have."""
    if kind in ("job", "cron"):
        for field in ("scale", "health", "ports", "hooks", "storage", "sidecars"):
            found.pop(field, None)
    if kind == "daemon":
        for field in ("scale", "storage"):
            found.pop(field, None)
    if isinstance(found.get("scale"), dict):
        found.setdefault("resources", {})["memory"] = "128Mi"
    return found


@st.composite
def applications(draw: st.DrawFn) -> dict[str, Any]:
    """An application file, as data."""
    names = draw(st.lists(st.sampled_from(NAMES), min_size=1, max_size=3, unique=True))
    found: dict[str, Any] = {}
    resources = draw(st.sampled_from([{}, {"db": {"type": "postgres"}}, {"queue": {"type": "rabbitmq"}}]))
    for name in names:
        can = [n for n, s in found.items() if s["kind"] in ("web", "stateful")] + list(resources)
        found[name] = draw(services(name, can))
    over: dict[str, Any] = {
        n: suited(draw(partial()), found[n]["kind"]) for n in draw(st.lists(st.sampled_from(names), unique=True))
    }
    for name, layer in over.items():
        layer.pop("kind", None)
        if draw(st.integers(0, 9)) == 0 and not any(name in s["needs"] for s in found.values()) and len(names) > 1:
            over[name] = None
    prod = {"services": over, **draw(some(namespace=st.just("live"), defaults=st.just({"labels": {"tier": "x"}})))}
    return {"name": "shop", "services": found, "resources": resources, "environments": {"prod": prod}}
