"""What would happen: read every object, ask the server for a dry-run apply of it, compare. Writes nothing.

Objects in a namespace, or of a kind, that the same apply makes cannot be asked for; they are created. Every refusal is collected
before anything is written.
"""

from __future__ import annotations

import asyncio
import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from lateen.aio.tasks import gather
from lateen.apply import order
from lateen.apply.diff import Action, Verb, compare
from lateen.apply.inventory import Inventory
from lateen.apply.manifest import Manifest
from lateen.apply.refs import Ref, group_of, intent, ref_of
from lateen.apply.refusals import explain
from lateen.client import Client
from lateen.client.discovery import Discovery
from lateen.errors import ApiError, InputError, LateenError, NotFoundError
from lateen.kube.meta import Object, meta
from lateen.kube.resources import Resource

PARALLEL = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """One object to apply. ``resource`` is None while its kind is yet to be defined by the same apply."""

    ref: Ref
    object: Object
    resource: Resource | None
    where: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Actions by object, and what the server holds of them now."""

    wanted: Mapping[Ref, Wanted]
    actions: Mapping[Ref, Action]
    live: Mapping[Ref, Object]
    prune: tuple[Ref, ...] = ()
    inventory: Inventory | None = None


async def prepare(kinds: Discovery, manifests: Sequence[Manifest], *, namespace: str, app: str) -> dict[Ref, Wanted]:
    """The objects with their resources and namespaces. ExceptionGroup of InputErrors: unknown kinds, objects given twice."""
    defined = dict(order.defines(m.object) for m in manifests if m.object["kind"] == "CustomResourceDefinition")
    versions = {(m.object["apiVersion"], m.object["kind"]) for m in manifests}
    found = dict(zip(versions, await gather(kinds.find(*v) for v in versions), strict=True))
    result: dict[Ref, Wanted] = {}
    errors: list[InputError] = []
    for manifest in manifests:
        try:
            one = _wanted(manifest, found, defined, namespace=namespace, app=app)
            if one.ref in result:
                raise InputError(f"{one.ref} is given twice", where=manifest.where, hint=f"first given at {result[one.ref].where}")
            result[one.ref] = one
        except InputError as error:
            errors.append(error)
    if errors:
        raise ExceptionGroup("manifests", list({str(e): e for e in errors}.values()))
    return result


def _wanted(
    manifest: Manifest,
    found: Mapping[tuple[str, str], Resource | None],
    defined: Mapping[tuple[str, str], bool],
    *,
    namespace: str,
    app: str,
) -> Wanted:
    obj = manifest.object
    resource = found[(obj["apiVersion"], obj["kind"])]
    ref = ref_of(obj)
    if resource is None and (ref.group, ref.kind) not in defined:
        raise _unknown_kind(obj, found, manifest.where)
    namespaced = resource.namespaced if resource is not None else defined[(ref.group, ref.kind)]
    wanted = intent(obj, namespace=(meta(obj).get("namespace") or namespace) if namespaced else "", app=app)
    return Wanted(ref=ref_of(wanted), object=wanted, resource=resource, where=manifest.where)


def _unknown_kind(obj: Object, found: Mapping[tuple[str, str], Resource | None], where: str) -> InputError:
    group = group_of(obj["apiVersion"])
    known = {r.kind for r in found.values() if r is not None and r.group == group} | (
        set(order.KINDS) if "." not in group else set()
    )
    near = difflib.get_close_matches(obj["kind"], sorted(known - {obj["kind"]}), n=1, cutoff=0.8)
    hint = f"did you mean {near[0]!r}?" if near else _INSTALL.get(group, "is its CustomResourceDefinition installed?")
    return InputError(f"the cluster has no kind {obj['kind']!r} in {obj['apiVersion']}", where=where, hint=hint)


_INSTALL = {
    "gateway.networking.k8s.io": "routes need the Gateway API: install its standard channel, https://gateway-api.sigs.k8s.io"
}


async def decide(client: Client, wanted: Mapping[Ref, Wanted], *, force: bool) -> tuple[dict[Ref, Action], dict[Ref, Object]]:
    """The action for each object, and the live objects. Raises an ExceptionGroup with every refusal."""
    limit = asyncio.Semaphore(PARALLEL)
    made = {r.name for r in wanted if r.kind == "Namespace" and not r.group}

    async def one(item: Wanted) -> tuple[Action, Object | None] | LateenError:
        async with limit:
            try:
                return await _decide(client, item, made, force=force)
            except ApiError as error:
                return explain(item.ref, error, item.where)

    answers = await gather(one(item) for item in wanted.values())
    if refused := [a for a in answers if isinstance(a, LateenError)]:
        raise ExceptionGroup("refused by the server; nothing was changed", refused)
    decided = {r: a for r, a in zip(wanted, answers, strict=True) if not isinstance(a, LateenError)}
    return {r: a[0] for r, a in decided.items()}, {r: a[1] for r, a in decided.items() if a[1] is not None}


async def _decide(client: Client, item: Wanted, made: set[str], *, force: bool) -> tuple[Action, Object | None]:
    if item.resource is None:
        return Action(ref=item.ref, verb=Verb.create), None
    try:
        live = await client.get(item.resource, item.ref.name, item.ref.namespace)
    except NotFoundError:
        live = None
    try:
        dry = await client.apply(item.resource, item.object, force=force, dry_run=True)
    except NotFoundError:
        if live is None and item.ref.namespace in made:
            return Action(ref=item.ref, verb=Verb.create), None  # its namespace comes with it
        raise
    return compare(item.ref, live, dry), live
