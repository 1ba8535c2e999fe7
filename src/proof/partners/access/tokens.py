"""Credentials: `proof_live_<keyid>_<secret>_<crc>`, or `proof_test_…` in the sandbox.

The key id (72 bits) finds the row, the secret (256 bits) is the proof of possession, the CRC-32 over
everything before it lets a scanner or a person tell a real token from a mistyped one offline.
"""

import hashlib
import re
from typing import NamedTuple

from proof.core.ids import base62_width, checksum, random_base62
from proof.partners.types import Environment

KEY_ID_BITS = 72

SECRET_BITS = 256

_KEY_ID = slice(len("proof_live_"), len("proof_live_") + base62_width(KEY_ID_BITS))

_LENGTH = _KEY_ID.stop + len("_") + base62_width(SECRET_BITS) + len("_") + 6

_MARKS = {Environment.PRODUCTION: "live", Environment.SANDBOX: "test"}

_SHAPE = re.compile(
    r"proof_(live|test)"
    rf"_([0-9A-Za-z]{{{base62_width(KEY_ID_BITS)}}})"
    rf"_([0-9A-Za-z]{{{base62_width(SECRET_BITS)}}})"
    r"_([0-9A-Za-z]{6})"
)


class NewToken(NamedTuple):
    """A token just made: `text` goes to the partner, the rest into the database."""

    text: str
    key_id: str
    sha256: bytes


class ParsedToken(NamedTuple):
    """A token as presented, with nothing yet proved about it."""

    environment: Environment
    key_id: str
    sha256: bytes


def new_token(environment: Environment) -> NewToken:
    """A fresh credential for one environment."""
    key_id = random_base62(KEY_ID_BITS)
    head = f"proof_{_MARKS[environment]}_{key_id}_{random_base62(SECRET_BITS)}"
    text = f"{head}_{checksum(head)}"
    return NewToken(text, key_id, hashlib.sha256(text.encode()).digest())


def is_key_id(text: str) -> bool:
    """Whether a text has the form of a key id."""
    return len(text) == base62_width(KEY_ID_BITS) and text.isascii() and text.isalnum()


def presented(text: str) -> tuple[str, bytes] | None:
    """Key id and SHA-256 of what may be a token; None for what has not even the length of one.

    Nothing else is checked: whose hash is stored is a token, whatever the text looks like.
    """
    if len(text) != _LENGTH:
        return None
    return text[_KEY_ID], hashlib.sha256(text.encode()).digest()


def parse_token(text: str) -> ParsedToken | None:
    """The parts of a well-formed token whose checksum holds; None for anything else."""
    match = _SHAPE.fullmatch(text)
    if match is None:
        return None
    head = text.rpartition("_")[0]
    if checksum(head) != match[4]:
        return None
    environment = Environment.PRODUCTION if match[1] == "live" else Environment.SANDBOX
    return ParsedToken(environment, match[2], hashlib.sha256(text.encode()).digest())
