"""Kinds of which only metadata is checked here: ServiceAccount, and every kind without a file of its own."""

from __future__ import annotations

from lateen.kube import names
from lateen.kube.meta import Object
from lateen.kube.validation.base import Errors, metadata

# These groups are served by extensions of the API server, which use the general rules of metadata alone.
_EXTENSIONS = ("apiextensions.k8s.io/", "apiregistration.k8s.io/")


def plain(obj: Object, old: Object | None) -> Errors:
    """Metadata, with a DNS subdomain as name."""
    yield from metadata(obj, names.dns_subdomain, own_finalizers=_own(obj))


def path_named(obj: Object, old: Object | None) -> Errors:
    """Metadata, with any name that a URL path can hold."""
    yield from metadata(obj, names.path_segment, own_finalizers=_own(obj))


def _own(obj: Object) -> bool:
    return not str(obj.get("apiVersion")).startswith(_EXTENSIONS)
