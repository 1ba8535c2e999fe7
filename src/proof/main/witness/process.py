"""`python -m proof.main.witness.process FOLDER HOST PORT STATE`: what `proof witness serve` becomes.

A witness answers for years on the smallest machine there is, so its process has nothing of the commands
loaded, which would make it a third larger.
"""

import sys
from pathlib import Path


def run(folder: str, host: str, port: str, state: str) -> int:
    """Serve until told to stop; exit code 2 when it cannot start. `state` may be empty."""
    # structlog would load it to draw tracebacks in a terminal: 5 MB that JSON lines do without.
    sys.modules["rich"] = None  # type: ignore[assignment]
    from proof.main.witness.serving import serve_witness
    from proof.witness.errors import StoreError, WitnessError

    try:
        serve_witness(Path(folder), host, int(port), Path(state) if state else None)
    except (StoreError, WitnessError) as error:
        sys.stderr.write(f"proof: {error.message}\n")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(run(*sys.argv[1:]))
