"""Query and path parameters as values; what is wrong is named."""

from collections.abc import Mapping
from datetime import UTC, datetime
from enum import StrEnum
from typing import TypeVar
from uuid import UUID

from proof.core.errors import InvalidInputError, NotFoundError
from proof.partners.types import Environment

Choice = TypeVar("Choice", bound=StrEnum)
Default = TypeVar("Default", int, None)

# Every number with this many digits fits PostgreSQL's bigint.
DIGITS_MAX = 18
_SHOWN = 40


def whole_number(
    parameters: Mapping[str, str], name: str, default: Default, least: int, most: int
) -> int | Default:
    """The number in decimal ASCII digits, `default` when there is none. Raises InvalidInputError."""
    text = parameters.get(name)
    if text is None:
        return default
    if text.isascii() and text.isdigit() and len(text) <= DIGITS_MAX:
        number = int(text)
        if least <= number <= most:
            return number
    raise InvalidInputError(f"{name}: a whole number from {least} to {most} is required")


def environment(path: Mapping[str, str]) -> Environment:
    """The environment that the path names. Raises NotFoundError for what is none."""
    name = path["environment"]
    if name not in list(Environment):
        raise NotFoundError(f"there are the environments {' and '.join(Environment)}")
    return Environment(name)


def uuid(parameters: Mapping[str, str], name: str) -> UUID | None:
    """The UUID, None when there is none. Raises InvalidInputError."""
    try:
        return UUID(parameters[name]) if name in parameters else None
    except ValueError:
        raise InvalidInputError(f"{name}: a UUID is required") from None


def moment(parameters: Mapping[str, str], name: str) -> datetime | None:
    """The time in ISO 8601 with its offset, in UTC; None when there is none. Raises InvalidInputError."""
    text = parameters.get(name)
    if text is None:
        return None
    try:
        found = datetime.fromisoformat(text)
        if found.tzinfo is not None:
            return found.astimezone(UTC)
    except (ValueError, OverflowError):
        pass
    raise InvalidInputError(f"{name}: a time like 2026-11-21T08:00:00Z is required")


def printable_text(parameters: Mapping[str, str], name: str) -> str | None:
    """The text, None when there is none. Raises InvalidInputError for what no stored text can hold."""
    text = parameters.get(name)
    if text is not None and not text.isprintable():
        raise InvalidInputError(f"{name}: printable characters are required")
    return text


def choice(parameters: Mapping[str, str], name: str, choices: type[Choice]) -> Choice | None:
    """One of the choices, None when there is none. Raises InvalidInputError that lists them."""
    text = parameters.get(name)
    if text is None:
        return None
    try:
        return choices(text)
    except ValueError:
        listed = ", ".join(choices)
        raise InvalidInputError(
            f"{name}: one of {listed} is required, not {text[:_SHOWN]!r}"
        ) from None
