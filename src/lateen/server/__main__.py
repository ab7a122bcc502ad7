"""``python -m lateen.server``: the daemon. Started by ``lateen cluster start``; see ``control`` for how it reports."""

from __future__ import annotations

import sys

from lateen.server.daemon import main

sys.exit(main(sys.argv[1:]))
