"""`python -m driftax`."""

import sys

from driftax.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
