"""`python -m proof.verify`, and the entry of `proof-verify.pyz`."""

import sys

from proof.verify.cli import run

if __name__ == "__main__":
    sys.exit(run())
