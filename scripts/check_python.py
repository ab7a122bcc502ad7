"""Refuse an old Python before anything is installed, in words. Runs on any Python 3."""

import sys

if sys.version_info < (3, 11):
    sys.exit(
        "lateen needs Python 3.11 or newer; %s is %s.\nInstall a newer one and run: make PYTHON=python3.12 ..."
        % (sys.executable, sys.version.split()[0])
    )
try:
    import ensurepip  # noqa: F401 - its absence is what is looked for
except ImportError:
    sys.exit("this Python has no venv support (ensurepip is missing).\nOn Debian: apt-get install python3-venv")
