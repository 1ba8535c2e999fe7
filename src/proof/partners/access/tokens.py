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

_PREFIXES = {Environment.PRODUCTION: "proof_live_", Environment.SANDBOX: "proof_test_"}
OPERATOR_PREFIX = "proof_ops_"
WEBHOOK_PREFIX = "whsec_"
# The prefixes of everything that no log and no audit entry may hold; a key id alone is no secret.
SECRET_PREFIXES = (*_PREFIXES.values(), OPERATOR_PREFIX, WEBHOOK_PREFIX)

_PREFIX_LENGTH = len(_PREFIXES[Environment.PRODUCTION])
_KEY_ID = slice(_PREFIX_LENGTH, _PREFIX_LENGTH + base62_width(KEY_ID_BITS))

_LENGTH = _KEY_ID.stop + len("_") + base62_width(SECRET_BITS) + len("_") + 6

# The pattern of what follows the prefix: key id, secret and checksum.
TOKEN_PARTS = (
    rf"([0-9A-Za-z]{{{base62_width(KEY_ID_BITS)}}})"
    rf"_([0-9A-Za-z]{{{base62_width(SECRET_BITS)}}})"
    r"_([0-9A-Za-z]{6})"
)
_SHAPE = re.compile(f"({'|'.join(_PREFIXES.values())}){TOKEN_PARTS}")


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
    head = f"{_PREFIXES[environment]}{key_id}_{random_base62(SECRET_BITS)}"
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
    environment = next(each for each, prefix in _PREFIXES.items() if prefix == match[1])
    return ParsedToken(environment, match[2], hashlib.sha256(text.encode()).digest())
