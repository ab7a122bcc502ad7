"""Who set which field: managedFields, and server-side apply on top of it. Pure; time is passed in.

Follows sigs.k8s.io/structured-merge-diff. Sets of fields are kept in their FieldsV1 form throughout (``fieldset``).
``track`` records what an ordinary write changed, ``apply`` merges an applied configuration.
"""

from lateen.kube.managedfields.apply import apply
from lateen.kube.managedfields.track import track

__all__ = ["apply", "track"]
