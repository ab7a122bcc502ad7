"""What the writing verbs do with dynamic admission: ask about a new, a changed, a deleted object and about subresources' requests.

Each answers at once when nobody wants to know. Mutating webhooks see an object after its defaults and the server's own admission,
which run again over what they changed; policies and validating webhooks see it as it will be stored.
"""

from __future__ import annotations

from typing import Any

from lateen.cluster.api import shape
from lateen.cluster.api.admission import admit_create
from lateen.cluster.api.bodies import decode
from lateen.cluster.api.call import Backend, Call
from lateen.cluster.api.converting import served_form
from lateen.cluster.api.dynamic.attributes import CONNECT, CREATE, DELETE, UPDATE, Attributes
from lateen.cluster.api.dynamic.gate import Concerned, attributes_of
from lateen.kube.meta import Object

_SCALE = ("autoscaling", "v1", "Scale")
_SYSTEM = ("uid", "creationTimestamp", "generation")
_CONNECTS = ("attach", "exec", "portforward", "proxy")
_KINDS = {
    "attach": ("", "v1", "PodAttachOptions"),
    "exec": ("", "v1", "PodExecOptions"),
    "portforward": ("", "v1", "PodPortForwardOptions"),
    "proxy": ("", "v1", "ProxyOptions"),
    "binding": ("", "v1", "Binding"),
    "eviction": ("policy", "v1", "Eviction"),
    "token": ("authentication.k8s.io", "v1", "TokenRequest"),
}


async def mutated_new(backend: Backend, call: Call, concerned: Concerned, obj: Object, *, generated: bool) -> Object:
    """A new object as mutating webhooks leave it. ``generated``: its name is ours, and may still change. ApiError."""
    meta = obj["metadata"]
    shown = {**obj, "metadata": {k: v for k, v in meta.items() if k != "name"}} if generated else obj

    def settle(patched: Object) -> Object:
        patched = shape.accept_fields(call, patched)
        patched["metadata"] = {**(patched.get("metadata") or {}), **{k: meta[k] for k in _SYSTEM if k in meta}}
        shape.set_defaults(call, patched)
        return patched

    made = await backend.gate.mutate(call, concerned, attributes_of(call, CREATE, shown, None), settle)
    if made is shown:
        return obj
    made["metadata"].setdefault("name", meta.get("name"))
    admit_create(backend, call, made)
    return made


async def validated_new(backend: Backend, call: Call, concerned: Concerned, obj: Object) -> None:
    """ApiError when somebody refuses the new object."""
    await backend.gate.validate(call, concerned, attributes_of(call, CREATE, obj, None))


async def mutated_change(backend: Backend, call: Call, concerned: Concerned, new: Object, old: Object) -> Object:
    """A changed object as mutating webhooks leave it; the same one where they change nothing. ApiError."""
    attributes = _change(call, new, old)
    if attributes.kind == _SCALE:
        return new  # a Scale is shown, not changed: what it says is one number

    def settle(patched: Object) -> Object:
        return shape.accept_fields(call, patched)

    return await backend.gate.mutate(call, concerned, attributes, settle)


async def validated_change(backend: Backend, call: Call, concerned: Concerned, new: Object, old: Object) -> None:
    """ApiError when somebody refuses the change."""
    await backend.gate.validate(call, concerned, _change(call, new, old))


def _change(call: Call, new: Object, old: Object) -> Attributes:
    if call.path.subresource != "scale":
        return attributes_of(call, UPDATE, new, old)
    from lateen.cluster.api.subresources.scale import scale_shown

    return attributes_of(call, UPDATE, scale_shown(call, new), scale_shown(call, old), kind=_SCALE)


async def deleted(backend: Backend, call: Call, old: Object) -> None:
    """ApiError when somebody refuses that the object goes. An eviction was asked about as such."""
    concerned = backend.gate.concerned(call, DELETE) if call.path.subresource == "" else None
    if concerned is not None:
        attributes = attributes_of(
            call, DELETE, None, await served_form(backend, call.served, old), name=str(old["metadata"]["name"])
        )
        await backend.gate.refuse_or_pass(call, concerned, attributes)


async def requested(backend: Backend, call: Call) -> None:
    """ApiError when somebody refuses a request to a subresource that is not a view of its object (exec, binding, eviction, ...)."""
    name = call.path.subresource
    operation = CONNECT if name in _CONNECTS else CREATE
    if name not in _KINDS or (concerned := backend.gate.concerned(call, operation)) is None:
        return
    kind = _KINDS[name]
    if name == "proxy":
        kind = ("", "v1", f"{call.served.resource.kind}ProxyOptions")
    body: Any = _options(call, kind[2]) if operation == CONNECT else decode(call.request) or {}
    obj = {"kind": kind[2], "apiVersion": f"{kind[0]}/{kind[1]}".lstrip("/"), **body}
    await backend.gate.refuse_or_pass(call, concerned, attributes_of(call, operation, obj, None, kind=kind, name=call.name))


def _options(call: Call, kind: str) -> dict[str, Any]:
    """The query of a connection as the object that Kubernetes makes of it."""
    found: dict[str, Any] = {}
    for key, value in call.request.query.items():
        texts = (value,) if isinstance(value, str) else value
        if key in ("stdin", "stdout", "stderr", "tty"):
            found[key] = texts[0].lower() in ("true", "1")
        elif key == "ports":
            found[key] = [int(t) for text in texts for t in text.split(",") if t.isdigit()]
        else:
            found[key] = list(texts) if key == "command" else texts[0]
    if kind.endswith("ProxyOptions"):
        return {"path": call.path.rest}
    return found
