"""What selectors and templates of every workload have in common."""

from __future__ import annotations

from lateen.kube import selectors
from lateen.kube.meta import Object
from lateen.kube.validation.base import Errors, label_selector
from lateen.kube.validation.errors import invalid, required
from lateen.kube.validation.pod import template


def selected_template(spec: Object, what: str, *, restart: tuple[str, ...] = ("Always",)) -> Errors:
    """``spec.selector`` and the ``spec.template`` that it must select; ``what`` is the kind's word in the message."""
    selector = spec.get("selector")
    found = spec.get("template") or {}
    if selector is None:
        yield required("spec.selector")
    elif not selector.get("matchLabels") and not selector.get("matchExpressions"):
        yield invalid("spec.selector", selector, f"empty selector is invalid for {what}")
    else:
        wrong = list(label_selector(selector, "spec.selector"))
        yield from wrong
        labels = (found.get("metadata") or {}).get("labels") or {}
        if not wrong and not selectors.from_selector(selector)(labels):
            yield invalid("spec.template.metadata.labels", labels, "`selector` does not match template `labels`")
    yield from template(found, "spec.template", restart=restart)
