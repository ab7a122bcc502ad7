"""Generated applications, rendered, are adopted again: what comes back renders to the same objects."""

from __future__ import annotations

import json
from typing import Any

import models
from adopted import proven
from hypothesis import HealthCheck, Phase, assume, given, reject, settings

from lateen.adopt.manifests.app import adopt
from lateen.adopt.manifests.objects import Given
from lateen.kube.yamltext import Source
from lateen.model import load
from lateen.render import render
from lateen.render.hidden import withheld

COUNT = 40


@settings(
    max_examples=COUNT,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)
@given(models.applications())
def test_what_generated_applications_render_is_adopted(model: dict[str, Any]) -> None:
    try:
        app = load([Source("lateen.yaml", json.dumps(model, ensure_ascii=False))])
    except ExceptionGroup:
        reject()
    objects, _ = withheld(render(app))
    assume(any(o["kind"] in ("Deployment", "StatefulSet", "DaemonSet", "Job", "CronJob") for o in objects))
    proven(objects, adopt([Given(o, "") for o in objects], name="app"))
