"""Other sources of an application: each becomes the tree of an application file, with the places of the original kept.

A source per module. What a source says and the model cannot carry comes back as a list of Losses, never in silence. Called by the
CLI (``lateen adopt``, and ``up`` on a Compose or Score file); the tree goes through ``model.load`` like any other, so faults found
there point into the original file.
"""

from lateen.adopt.nodes import Imported as Imported
from lateen.adopt.nodes import Loss as Loss
