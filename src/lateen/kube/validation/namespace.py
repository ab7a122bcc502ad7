"""Namespace: its name is a label of DNS names."""

from __future__ import annotations

from lateen.kube import names
from lateen.kube.meta import Object
from lateen.kube.validation.base import Errors, metadata


def namespace(obj: Object, old: Object | None) -> Errors:
    """Namespace."""
    yield from metadata(obj, names.dns_label)
