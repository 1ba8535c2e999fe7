"""The `proof` command in this process. Making all of its parts takes longer than most commands do."""

from typer.main import get_command

from proof.main.commands import application
from proof.main.installation import LocalInstallation

PROOF = application(LocalInstallation)
"""To invoke."""

COMMAND = get_command(PROOF)
"""To walk through."""
