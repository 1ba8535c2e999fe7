"""The composition roots: what reads settings and puts the parts together."""

import gc
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from proof.cli.installation import Installation, ServerOptions


def cli() -> None:
    """The `proof` command."""
    # All that is imported stays: looking for garbage in it takes an eighth of what most commands take.
    gc.disable()
    first_word = next(iter(sys.argv[1:]), "")
    try:
        from proof.main.commands import application, needs_installation

        if needs_installation(first_word):
            from proof.main import installation  # noqa: F401 - now, while nothing looks for garbage
    except ModuleNotFoundError as error:
        raise SystemExit(
            f"proof: {error.name} is missing; install Proof with its dependencies, as docs/howto/release.md"
            " shows\n(the verifier alone needs nothing: python -m proof.verify --help)"
        ) from None
    commands = application(_open_installation, first_word)
    gc.freeze()
    gc.enable()
    commands()


def _open_installation(options: "ServerOptions") -> "Installation":
    from proof.main.installation import LocalInstallation

    return LocalInstallation(options)


__all__ = ["cli"]
