"""Naming the field an error is about."""

from collections.abc import Iterator
from contextlib import contextmanager

from proof.core.errors import InvalidInputError


class InvalidFieldError(InvalidInputError):
    """The field at `path` is wrong: `production.wallets[0].address`."""

    def __init__(self, path: str, fact: str) -> None:
        super().__init__(f"{path}: {fact}")
        self.path = path
        self.fact = fact


@contextmanager
def field(name: str) -> Iterator[None]:
    """Whatever is found invalid inside is so in the field `name`."""
    try:
        yield
    except InvalidFieldError as error:
        raise InvalidFieldError(f"{name}.{error.path}", error.fact) from None
    except InvalidInputError as error:
        raise InvalidFieldError(name, error.message) from None
