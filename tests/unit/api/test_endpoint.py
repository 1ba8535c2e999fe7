"""Reading a request: its credential, and its body within limits."""

import asyncio
from collections.abc import Iterable
from typing import Any

import pytest

from proof.api.endpoint import presented_token, query_fields
from proof.api.http import read_body
from proof.core.errors import InvalidInputError, TooLargeError
from proof.partners.errors import InvalidTokenError


@pytest.mark.parametrize(
    ("headers", "token"),
    [
        ([], None),
        ([(b"x-api-key", b"one")], "one"),
        ([(b"authorization", b"Bearer one")], "one"),
        ([(b"authorization", b"bearer  one ")], "one"),
        ([(b"authorization", b"Basic b25l")], None),
        ([(b"authorization", b"Bearer")], None),
        ([(b"x-api-key", b"one"), (b"authorization", b"Bearer one")], "one"),
        ([(b"x-api-key", b"")], ""),
        ([(b"cookie", b"x-api-key=one")], None),
    ],
)
def test_the_credential_is_found_in_either_header(
    headers: list[tuple[bytes, bytes]], token: str | None
) -> None:
    assert presented_token(headers) == token


@pytest.mark.parametrize("second", [(b"authorization", b"Bearer two"), (b"x-api-key", b"two")])
def test_two_different_credentials_are_refused(second: tuple[bytes, bytes]) -> None:
    with pytest.raises(InvalidTokenError):
        presented_token([(b"x-api-key", b"one"), second])


class Wire:
    """Plays ASGI messages and counts how many were asked for."""

    def __init__(self, *chunks: bytes, ends: bool = True) -> None:
        self._messages: list[dict[str, Any]] = [
            {"type": "http.request", "body": chunk, "more_body": at < len(chunks) - 1 or not ends}
            for at, chunk in enumerate(chunks)
        ]
        self._messages.append({"type": "http.disconnect"})
        self.read = 0

    async def receive(self) -> dict[str, Any]:
        self.read += 1
        return self._messages.pop(0)


def read(wire: Wire, limit: int, headers: Iterable[tuple[bytes, bytes]] = ()) -> bytes:
    return asyncio.run(read_body({"headers": list(headers)}, wire.receive, limit))


@pytest.mark.parametrize("chunks", [(b"",), (b"0123456789",), (b"01234", b"", b"56789")])
def test_a_body_up_to_the_limit_is_whole(chunks: tuple[bytes, ...]) -> None:
    assert read(Wire(*chunks), 10) == b"".join(chunks)


@pytest.mark.parametrize("length", [b"11", b"9" * 18, b"9" * 5000, b"-1", b"x", b"", b"1e1"])
def test_an_announced_length_over_the_limit_is_refused_unread(length: bytes) -> None:
    wire = Wire(b"0123456789")
    with pytest.raises(TooLargeError):
        read(wire, 10, [(b"content-length", length)])
    assert wire.read == 0


def test_a_body_without_length_is_refused_once_over_the_limit() -> None:
    wire = Wire(*[b"0123"] * 1000)
    with pytest.raises(TooLargeError):
        read(wire, 10)
    assert wire.read <= 3


def test_one_message_over_the_limit_is_refused() -> None:
    with pytest.raises(TooLargeError):
        read(Wire(bytes(11)), 10)


def test_a_body_that_breaks_off_is_refused() -> None:
    with pytest.raises(InvalidInputError, match="ended early"):
        read(Wire(b"01", b"23", ends=False), 10)


@pytest.mark.parametrize("query", [b"a=1&a=1", b"a=1&b=2&a=", b"a=1&%61=2", b"a&a"])
def test_a_query_that_says_something_twice_is_refused(query: bytes) -> None:
    with pytest.raises(InvalidInputError, match="twice"):
        query_fields(query)


def test_a_query_is_its_fields() -> None:
    assert query_fields(b"a=1&b=&c=x%26y") == {"a": "1", "b": "", "c": "x&y"}
