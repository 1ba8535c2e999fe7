"""The options that say which credential, allowlist or rate is meant."""

from typing import Annotated

import typer

from proof.partners.types import CredentialKind, Environment

Partner = Annotated[str, typer.Argument(help="The partner's id, ptr_…", metavar="PARTNER")]
Env = Annotated[Environment, typer.Option("--env", help="Environment.")]
Kind = Annotated[CredentialKind, typer.Option("--kind", help="Kind of token.")]
