"""Arguments that several commands take: partners, environments, and times as people write them."""

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated

import typer

from proof.core.clock import SystemClock
from proof.core.errors import InvalidInputError
from proof.partners.types import CredentialKind, Environment

Partner = Annotated[str, typer.Argument(help="The partner's id, ptr_…", metavar="PARTNER")]
Env = Annotated[Environment, typer.Option("--env", help="Environment.")]
Kind = Annotated[CredentialKind, typer.Option("--kind", help="Kind of token.")]
Data = Annotated[
    Path | None,
    typer.Option("--data", help="Folder of keys and database. [PROOF_DATA_DIR, default: data]"),
]
Host = Annotated[str | None, typer.Option(help="Address to listen on. [PROOF_HOST]")]
Port = Annotated[int | None, typer.Option(help="Port to listen on; 0 picks one. [PROOF_PORT]")]
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
_DURATION = re.compile(r"(\d{1,6})([smhd])")


def parse_duration(option: str, text: str) -> timedelta:
    """A whole number and its unit, or 0. Raises InvalidInputError that names the option."""
    if text == "0":
        return timedelta(0)
    found = _DURATION.fullmatch(text)
    if found is None:
        raise InvalidInputError(f"{option}: {text!r} is not a time; write one like 90m, 24h or 7d")
    return timedelta(**{_UNITS[found[2]]: int(found[1])})


def optional_moment(option: str, text: str | None) -> datetime | None:
    """The same as `parse_moment` by this machine's clock; None when the option was not given."""
    return None if text is None else parse_moment(option, text, SystemClock().now())


def parse_moment(option: str, text: str, now: datetime) -> datetime:
    """How long before `now`, or a date or time in ISO 8601, UTC unless it says otherwise.

    Raises InvalidInputError that names the option.
    """
    try:
        if _DURATION.fullmatch(text):
            return now - parse_duration(option, text)
        moment = datetime.fromisoformat(text)
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError):
        raise InvalidInputError(
            f"{option}: {text!r} is no moment; write a time like 90m, 24h or 7d, or a date or time"
            " in ISO 8601"
        ) from None
