"""The composition roots: what reads settings and puts the parts together."""

import gc
import sys


def cli() -> None:
    """The `proof` command."""
    # All that is imported stays: looking for garbage in it takes an eighth of what most commands take.
    gc.disable()
    first_word = next(iter(sys.argv[1:]), "")
    try:
        from proof.main.commands import application
        from proof.main.installation import LocalInstallation
    except ModuleNotFoundError as error:
        raise SystemExit(
            f"proof: {error.name} is missing; install Proof with its dependencies, as docs/howto/release.md"
            " shows\n(the verifier alone needs nothing: python -m proof.verify --help)"
        ) from None
    commands = application(LocalInstallation, first_word)
    gc.freeze()
    gc.enable()
    commands()


__all__ = ["cli"]
