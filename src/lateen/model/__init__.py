"""What users declare: the application file ``lateen.yaml`` as typed data. Pure: texts in, an Application or collected errors out.

``load`` is the way in for the CLI; ``render`` reads the result. Reading files, and resolving images, is left to the callers.
"""

from lateen.kube.yamltext import Source
from lateen.model.application import App, Application
from lateen.model.load import again, every, load
from lateen.model.schema import schema
from lateen.model.service import Service

__all__ = ["App", "Application", "Service", "Source", "again", "every", "load", "schema"]
