"""The virtual resources by storage collection."""

from __future__ import annotations

from collections.abc import Mapping

from lateen.cluster.api.call import Verb
from lateen.cluster.api.subresources.binding import bind_named
from lateen.cluster.api.virtual import authentication, authorization, metrics

VIRTUAL: Mapping[str, Verb] = {
    "authentication.k8s.io/selfsubjectreviews": authentication.self_subject_review,
    "authentication.k8s.io/tokenreviews": authentication.token_review,
    "authorization.k8s.io/selfsubjectaccessreviews": authorization.self_subject_access_review,
    "authorization.k8s.io/subjectaccessreviews": authorization.subject_access_review,
    "authorization.k8s.io/localsubjectaccessreviews": authorization.local_subject_access_review,
    "authorization.k8s.io/selfsubjectrulesreviews": authorization.self_subject_rules_review,
    "core/bindings": bind_named,
}

# Read-only collections that are made when they are asked for.
COMPUTED: Mapping[str, Verb] = {"metrics.k8s.io/nodes": metrics.nodes, "metrics.k8s.io/pods": metrics.pods}
