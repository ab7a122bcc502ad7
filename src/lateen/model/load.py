"""From texts to an Application: parse, lay files and environment over each other, validate, judge. The only way in; no file I/O.

The CLI reads the files and passes Sources, or trees that ``adopt`` made of other formats. Errors come collected, as an
ExceptionGroup of InputErrors with positions.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import NoReturn

from pydantic import ValidationError

from lateen.errors import InputError
from lateen.kube.yamltext import Node, Source, documents, fault, plain
from lateen.model import overlay, problems, rules
from lateen.model.application import App, Application
from lateen.model.problems import nearest

LOCAL = "local"
_LAYERED = ("defaults", "services", "resources", "gateways", "policies")


def load(sources: Sequence[Source | Node], *, environment: str = "") -> Application:
    """The application in ``sources`` (each laid over the ones before), in ``environment`` (empty: none, called ``local``).

    Raises an ExceptionGroup of InputErrors.
    """
    try:
        tree = _merged(sources)
        tree = _in_environment(tree, environment)
    except InputError as error:
        _refuse([error])
    application = _validated(tree, environment)
    if found := rules.problems(application):
        _refuse(problems.input_errors(found, application.tree))
    return application


def every(sources: Sequence[Source | Node]) -> tuple[Application, dict[str, Application]]:
    """The application as packages hold it: what they start from, and every environment, by name.

    They start from the file alone; from the first environment, if the file says too little by itself (``${env.domain}``).
    """
    try:
        tree = _merged(sources)
    except InputError as error:
        _refuse([error])
    known = tree.get("environments")
    names = sorted(known.data) if known is not None and isinstance(known.data, dict) else []
    try:
        base = load(sources)
    except ExceptionGroup:
        if not names:
            raise
        base = load(sources, environment=names[0])  # raises what is wrong with the file anyway
    return base, {name: load(sources, environment=name) for name in names}


def _merged(sources: Sequence[Source | Node]) -> Node:
    tree: Node | None = None
    for source in sources:
        found = [source] if isinstance(source, Node) else documents(source)
        if not found:
            where = source.name if isinstance(source, Source) else ""
            raise InputError("the file is empty", where=where, hint="an application needs at least a name and services")
        if len(found) > 1:
            raise fault("an application file holds one document", found[1].mark)
        if not isinstance(found[0].data, dict):
            raise fault("expected a map with name and services", found[0].mark)
        laid = overlay.lay(overlay.as_written(found[0]), tree)
        tree = replace(laid, mark=tree.mark) if tree is not None else laid  # the first file is the application's place
    if tree is None:
        raise InputError("no application file was given")
    return tree


def _in_environment(tree: Node, environment: str) -> Node:
    """The tree with the environment laid over defaults and services, and defaults laid under every service."""
    for layer in _layers(tree, environment) if environment else ():
        parts = {n: c for n in _LAYERED if (c := layer.get(n)) is not None and isinstance(c.data, dict)}
        tree = overlay.lay(replace(layer, data=parts), tree)
    services, defaults = tree.get("services"), tree.get("defaults")
    if services is None or not isinstance(services.data, dict) or defaults is None or not isinstance(defaults.data, dict):
        return tree
    full = {name: _over_defaults(node, defaults) for name, node in services.data.items()}
    return replace(tree, data={**tree.data, "services": replace(services, data=full)})


def _over_defaults(service: Node, defaults: Node) -> Node:
    if service.data is None:
        service = replace(service, data={})
    merged = overlay.lay(service, defaults)
    return replace(merged, mark=service.mark, key=service.key)


def _layers(tree: Node, name: str) -> list[Node]:
    """The environment's overlay and what it starts from, the base first."""
    environments = tree.get("environments")
    known = environments.data if environments is not None and isinstance(environments.data, dict) else {}
    layers: list[Node] = []
    seen: set[str] = set()
    while name:
        if name not in known:
            raise InputError(f"there is no environment {name!r}", where=str(tree.mark.source.name), hint=nearest(name, known))
        if name in seen:
            raise fault(f"environment {name!r} starts from itself", known[name].key or known[name].mark)
        seen.add(name)
        layers.insert(0, known[name])
        base = known[name].get("from")
        name = base.data if base is not None and isinstance(base.data, str) else ""
    return layers


def again(application: Application, tree: Node) -> Application:
    """The application with ``tree``, which is laid already, in place of its own. ExceptionGroup of InputErrors."""
    changed = _validated(tree, application.environment if application.environment != LOCAL else "")
    if found := rules.problems(changed):
        _refuse(problems.input_errors(found, changed.tree))
    return changed


def _validated(tree: Node, environment: str) -> Application:
    try:
        spec = App.model_validate(plain(tree), by_alias=True, by_name=False)
    except ValidationError as error:
        _refuse(problems.input_errors(problems.from_validation(error, App), tree))
    chain = []
    name: str | None = environment
    while name:
        chain.append(spec.environments[name])
        name = chain[-1].from_
    default = f"{spec.name}-{environment}" if environment else spec.name
    return Application(
        spec=spec,
        environment=environment or LOCAL,
        namespace=_first([*chain[:1]], "namespace") or default,
        domain=_first(chain, "domain"),
        cluster=_first(chain, "cluster"),
        tree=tree,
    )


def _first(chain: Iterable[object], field: str) -> str:
    return next((str(v) for e in chain if (v := getattr(e, field)) is not None), "")


def _refuse(errors: list[InputError]) -> NoReturn:
    noun = "error" if len(errors) == 1 else "errors"
    raise ExceptionGroup(f"{len(errors)} {noun} in the application file", errors)
