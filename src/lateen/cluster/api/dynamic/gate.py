"""The way into dynamic admission: the writing verbs ask ``Gate`` whether anybody wants to know about a write; mostly nobody does.

What is configured is taken apart once per change; which of it a write concerns by resource and operation is remembered. Selectors,
conditions, webhooks and policies are then asked for the write itself.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from lateen.aio.turns import set_down
from lateen.cluster.api import shape, statuses
from lateen.cluster.api.auth.rbac import MASTERS
from lateen.cluster.api.auth.rbac import Attributes as Wanted
from lateen.cluster.api.call import Backend, Call
from lateen.cluster.api.cel.library import DECIDERS
from lateen.cluster.api.dynamic.attributes import CONNECT, CREATE, DELETE, Attributes, Gvk, user_info
from lateen.cluster.api.dynamic.hooks import Hook, hooks_of
from lateen.cluster.api.dynamic.match import EXEMPT, Rules
from lateen.cluster.api.dynamic.mutations import MutationError, mutated
from lateen.cluster.api.dynamic.params import params_of
from lateen.cluster.api.dynamic.policies import Binding, Finding, Policy, binding_of, judge, policy_of
from lateen.cluster.api.dynamic.webhooks import Chosen, Round, mutate, validate
from lateen.cluster.api.registry import Served
from lateen.cluster.api.user import UserInfo
from lateen.errors import ApiError, api_error
from lateen.kube.meta import Object, edit

GROUP = "admissionregistration.k8s.io"
_REMEMBERED = 4096
_UNASKED = {"": EXEMPT, "server": EXEMPT, "node": EXEMPT | {"core/nodes", "coordination.k8s.io/leases"}}


Bound = tuple[Policy, Served, tuple[Binding, ...]]


@dataclass(frozen=True, slots=True)
class Concerned:
    """Who wants to know about a kind of write."""

    mutating: tuple[Chosen, ...] = ()
    validating: tuple[Chosen, ...] = ()
    policies: tuple[Bound, ...] = ()
    mutations: tuple[Bound, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.mutating or self.validating or self.policies or self.mutations)


@dataclass(slots=True)
class _Configured:
    mutating: list[Hook] = field(default_factory=list)
    validating: list[Hook] = field(default_factory=list)
    policies: list[tuple[Policy, tuple[Binding, ...]]] = field(default_factory=list)
    mutations: list[tuple[Policy, tuple[Binding, ...]]] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.mutating or self.validating or self.policies or self.mutations)


class Gate:
    """One per API server. ``busy`` is False while nothing is configured."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._configured = _Configured()
        self._known: dict[tuple[str, ...], Concerned] = {}
        self._generation = -1
        self.busy = False
        self.key = str(uuid.uuid4())
        DECIDERS[self.key] = self

    def load(self) -> None:
        """Take what is stored apart, again."""

        def objects(plural: str) -> Iterator[Object]:
            return self._backend.objects(GROUP, "v1", plural)

        def bound(kind: str) -> list[tuple[Policy, tuple[Binding, ...]]]:
            bindings = [binding_of(o) for o in objects(f"{kind}admissionpolicybindings")]
            policies = sorted((policy_of(o) for o in objects(f"{kind}admissionpolicies")), key=lambda p: p.name)
            found = [(p, tuple(b for b in bindings if b.policy == p.name)) for p in policies]
            return [(p, b) for p, b in found if b]

        self._configured = _Configured(
            hooks_of(objects("mutatingwebhookconfigurations")),
            hooks_of(objects("validatingwebhookconfigurations")),
            bound("validating"),
            bound("mutating"),
        )
        self.busy, self._known = bool(self._configured), {}

    def concerned(self, call: Call, operation: str) -> Concerned | None:
        """Who wants to know about such a write; None for nobody."""
        if not self.busy or call.served.collection in _UNASKED[call.user.inside] or call.user.inside == "server":
            return None
        registry, r = self._backend.registry, call.served.resource
        if self._generation != registry.generation or len(self._known) > _REMEMBERED:
            self._generation, self._known = registry.generation, {}
        key = (r.group, r.version, r.plural, call.path.subresource, operation)
        found = self._known.get(key)
        if found is None:
            found = self._known[key] = self._choose(call.served, call.path.subresource, operation)
        return found or None

    def _choose(self, served: Served, subresource: str, operation: str) -> Concerned:
        others = [s for s in self._backend.registry if s.collection == served.collection and s is not served and s.webhook is None]

        def version(rules: Rules) -> Served | None:
            return rules.version_for(served, others, subresource=subresource, operation=operation)

        def hooks(known: list[Hook]) -> Iterator[Chosen]:
            yield from ((h, v) for h in known if (v := version(h.rules)) is not None)

        def bound(known: list[tuple[Policy, tuple[Binding, ...]]]) -> Iterator[Bound]:
            yield from ((p, v, b) for p, b in known if (v := version(p.rules)) is not None)

        found = self._configured
        return Concerned(
            tuple(hooks(found.mutating)),
            tuple(hooks(found.validating)),
            tuple(bound(found.policies)),
            tuple(bound(found.mutations)),
        )

    # one write

    async def mutate(self, call: Call, concerned: Concerned, attributes: Attributes, settle: Callable[[Object], Object]) -> Object:
        """The object as policies and webhooks that change things leave it, the same one where they change nothing. ApiError."""
        assert attributes.obj is not None
        made = self._mutated(concerned.mutations, attributes, settle)
        if concerned.mutating:
            async with set_down():
                hooked = await mutate(self._round(call, settle), concerned.mutating, replace(attributes, obj=made)) or made
            again = tuple(m for m in concerned.mutations if m[0].again) if hooked is not made else ()
            made = self._mutated(again, replace(attributes, obj=hooked), settle)
        return made

    def _mutated(self, mutations: tuple[Bound, ...], attributes: Attributes, settle: Callable[[Object], Object]) -> Object:
        assert attributes.obj is not None
        obj = attributes.obj
        for policy, version, bindings in mutations:
            for binding in bindings:
                shown = replace(attributes, obj=obj).as_version(version)
                if policy.rules.takes(shown, self.namespace) and self._binds(binding, shown):
                    made = self._changed(policy, binding, shown)
                    obj = obj if made is shown.obj else settle(shown.back(edit(made), attributes))
        return obj

    def _changed(self, policy: Policy, binding: Binding, shown: Attributes) -> Object:
        assert shown.obj is not None
        try:
            params = params_of(self._backend, policy, binding, shown.namespace)
            return mutated(policy, self.variables(shown), shown.obj, params=params, node=shape.node_of(shown.served))
        except (LookupError, MutationError) as error:
            if policy.ignores_failure:
                return shown.obj
            words = f"policy '{policy.name}' with binding '{binding.name}' denied request: {error.args[0]}"
            raise self._refusal(shown, words, Finding(words)) from error

    async def validate(self, call: Call, concerned: Concerned, attributes: Attributes) -> None:
        """ApiError when a policy or a webhook refuses."""
        for policy, version, bindings in concerned.policies:
            shown = attributes.as_version(version)
            if policy.rules.takes(shown, self.namespace):
                self._judge(call, policy, bindings, shown)
        if concerned.validating:
            async with set_down():
                await validate(self._round(call, lambda obj: obj), concerned.validating, attributes)

    async def refuse_or_pass(self, call: Call, concerned: Concerned, attributes: Attributes) -> None:
        """Everybody is asked, nothing is changed. ApiError."""
        if concerned.mutating:
            async with set_down():
                await mutate(self._round(call, lambda obj: obj), concerned.mutating, attributes)
        await self.validate(call, concerned, attributes)

    def _round(self, call: Call, settle: Callable[[Object], Object]) -> Round:
        return Round(
            backend=self._backend, namespace_of=self.namespace, settle=settle, variables=self.variables, warnings=call.warnings
        )

    def namespace(self, name: str) -> Object | None:
        """The Namespace object."""
        return self._backend.get("", "v1", "namespaces", "", name)

    def variables(self, attributes: Attributes) -> dict[str, Any]:
        """What CEL sees of a write."""
        request = {k: v for k, v in attributes.request("").items() if k not in ("object", "oldObject", "uid")}
        return {
            "object": attributes.obj,
            "oldObject": attributes.old,
            "request": request,
            "authorizer": self._authorizer(attributes),
            "namespaceObject": self.namespace(attributes.namespace) if attributes.namespace else None,
        }

    def _authorizer(self, attributes: Attributes) -> dict[str, Any]:
        base = {"@": "authorizer", "decider": self.key, "user": user_info(attributes.user)}
        r = attributes.resource
        asked = {"group": r.group, "resource": r.plural, "subresource": attributes.subresource}
        return {**base, "requestResource": {**base, **asked, "namespace": attributes.namespace, "name": attributes.name}}

    def decide(self, value: Mapping[str, Any]) -> bool:
        """What ``authorizer`` answers in an expression (``cel.library.Decider``)."""
        user = value["user"]
        who = UserInfo(name=user["username"], uid=user.get("uid", ""), groups=tuple(user["groups"]))
        if value.get("account"):
            namespace = str(value["account_namespace"])
            groups = ("system:serviceaccounts", f"system:serviceaccounts:{namespace}", "system:authenticated")
            who = UserInfo(name=f"system:serviceaccount:{namespace}:{value['account']}", groups=groups)
        names = ("verb", "group", "resource", "subresource", "namespace", "name", "path")
        wanted = Wanted(**{name: str(value.get(name) or "") for name in names})
        return MASTERS in who.groups or self._backend.access.rbac.allowed(who, wanted)

    # policies

    def _judge(self, call: Call, policy: Policy, bindings: tuple[Binding, ...], attributes: Attributes) -> None:
        data: dict[str, Any] | None = None
        for binding in bindings:
            if not self._binds(binding, attributes):
                continue
            data = data or self.variables(attributes)
            for finding in self._findings(policy, binding, attributes, data):
                self._act(call, policy, binding, attributes, finding)

    def _binds(self, binding: Binding, attributes: Attributes) -> bool:
        return binding.rules is None or binding.rules.takes(attributes, self.namespace)

    def _findings(self, policy: Policy, binding: Binding, attributes: Attributes, data: Mapping[str, Any]) -> list[Finding]:
        try:
            params = params_of(self._backend, policy, binding, attributes.namespace)
        except LookupError as error:
            return [] if policy.ignores_failure else [Finding(str(error.args[0]))]
        return judge(policy, data, params)

    @staticmethod
    def _act(call: Call, policy: Policy, binding: Binding, attributes: Attributes, finding: Finding) -> None:
        where = f"ValidatingAdmissionPolicy '{policy.name}' with binding '{binding.name}'"
        if "Warn" in binding.actions:
            call.warnings.append(f"Validation failed for {where}: {finding.message}")
        if "Deny" not in binding.actions:
            return
        raise Gate._refusal(attributes, f"{where} denied request: {finding.message}", finding)

    @staticmethod
    def _refusal(attributes: Attributes, words: str, finding: Finding) -> ApiError:
        plain = statuses.forbidden(attributes.resource, attributes.name, words).status
        details = {**plain["details"], "causes": [{"message": words}]}
        return api_error({**plain, "reason": finding.reason, "code": finding.code, "details": details})


def attributes_of(
    call: Call, operation: str, obj: Object | None, old: Object | None, *, kind: Gvk | None = None, name: str | None = None
) -> Attributes:
    """A call as admission sees it."""
    r, shown = call.served.resource, obj if obj is not None else old
    meta = (shown or {}).get("metadata") or {}
    named = (call.name or str(meta.get("name") or "")) if name is None else name
    namespace = call.namespace or (named if r.plural == "namespaces" and not r.group else "")
    return Attributes(
        operation=operation,
        served=call.served,
        kind=kind or (r.group, r.version, r.kind),
        subresource=call.path.subresource,
        namespace=namespace,
        name=named,
        obj=obj,
        old=old,
        user=call.user,
        options=_options(call, operation),
        dry_run=call.dry_run,
    )


def _options(call: Call, operation: str) -> dict[str, Any]:
    if operation == CONNECT:
        return {}
    patching = operation != DELETE and call.verb == "patch"
    kind = "PatchOptions" if patching else {CREATE: "CreateOptions", DELETE: "DeleteOptions"}.get(operation, "UpdateOptions")
    found: dict[str, Any] = {"kind": kind, "apiVersion": "meta.k8s.io/v1"}
    if call.dry_run:
        found["dryRun"] = ["All"]
    for option in ("fieldManager", "fieldValidation"):
        if operation != DELETE and call.option(option):
            found[option] = call.option(option)
    return found
