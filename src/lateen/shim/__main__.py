"""``python -m lateen.shim``."""

from lateen.shim.main import main

main()
