"""Rights: what Roles allow, who they are bound to, and which ServiceAccount each workload runs as."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import Any

from lateen.check.family import services
from lateen.check.finding import Edit, Hit, Severity
from lateen.check.manifest import Manifest, mapping, maps
from lateen.check.nearby import nearest
from lateen.check.registry import check
from lateen.check.world import World

INFO, WARNING, ERROR = Severity.INFO, Severity.WARNING, Severity.ERROR
READ, WRITE = ("get", "list", "watch"), ("create", "update", "patch", "delete", "deletecollection")
_ROLES, _BINDINGS = ("Role", "ClusterRole"), ("RoleBinding", "ClusterRoleBinding")
_OF_KUBERNETES = ("cluster-admin", "admin", "edit", "view")


def _rules(world: World) -> Iterator[tuple[Manifest, int, dict[str, Any]]]:
    """Every rule of every role that is not Kubernetes' own, or made by aggregation."""
    for role in world.kind(*_ROLES):
        if not role.name.startswith("system:") and role.name not in _OF_KUBERNETES:
            for i, rule in enumerate(maps(role.data.get("rules"))):
                yield role, i, rule


def _has(rule: dict[str, Any], key: str, *wanted: str, wild: bool = True) -> bool:
    values = [str(v) for v in rule.get(key) or ()]
    return any(w in values for w in wanted) or (wild and "*" in values)


def _grants(
    world: World, group: str, resources: tuple[str, ...], verbs: tuple[str, ...]
) -> Iterator[tuple[Manifest, int, dict[str, Any]]]:
    """Rules that name one of the resources and allow one of the verbs. Wildcard resources are LT-RBAC-039's."""
    for role, i, rule in _rules(world):
        if _has(rule, "apiGroups", group) and _has(rule, "resources", *resources, wild=False) and _has(rule, "verbs", *verbs):
            yield role, i, rule


def _say(found: Iterator[tuple[Manifest, int, dict[str, Any]]], words: str, *, named: bool = True) -> Iterator[Hit]:
    """A hit per rule; with ``named``, a rule limited to names is left out (it is what least privilege looks like)."""
    for role, i, rule in found:
        if not (named and rule.get("resourceNames")):
            yield Hit(role, ("rules", i), f"the role {words}")


@check(
    "LT-RBAC-033",
    "default ServiceAccount used",
    WARNING,
    why="Every pod that names no account shares the default one: a right given to it is given to all of them.",
    fix="create a ServiceAccount for the workload and set serviceAccountName",
)
def default_account(world: World) -> Iterator[Hit]:
    bound = {(n, s) for _, n, s in _bound_accounts(world)}
    with_own = sum(1 for w in world.workloads if w.account != "default")
    for w in world.workloads:
        if w.account == "default" and w.pod.get("automountServiceAccountToken") is not False:
            risky = (w.namespace, "default") in bound or 2 * with_own >= len(world.workloads)
            path = w.path("serviceAccountName")
            yield Hit(w.manifest, path, "the pods run as the ServiceAccount default", WARNING if risky else INFO)


@check(
    "LT-RBAC-034",
    "token mounted without need",
    WARNING,
    why="A pod that never calls the API has no use for a token; whoever breaks in has.",
    fix="set automountServiceAccountToken: false on the ServiceAccount or the pod",
)
def needless_token(world: World) -> Iterator[Hit]:
    bound = {(n, s) for _, n, s in _bound_accounts(world)}
    for w in world.workloads:
        account = world.get("ServiceAccount", w.namespace, w.account)
        own = w.pod.get("automountServiceAccountToken")
        value = account.data.get("automountServiceAccountToken") if own is None and account else own
        if value is True and (w.namespace, w.account) not in bound and (account is not None or own is True):
            path = w.path("automountServiceAccountToken")
            yield Hit(w.manifest, path, f"the token of {w.account} is mounted, and the account has no rights in sight")
        elif value is None and (w.namespace, w.account) not in bound:
            path = w.path("automountServiceAccountToken")
            yield Hit(w.manifest, path, f"the token of {w.account} is mounted by default", INFO)


@check(
    "LT-RBAC-035",
    "ServiceAccount does not exist",
    ERROR,
    why="Pods that name an account which is not there are never created.",
    fix="create the ServiceAccount, or correct serviceAccountName",
)
def missing_account(world: World) -> Iterator[Hit]:
    for w in world.workloads:
        if w.account != "default" and world.get("ServiceAccount", w.namespace, w.account) is None:
            known = world.names("ServiceAccount", w.namespace)
            key = "serviceAccountName" if w.pod.get("serviceAccountName") else "serviceAccount"
            hint = nearest(w.account, known)
            say = f"the ServiceAccount {w.account} is not among the manifests{hint}"
            yield Hit(w.manifest, w.path(key), say, ERROR if hint else WARNING)


@check(
    "LT-RBAC-036",
    "deprecated field serviceAccount",
    WARNING,
    why="serviceAccount is an old alias; when both fields differ, people and tools read different ones.",
    fix="use serviceAccountName",
)
def old_field(world: World) -> Iterator[Hit]:
    for w in world.workloads:
        old, new = w.pod.get("serviceAccount"), w.pod.get("serviceAccountName")
        if old and old != new:
            path = w.path("serviceAccount")
            edits = (Edit(path, None), Edit(w.path("serviceAccountName"), old)) if not new else ()
            yield Hit(w.manifest, path, "the pods use the deprecated field serviceAccount", None, edits)


@check(
    "LT-RBAC-037",
    "one ServiceAccount for several services",
    WARNING,
    why="Services that share an account share every right, and policies of the mesh cannot tell them apart.",
    fix="give each service a ServiceAccount of its own",
)
def shared_account(world: World) -> Iterator[Hit]:
    users = defaultdict(list)
    for w in world.serving:
        if w.account != "default":
            users[w.namespace, w.account].append(w)
    for (_, account), workloads in users.items():
        found = services(world, workloads)
        if len(found) > 1:
            names = ", ".join(w.name for w in found)
            yield Hit(found[1].manifest, found[1].path("serviceAccountName"), f"the ServiceAccount {account} is shared by {names}")


def _bindings(world: World) -> Iterator[tuple[Manifest, dict[str, Any]]]:
    for binding in world.kind(*_BINDINGS):
        if not binding.name.startswith("system:") and binding.name != "cluster-admin":
            yield binding, mapping(binding.data.get("roleRef"))


def _bound_accounts(world: World) -> Iterator[tuple[Manifest, str, str]]:
    for binding, _ in _bindings(world):
        for s in maps(binding.data.get("subjects")):
            if s.get("kind") == "ServiceAccount":
                yield binding, str(s.get("namespace") or world.namespace(binding)), str(s.get("name"))


@check(
    "LT-RBAC-038",
    "bound to cluster-admin",
    ERROR,
    why="cluster-admin may do everything: a leak of this identity is a leak of the cluster.",
    fix="bind a role with the rights that are needed",
)
def cluster_admin(world: World) -> Iterator[Hit]:
    for binding, ref in _bindings(world):
        if ref.get("name") == "cluster-admin":
            who = ", ".join(str(s.get("name")) for s in maps(binding.data.get("subjects"))) or "nobody yet"
            yield Hit(binding, ("roleRef", "name"), f"{who}: bound to cluster-admin")


@check(
    "LT-RBAC-039",
    "wildcard in a rule",
    ERROR,
    why="A wildcard allows what nobody thought of, and what a later version adds.",
    fix="name the API groups, resources and verbs that are needed",
)
def wildcard(world: World) -> Iterator[Hit]:
    for role, i, rule in _rules(world):
        wild = [key for key in ("apiGroups", "resources", "verbs") if "*" in (rule.get(key) or ())]
        if "resources" in wild or "verbs" in wild:
            severity = ERROR if len(wild) > 1 else WARNING
            yield Hit(role, ("rules", i, wild[-1]), f"the role allows every one of: {', '.join(wild)}", severity)


@check(
    "LT-RBAC-040",
    "may read Secrets",
    WARNING,
    why="Who can get or list Secrets has every credential of the namespace (or of the cluster).",
    fix="name the Secrets (resourceNames, verb get), or mount them instead",
)
def read_secrets(world: World) -> Iterator[Hit]:
    return _say(_grants(world, "", ("secrets",), READ), "may read Secrets")


@check(
    "LT-RBAC-041",
    "may create pods",
    WARNING,
    why="Who creates pods runs as any ServiceAccount of the namespace and mounts any Secret of it.",
    fix="leave it to the workload controllers, or to a namespace of its own",
)
def create_pods(world: World) -> Iterator[Hit]:
    return _say(_grants(world, "", ("pods",), ("create",)), "may create pods")


@check(
    "LT-RBAC-042",
    "may exec into pods",
    WARNING,
    why="exec and attach run commands in any container of the namespace, with its secrets and its identity.",
    fix="remove pods/exec and pods/attach; give them to people, for a time",
)
def exec_pods(world: World) -> Iterator[Hit]:
    return _say(_grants(world, "", ("pods/exec", "pods/attach"), ("create", "get")), "may run commands in pods")


@check(
    "LT-RBAC-043",
    "may raise its own rights",
    ERROR,
    why="escalate, bind and impersonate let their holder become anybody.",
    fix="remove the verbs",
)
def escalate(world: World) -> Iterator[Hit]:
    for role, i, rule in _rules(world):
        found = [v for v in ("escalate", "bind", "impersonate") if v in (rule.get("verbs") or ())]
        if found and not rule.get("resourceNames"):
            yield Hit(role, ("rules", i, "verbs"), f"the role may {', '.join(found)}")


@check(
    "LT-RBAC-044",
    "may reach the kubelet",
    ERROR,
    why="nodes/proxy reaches every pod of every node without audit: it is root on the nodes.",
    fix="remove nodes/proxy; metrics need nodes/metrics",
)
def node_proxy(world: World) -> Iterator[Hit]:
    return _say(_grants(world, "", ("nodes/proxy",), (*READ, *WRITE)), "may use nodes/proxy")


_WEBHOOKS = ("validatingwebhookconfigurations", "mutatingwebhookconfigurations")


@check(
    "LT-RBAC-045",
    "may change admission webhooks",
    WARNING,
    why="A mutating webhook sees and changes every object that is written, Secrets included.",
    fix="remove it, or limit it with resourceNames",
)
def webhooks(world: World) -> Iterator[Hit]:
    return _say(_grants(world, "admissionregistration.k8s.io", _WEBHOOKS, WRITE), "may change admission webhooks")


@check(
    "LT-RBAC-046",
    "may approve certificates",
    WARNING,
    why="Who approves certificate requests makes client certificates for any user.",
    fix="leave approval to the cluster's administrators",
)
def approve(world: World) -> Iterator[Hit]:
    found = _grants(world, "certificates.k8s.io", ("certificatesigningrequests/approval",), ("update", "patch"))
    return _say(found, "may approve certificate requests")


@check(
    "LT-RBAC-047",
    "may issue ServiceAccount tokens",
    WARNING,
    why="Who creates tokens becomes any ServiceAccount of the namespace.",
    fix="limit it with resourceNames to the account in question",
)
def tokens(world: World) -> Iterator[Hit]:
    return _say(_grants(world, "", ("serviceaccounts/token",), ("create",)), "may issue tokens of ServiceAccounts")


@check(
    "LT-RBAC-048",
    "may create PersistentVolumes",
    WARNING,
    why="A PersistentVolume can be a path of the node: with a claim, every file of the node is readable.",
    fix="leave volumes to the provisioner; create claims",
)
def volumes(world: World) -> Iterator[Hit]:
    return _say(_grants(world, "", ("persistentvolumes",), ("create",)), "may create PersistentVolumes")


@check(
    "LT-RBAC-049",
    "bound to everybody",
    ERROR,
    why="system:masters cannot be taken back; system:unauthenticated and system:authenticated are the whole world.",
    fix="bind the users, groups or accounts that need it",
)
def everybody(world: World) -> Iterator[Hit]:
    groups = ("system:masters", "system:unauthenticated", "system:authenticated", "system:anonymous", "system:serviceaccounts")
    for binding, _ in _bindings(world):
        for i, s in enumerate(maps(binding.data.get("subjects"))):
            if s.get("name") in groups:
                yield Hit(binding, ("subjects", i, "name"), f"the binding gives rights to {s['name']}")


@check(
    "LT-RBAC-050",
    "may delete events",
    WARNING,
    why="Events are the record of what happened; who deletes them hides it.",
    fix="remove the verbs delete and deletecollection",
)
def events(world: World) -> Iterator[Hit]:
    for group in ("", "events.k8s.io"):
        yield from _say(_grants(world, group, ("events",), ("delete", "deletecollection")), "may delete events")


@check(
    "LT-RBAC-051",
    "may forward ports",
    WARNING,
    why="A forwarded port reaches a pod past every NetworkPolicy.",
    fix="remove pods/portforward; give it to people, for a time",
)
def port_forward(world: World) -> Iterator[Hit]:
    return _say(_grants(world, "", ("pods/portforward",), ("create", "get")), "may forward ports of pods")


@check(
    "LT-RBAC-052",
    "may edit endpoints",
    WARNING,
    why="Who edits endpoints sends the traffic of a Service elsewhere.",
    fix="remove it; controllers write endpoints",
)
def endpoints(world: World) -> Iterator[Hit]:
    for group, name in (("", "endpoints"), ("discovery.k8s.io", "endpointslices")):
        yield from _say(_grants(world, group, (name,), ("create", "update", "patch")), f"may edit {name}")


@check(
    "LT-RBAC-213",
    "binding to a role that does not exist",
    WARNING,
    why="The binding gives nothing: what relies on it is refused at run time.",
    fix="create the role, or correct roleRef",
)
def missing_role(world: World) -> Iterator[Hit]:
    for binding, ref in _bindings(world):
        kind, name = str(ref.get("kind")), str(ref.get("name"))
        if name in (*_OF_KUBERNETES, "extension-apiserver-authentication-reader") or name.startswith("system:"):
            continue
        known = world.names("Role", world.namespace(binding)) if kind == "Role" else [m.name for m in world.kind("ClusterRole")]
        if name not in known:
            hint = nearest(name, known)
            if kind == "Role" or hint or not known:
                yield Hit(binding, ("roleRef", "name"), f"the {kind} {name} is not among the manifests{hint}")


@check(
    "LT-RBAC-214",
    "binding to a ServiceAccount that does not exist",
    WARNING,
    why="The right goes to nobody, or to whoever creates an account of that name.",
    fix="correct the subject's name and namespace, or remove the binding",
)
def missing_subject(world: World) -> Iterator[Hit]:
    namespaces = {world.namespace(m) for m in world.kind("ServiceAccount")}
    for binding in world.kind(*_BINDINGS):
        for i, s in enumerate(maps(binding.data.get("subjects"))):
            namespace, name = str(s.get("namespace") or world.namespace(binding)), str(s.get("name"))
            if s.get("kind") != "ServiceAccount" or name == "default" or namespace not in namespaces:
                continue
            if world.get("ServiceAccount", namespace, name) is None:
                hint = nearest(name, world.names("ServiceAccount", namespace))
                yield Hit(
                    binding, ("subjects", i, "name"), f"the ServiceAccount {namespace}/{name} is not among the manifests{hint}"
                )


@check(
    "LT-RBAC-215",
    "may change roles",
    WARNING,
    why="Who writes roles and bindings decides what everybody may do; together with bind or escalate that is everything.",
    fix="leave roles to the delivery pipeline",
)
def change_roles(world: World) -> Iterator[Hit]:
    found = _grants(world, "rbac.authorization.k8s.io", ("roles", "clusterroles", "rolebindings", "clusterrolebindings"), WRITE)
    return _say(found, "may change roles or bindings")
