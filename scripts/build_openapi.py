"""Write docs/openapi.json from the route list, or check that it is up to date.

python scripts/build_openapi.py [--check]
"""

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import cast

from proof.api.openapi import document
from proof.api.routes import routes
from proof.api.services import Services

DOCUMENT = Path(__file__).parent.parent / "docs" / "openapi.json"


def main() -> int:
    """The exit code: 1 when the committed document is not what the routes say."""
    # The handlers are only named, never called, so they need no services.
    unopened = cast("Services", SimpleNamespace(database=None))
    current = document(routes(unopened))
    if "--check" not in sys.argv[1:]:
        DOCUMENT.write_bytes(current)
        return 0
    if DOCUMENT.read_bytes() == current:
        return 0
    print("docs/openapi.json is not what the routes say; run: make openapi")
    return 1


if __name__ == "__main__":
    sys.exit(main())
