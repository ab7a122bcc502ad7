"""What pydantic cannot see: rules between fields and between services. Pure; each rule is a function that yields Problems."""

from __future__ import annotations

from lateen.model.application import Application
from lateen.model.problems import Problem
from lateen.model.rules import application, network, operation, service, texts


def problems(app: Application) -> list[Problem]:
    """Every fault of the application, in no particular order."""
    found = [*application.rules(app), *network.between(app)]
    for name, one in app.services.items():
        found += [*service.rules(name, one), *network.rules(name, one, app), *texts.rules(name, one, app)]
        found += operation.rules(name, one, app)
    return found
