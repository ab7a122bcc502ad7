"""Model to Kubernetes objects. Pure and deterministic: ``lateen render`` prints the result, ``lateen up`` applies it.

``render(app, images=..., files=...)`` gives plain dictionaries in a stable order; ``to_yaml`` gives their bytes.
Resolving images and reading files is left to the caller (``files_needed`` says which).
"""

from lateen.render.app import render, to_yaml
from lateen.render.volumes import files_needed

__all__ = ["files_needed", "render", "to_yaml"]
