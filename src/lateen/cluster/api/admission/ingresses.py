"""Ingresses without a class get the default one, the newest of several."""

from __future__ import annotations

from lateen.cluster.api.call import Backend, Call
from lateen.kube.meta import Object, annotations_of

_DEFAULT, _OLD = "ingressclass.kubernetes.io/is-default-class", "kubernetes.io/ingress.class"


def on_create(backend: Backend, call: Call, ingress: Object) -> None:
    """Fill in ``spec.ingressClassName``, in place; the annotation of old is a class as well."""
    spec = ingress.setdefault("spec", {})
    if "ingressClassName" in spec or _OLD in annotations_of(ingress):
        return
    known = backend.objects("networking.k8s.io", "v1", "ingressclasses")
    classes = [c for c in known if annotations_of(c).get(_DEFAULT) == "true"]
    if classes:
        oldest = sorted(classes, key=lambda c: c["metadata"]["name"])
        spec["ingressClassName"] = max(oldest, key=lambda c: str(c["metadata"]["creationTimestamp"]))["metadata"]["name"]
