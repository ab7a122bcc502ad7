"""A CustomResourceDefinition taken apart: its served versions as ``Served``, its status, what is wrong with it. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any

from lateen.cluster.api.crd.rules import absent, compile_rules
from lateen.cluster.api.outward.post import Place, place_of
from lateen.cluster.api.registry import Served, Validate
from lateen.cluster.api.tables.custom import custom_columns
from lateen.kube.meta import Object, set_condition
from lateen.kube.resources import Resource
from lateen.kube.schemas import from_openapi
from lateen.kube.validation.custom import custom_rule
from lateen.kube.validation.errors import FieldError, invalid, required

_CONVERSION_SECONDS = 30.0
FINALIZER = "customresourcecleanup.apiextensions.k8s.io"


def complete_names(spec: Object) -> Object:
    """``spec.names`` with what Kubernetes fills in."""
    names = dict(spec.get("names") or {})
    if names.get("kind"):
        names.setdefault("singular", str(names["kind"]).lower())
        names.setdefault("listKind", f"{names['kind']}List")
    return names


def faults(crd: Object) -> Iterator[FieldError]:
    """What keeps a definition from being stored."""
    spec = crd.get("spec") or {}
    names, group, versions = spec.get("names") or {}, spec.get("group") or "", spec.get("versions") or []
    wanted = f"{names.get('plural', '')}.{group}"
    if crd["metadata"].get("name") != wanted:
        yield invalid("metadata.name", crd["metadata"].get("name"), 'must be spec.names.plural+"."+spec.group')
    for field, value in (("spec.group", group), ("spec.names.plural", names.get("plural")), ("spec.names.kind", names.get("kind"))):
        if not value:
            yield required(field)
    if spec.get("scope") not in ("Namespaced", "Cluster"):
        yield required("spec.scope")
    if sum(bool(v.get("storage")) for v in versions) != 1:
        yield invalid("spec.versions", [v.get("name") for v in versions], "must have exactly one version marked as storage version")
    yield from _conversion_faults(spec)
    for i, version in enumerate(versions):
        yield from _version_faults(version, f"spec.versions[{i}]")


def _version_faults(version: Object, where: str) -> Iterator[FieldError]:
    schema = (version.get("schema") or {}).get("openAPIV3Schema")
    if schema is None:
        yield required(f"{where}.schema.openAPIV3Schema", "schemas are required")
        return
    at = f"{where}.schema.openAPIV3Schema"
    if schema.get("type") != "object":
        yield invalid(f"{at}.type", schema.get("type"), "must be object at the root")
    try:
        custom_rule(schema)
    except ValueError as error:
        yield invalid(at, "schema", str(error))


def status_of(crd: Object, others: Iterable[Object], now: datetime) -> Object:
    """The status: names are accepted unless another definition of the group has them; accepted names are established."""
    spec, status = crd["spec"], dict(crd.get("status") or {})
    names = complete_names(spec)
    taken = _taken(crd, others, names)
    conditions = status.get("conditions")
    if taken:
        message = f'"{taken}" is already in use'
        no = {"type": "NamesAccepted", "status": "False", "reason": "NameConflict", "message": message}
        conditions = set_condition(conditions, no, now)
        no = {"type": "Established", "status": "False", "reason": "NotAccepted", "message": "not all names are accepted"}
        conditions = set_condition(conditions, no, now)
    else:
        yes = {"type": "NamesAccepted", "status": "True", "reason": "NoConflicts", "message": "no conflicts found"}
        conditions = set_condition(conditions, yes, now)
        yes = {
            "type": "Established",
            "status": "True",
            "reason": "InitialNamesAccepted",
            "message": "the initial names have been accepted",
        }
        conditions = set_condition(conditions, yes, now)
        status["acceptedNames"] = names
    stored = next((v["name"] for v in spec["versions"] if v.get("storage")), "")
    known = status.get("storedVersions") or []
    status.setdefault("acceptedNames", {"plural": "", "kind": ""})
    return {**status, "conditions": conditions, "storedVersions": known if stored in known else [*known, stored]}


def _taken(crd: Object, others: Iterable[Object], names: Object) -> str:
    """The first of ``names`` that another definition of the same group has accepted."""
    for other in others:
        if other["metadata"]["name"] == crd["metadata"]["name"] or other["spec"]["group"] != crd["spec"]["group"]:
            continue
        theirs = (other.get("status") or {}).get("acceptedNames") or {}
        for field in ("kind", "listKind", "singular", "plural"):
            if names.get(field) and names[field] == theirs.get(field):
                return str(names[field])
    return ""


def established(crd: Object) -> bool:
    """Whether its resources are served."""
    return any(c["type"] == "Established" and c["status"] == "True" for c in (crd.get("status") or {}).get("conditions") or ())


def served_versions(crd: Object) -> list[Served]:
    """The resources it defines, one for each served version. ValueError for a schema that cannot be compiled."""
    spec = crd["spec"]
    stored = next(v["name"] for v in spec["versions"] if v.get("storage"))
    single = len(spec["versions"]) == 1
    return [_served(crd, version, stored, single) for version in spec["versions"] if version.get("served")]


def _served(crd: Object, version: Object, stored: str, single: bool) -> Served:
    spec, names = crd["spec"], complete_names(crd["spec"])
    schema = (version.get("schema") or {}).get("openAPIV3Schema") or {}
    resource = _resource(spec, names, version)
    subs = version.get("subresources") or {}
    storage = f"{spec['group']}/{stored}"
    keeps = bool(spec.get("preserveUnknownFields"))
    return Served(
        resource=resource,
        stored=_resource(spec, names, {"name": stored}),
        collection=f"{spec['group']}/{names['plural']}",
        converts=not single,
        to_storage=_as(storage),
        from_storage=_as(resource.api_version),
        custom=True,
        node=from_openapi({**schema, "x-kubernetes-preserve-unknown-fields": True} if keeps else schema),
        validate=_validation(schema, f"{names['plural']}.{spec['group']}/{version['name']}"),
        columns=custom_columns(version.get("additionalPrinterColumns") or ()),
        scale=subs.get("scale"),
        selectable=tuple(f["jsonPath"].lstrip(".") for f in version.get("selectableFields") or ()),
        deprecation=_deprecation(resource, version),
        list_kind_name=str(names.get("listKind") or ""),
        webhook=webhook_of(spec),
        terminating=bool(crd["metadata"].get("deletionTimestamp")),
    )


def webhook_of(spec: Object) -> Place | None:
    """What converts between versions, None for nothing but the version's name."""
    conversion = spec.get("conversion") or {}
    if conversion.get("strategy") != "Webhook" or len(spec["versions"]) == 1:
        return None
    return place_of((conversion.get("webhook") or {}).get("clientConfig") or {}, _CONVERSION_SECONDS)


def _conversion_faults(spec: Object) -> Iterator[FieldError]:
    conversion = spec.get("conversion") or {}
    strategy, webhook = conversion.get("strategy"), conversion.get("webhook") or {}
    if strategy not in ("None", "Webhook"):
        words = 'supported values: "None", "Webhook"'
        yield FieldError("FieldValueNotSupported", "spec.conversion.strategy", words, strategy)
    elif strategy == "Webhook":
        client = webhook.get("clientConfig") or {}
        if (client.get("url") is None) == (client.get("service") is None):
            yield required("spec.conversion.webhook.clientConfig", "exactly one of url or service is required")
        if "v1" not in (webhook.get("conversionReviewVersions") or ()):
            yield invalid(
                "spec.conversion.webhook.conversionReviewVersions",
                webhook.get("conversionReviewVersions") or [],
                "must include at least one of v1, v1beta1",
            )


def _validation(schema: Mapping[str, Any], name: str) -> Validate:
    """The schema's own rules, and its CEL rules where the schema holds."""
    shape, rules = custom_rule(schema), compile_rules(schema, name)
    if rules is None:
        return shape

    def validate(obj: Object, old: Object | None) -> Iterator[FieldError]:
        found = list(shape(obj, old))
        yield from found
        if not found:
            yield from rules(obj, absent() if old is None else old, "")

    return validate


def _resource(spec: Object, names: Object, version: Mapping[str, Any]) -> Resource:
    return Resource(
        group=spec["group"],
        version=version["name"],
        kind=names["kind"],
        plural=names["plural"],
        namespaced=spec["scope"] == "Namespaced",
        singular=names.get("singular") or "",
        short_names=tuple(names.get("shortNames") or ()),
        categories=tuple(names.get("categories") or ()),
        subresources=tuple(s for s in ("scale", "status") if s in (version.get("subresources") or {})),
    )


def _as(api_version: str) -> Any:
    """Conversion strategy None: only apiVersion changes."""
    return lambda obj: obj if obj.get("apiVersion") == api_version else {**obj, "apiVersion": api_version}


def _deprecation(resource: Resource, version: Object) -> str:
    if not version.get("deprecated"):
        return ""
    return str(version.get("deprecationWarning") or f"{resource.api_version} {resource.kind} is deprecated")
