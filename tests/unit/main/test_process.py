"""What the processes of a server have loaded for as long as they run."""

import subprocess
import sys

import pytest

# In place of a part of a server: what it imports, and the names of what should not be there then.
PROGRAM = """
import sys
from proof.main.server import process

def ended(options):
    {imports}
    print(*(name for name in {unwanted} if sys.modules.get(name)))
    return 0

process._PARTS["serve"] = ended
sys.exit(process.run("serve"))
"""
COMMANDS = ["typer", "rich", "proof.cli.output", "proof.main.commands"]
PREPARING = ["aiohttp", "uvicorn", "starlette", "uvloop", "proof.main.checks.preconditions"]


@pytest.mark.parametrize(
    ("imports", "unwanted"),
    [
        ("import proof.main.server.supervise", [*COMMANDS, *PREPARING]),
        (
            "import proof.main.server.processes, proof.main.checks.preconditions",
            [*COMMANDS, "uvloop"],
        ),
        ("import proof.main.server.worker, proof.main.checks.preconditions", COMMANDS),
    ],
    ids=["serve", "api", "worker"],
)
def test_a_process_has_nothing_loaded_that_it_does_without(
    imports: str, unwanted: list[str]
) -> None:
    program = PROGRAM.format(imports=imports, unwanted=unwanted)
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == []
