"""Objects as an application: the guess, the patches that make it exact, manifests for the rest; proven by rendering it.

What cannot be made exact is taken out of the guess and kept as a manifest, so that what comes back always renders to what came in.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

from lateen.adopt.manifests.calls import calls, ingresses, routes
from lateen.adopt.manifests.delta import common, split, without
from lateen.adopt.manifests.objects import Given, Key, cleaned, is_made, key, minimal, normal
from lateen.adopt.manifests.services import Guess, claimed, guesses
from lateen.adopt.nodes import Loss, filled
from lateen.errors import InputError, LateenError
from lateen.kube.meta import Object, labels_of, meta
from lateen.kube.yamltext import Source, dump
from lateen.model import Application, load
from lateen.render import render

MANIFESTS = "manifests.yaml"
_DELETE = {"$patch": "delete"}
_HOISTED = ("security", "identity", "availability", "rollout", "resources", "replicas", "health", "ports")


@dataclass(slots=True)
class Adopted:
    """The application file as data, the files beside it, and what the model has no words for."""

    model: dict[str, Any]
    files: dict[str, str] = field(default_factory=dict)
    losses: list[Loss] = field(default_factory=list)


@dataclass(slots=True)
class _Work:
    name: str
    wanted: dict[Key, Object]
    """Objects of the namespace, by kind and name, without defaults."""
    others: list[Given]
    """Objects that only a manifest can say: of other namespaces, or a second one of a kind and name."""
    where: dict[Key, str]
    losses: list[Loss] = field(default_factory=list)
    given_up: set[str] = field(default_factory=set)


def adopt(given: Sequence[Given], *, name: str, secrets: bool = True) -> Adopted:
    """The application that renders to the objects; called ``name`` where they name no namespace.

    Without ``secrets``, Secrets stay out.

    InputError if nothing in them runs.
    """
    work = _sorted(given, name, secrets=secrets)
    for _ in range(len(work.wanted) + 1):
        found = _possible(work)
        if not found:
            raise InputError(
                "nothing here can be a service: no Deployment, StatefulSet, DaemonSet, Job or CronJob has a name for it",
                hint="lateen apply -f takes any manifests as they are",
            )
        try:
            model, kept = _model(work, found)
        except (ExceptionGroup, InputError):
            work.given_up.add(found[-1].name)  # together they are no application
            continue
        wrong = _wrong(work, model, kept)
        if not wrong:
            return _adopted(work, model, kept)
        work.given_up |= wrong
    raise InputError("the objects cannot be told as an application", hint="lateen apply -f takes any manifests as they are")


def _sorted(given: Sequence[Given], name: str, *, secrets: bool) -> _Work:
    declared = [g for g in given if not is_made(g.obj)]
    spaces = Counter(str(n) for g in declared if (n := meta(g.obj).get("namespace")))
    usual = next((n for n, _ in spaces.most_common() if n != "default" and not n.startswith("kube-")), "")
    work = _Work(usual or name, {}, [], {})
    if not usual and "default" in spaces:
        place = next(g.where for g in declared if meta(g.obj).get("namespace") == "default")
        work.losses.append(Loss(place, "the namespace default", f"an application has one of its own: {work.name}"))
    for one in declared:
        obj = one.obj
        if hook := (meta(obj).get("annotations") or {}).get("helm.sh/hook"):
            why = f"helm.sh/hook: {hook} is a moment of Helm's; see hooks in the model"
            work.losses.append(Loss(one.where, " ".join(key(obj)), why))
            continue
        if not secrets and obj.get("kind") == "Secret":
            work.losses.append(
                Loss(one.where, f"Secret {meta(obj).get('name')}", "values of secrets are not written: it must exist")
            )
            continue
        if not usual and meta(obj).get("namespace") == "default":
            obj = {**obj, "metadata": {**meta(obj), "namespace": work.name}}
        reduced = minimal(obj, work.name)
        space = meta(reduced).get("namespace", work.name)
        if key(obj) in work.wanted or space != work.name:
            work.others.append(Given(cleaned(obj, work.name), one.where))
        else:
            work.wanted[key(obj)] = reduced
            work.where[key(obj)] = one.where
    return work


def _possible(work: _Work) -> list[Guess]:
    """The guesses that the model takes, each by itself."""
    usable = (_usable(guess, work) for guess in guesses(work.wanted) if guess.name not in work.given_up)
    return [guess for guess in usable if guess is not None]


def _usable(guess: Guess, work: _Work) -> Guess | None:
    """The guess without the fields that the model refuses, which patches then say; None if something else is wrong."""
    for _ in range(len(guess.fields) + 1):
        try:
            _loaded({"name": work.name, "services": {guess.name: guess.fields}})
        except ExceptionGroup as group:
            said = "; ".join(str(e).splitlines()[0].partition(": ")[2] for e in group.exceptions)
            faulty = re.search(rf"services\.{guess.name}\.(\w+)", said)
            if faulty is None or guess.fields.pop(faulty[1], None) is None:
                place = next(work.where[w] for w in guess.pairs.values())
                work.losses.append(Loss(place, f"{guess.name} as a service", said))
                work.given_up.add(guess.name)
                return None
            if faulty[1] == "scale":
                guess.pairs.pop(("HorizontalPodAutoscaler", guess.name), None)
            if faulty[1] == "ports":
                guess.pairs.pop(("Service", guess.name), None)
        else:
            return guess
    return None


def _loaded(model: Mapping[str, Any]) -> Application:
    return load([Source("lateen.yaml", dump([model]))])


def _loads(model: Mapping[str, Any]) -> bool:
    try:
        _loaded(model)
    except ExceptionGroup:
        return False
    return True


def _model(work: _Work, found: list[Guess]) -> tuple[dict[str, Any], list[Object]]:
    """The application file, and the manifests beside it."""
    denied = ("NetworkPolicy", "default-deny") in work.wanted
    policies: dict[str, Any] = {} if denied else {"network": "open"}
    if any(g.privileged for g in found):
        policies["security"] = "privileged"
    services = {g.name: dict(g.fields) for g in found}
    calls(services, work.wanted)
    routes(services, work.wanted)
    primary = {w[1]: g.name for g in found for w in g.pairs.values() if w[0] == "Service"}
    ingress_class, entries = ingresses(services, work.wanted, primary)
    model: dict[str, Any] = {"name": work.name, "services": services, **({"policies": policies} if policies else {})}
    if entries:
        model["gateways"] = {"default": filled({"ingress": True, "class": ingress_class})}
    if not _loads(model):  # routes that the model takes for duplicates stay manifests
        entries = {}
        model.pop("gateways", None)
        for service in services.values():
            service.pop("routes", None)
    rendered = {key(o): o for o in render(_loaded(model))}
    pairs = _paired(work, found, rendered) | {k: w for k, w in entries.items() if k in rendered}
    kept = [o for k, o in work.wanted.items() if k not in pairs.values()] + [g.obj for g in work.others]
    _patch(work, model, rendered, pairs, {o["kind"] for o in kept})
    _hoist_defaults(model)
    if kept:
        model["manifests"] = [MANIFESTS]
    return model, kept


def _paired(work: _Work, found: list[Guess], rendered: Mapping[Key, Object]) -> dict[Key, Key]:
    """Which wanted object each rendered one is to become."""
    result: dict[Key, Key] = {}
    taken = claimed(found)
    for guess in found:
        for (kind, pattern), wanted in guess.pairs.items():
            for made in rendered:
                if (
                    made[0] == kind
                    and fnmatchcase(made[1], pattern)
                    and labels_of(rendered[made]).get("app.kubernetes.io/name") == guess.name
                ):
                    result[made] = wanted
    for made in rendered:
        if made not in result and made in work.wanted and made not in taken:
            result[made] = made
    return result


def _patch(work: _Work, model: dict[str, Any], rendered: Mapping[Key, Object], pairs: Mapping[Key, Key], kept: set[str]) -> None:
    """Put the patches into the model: with the service whose object they change, or at the end where a kind has them all alike."""
    merges: dict[Key, dict[str, Any]] = {}
    firsts: dict[Key, list[dict[str, Any]]] = {}
    rests: dict[Key, list[dict[str, Any]]] = {}
    gone: list[Key] = []
    for made, obj in rendered.items():
        if made in pairs:
            firsts[made], merges[made], rests[made] = split(minimal(obj, work.name), work.wanted[pairs[made]])
        elif made[0] != "Namespace":
            gone.append(made)
    whole: list[dict[str, Any]] = []
    for kind in sorted({k for k, _ in rendered}):
        of_kind = [k for k in rendered if k[0] == kind]
        if kind in kept or len(of_kind) < 2:
            continue
        if all(k in gone for k in of_kind):
            whole.append({"target": {"kind": kind}, "merge": _DELETE})
            gone = [k for k in gone if k[0] != kind]
        elif all(k in merges for k in of_kind) and (shared := common([merges[k] for k in of_kind])):
            whole.append({"target": {"kind": kind}, "merge": shared})
            for k in of_kind:
                merges[k] = without(merges[k], shared)
    for made in rendered:
        if made in gone:
            _place(model, rendered, made, whole, {"merge": _DELETE})
        if made in merges:
            _place_all(model, rendered, made, whole, firsts[made], merges[made], rests[made])
    if whole:
        model["patches"] = whole


def _place_all(
    model: dict[str, Any],
    rendered: Mapping[Key, Object],
    made: Key,
    whole: list[dict[str, Any]],
    first: list[dict[str, Any]],
    merge: dict[str, Any],
    rest: list[dict[str, Any]],
) -> None:
    inner = [op for op in first if op["path"] != "/metadata/name"]
    renamed = [op for op in first if op["path"] == "/metadata/name"]
    for change in ({"json": inner}, {"merge": merge}, {"json": rest}, {"json": renamed}):
        if next(iter(change.values())):
            _place(model, rendered, made, whole, change)


def _place(
    model: dict[str, Any], rendered: Mapping[Key, Object], made: Key, whole: list[dict[str, Any]], change: dict[str, Any]
) -> None:
    """Under the service that the object belongs to; at the end for the application's own."""
    owner = labels_of(rendered[made]).get("app.kubernetes.io/name", "")
    service = model["services"].get(owner)
    kind, name = made
    if service is None or labels_of(rendered[made]).get("app.kubernetes.io/component") in ("policy", "network", "gateway"):
        whole.append({"target": {"kind": kind, "name": name}, **change})
        return
    same = [k for k in rendered if k[0] == kind and labels_of(rendered[k]).get("app.kubernetes.io/name") == owner]
    target = {"kind": kind} if len(same) == 1 else {"kind": kind, "name": name}
    service.setdefault("patches", []).append({"target": target, **change})


def _hoist_defaults(model: dict[str, Any]) -> None:
    """What every service says alike is said once."""
    services = list(model["services"].values())
    if len(services) < 2:
        return
    for name in _HOISTED:
        values = [s.get(name) for s in services]
        if values[0] and all(v == values[0] for v in values):
            model.setdefault("defaults", {})[name] = values[0]
            for service in services:
                del service[name]


def _wrong(work: _Work, model: Mapping[str, Any], kept: list[Object]) -> set[str]:
    """Services whose objects are not what they should be. Empty: the model is proven."""
    try:
        rendered = render(_loaded(model), manifests=kept)
    except (ExceptionGroup, LateenError):
        return _suspects(model)
    got: dict[Key, list[Object]] = {}
    for obj in rendered:
        got.setdefault(key(obj), []).append(normal(obj, work.name))
    bad = {k for k, o in work.wanted.items() if normal(o, work.name) not in got.get(k, [])}
    known = {*work.wanted, *(key(g.obj) for g in work.others), ("Namespace", work.name)}
    bad |= {k for k in got if k not in known}
    return (_owners(bad, model, work) or _suspects(model)) if bad else set()


def _suspects(model: Mapping[str, Any]) -> set[str]:
    """When it cannot be told whose fault it is, the last service gives way."""
    return set(list(model["services"])[-1:])


def _owners(bad: set[Key], model: Mapping[str, Any], work: _Work) -> set[str]:
    return {g.name for g in guesses(work.wanted) if g.name in model["services"] and (bad & {*g.pairs.values(), *g.pairs})}


def _adopted(work: _Work, model: dict[str, Any], kept: list[Object]) -> Adopted:
    losses = list(work.losses)
    for obj in kept:
        place = next((g.where for g in work.others if g.obj is obj), "") or work.where[key(obj)]
        losses.append(Loss(place, " ".join(key(obj)), f"the model has no words for it: it is kept in {MANIFESTS}"))
    return Adopted(model, {MANIFESTS: dump(kept)} if kept else {}, losses)
