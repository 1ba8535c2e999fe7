"""Sealing of secrets that must be readable again: AES-256-GCM under a key-encryption key.

A sealed secret is `01 ‖ key id (8) ‖ nonce (12) ‖ ciphertext and tag`. The identity of the record it
belongs to is associated data, so a sealed value moved to another row does not open.
"""

import base64
import hashlib
import os
from collections.abc import Iterable

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from proof.core.errors import ProofError

KEY_BYTES = 32
_VERSION = b"\x01"
_ID_BYTES = 8
_NONCE_BYTES = 12


class SealError(ProofError):
    """A sealed secret does not open: unknown key, altered bytes or another record's."""


class Vault:
    """Seals under the first key; opens under any of them, which is what rotation needs."""

    def __init__(self, keys: Iterable[bytes]) -> None:
        self._ciphers = {_key_id(key): AESGCM(_sized(key)) for key in keys}
        if not self._ciphers:
            raise ValueError("a vault needs at least one key-encryption key")
        self._newest = next(iter(self._ciphers))

    def __repr__(self) -> str:
        return f"Vault({len(self._ciphers)} keys)"

    @property
    def newest_id(self) -> bytes:
        """The id of the key that seals, 8 bytes; it tells nothing about the key."""
        return self._newest

    def seal(self, secret: bytes, identity: str) -> bytes:
        """Encrypt `secret` for the record named `identity`."""
        nonce = os.urandom(_NONCE_BYTES)
        sealed = self._ciphers[self._newest].encrypt(nonce, secret, identity.encode())
        return _VERSION + self._newest + nonce + sealed

    def open(self, sealed: bytes, identity: str) -> bytes:
        """Decrypt what `seal` made for the same identity; raises SealError otherwise."""
        key_id, rest = sealed[1 : 1 + _ID_BYTES], sealed[1 + _ID_BYTES :]
        cipher = self._ciphers.get(key_id) if sealed[:1] == _VERSION else None
        if cipher is None:
            raise SealError(f"no key-encryption key at hand opens {identity}")
        try:
            return cipher.decrypt(rest[:_NONCE_BYTES], rest[_NONCE_BYTES:], identity.encode())
        except (InvalidTag, ValueError):  # ValueError: bytes too short for a nonce
            raise SealError(f"the sealed bytes of {identity} were altered or moved") from None

    def reseal(self, sealed: bytes, identity: str) -> bytes:
        """The same secret under the newest key; raises SealError when it does not open."""
        return self.seal(self.open(sealed, identity), identity)


def parse_key(text: str) -> bytes:
    """A key-encryption key from 64 hexadecimal digits or standard base64 of 32 bytes.

    White space around it is ignored. Raises ValueError, which never holds the text.
    """
    stripped = text.strip()
    for decode in (bytes.fromhex, _base64):
        try:
            key = decode(stripped)
        except ValueError:
            continue
        if len(key) == KEY_BYTES:
            return key
    raise ValueError(f"not {KEY_BYTES} bytes in hexadecimal or base64")


def _base64(text: str) -> bytes:
    return base64.b64decode(text, validate=True)


def _key_id(key: bytes) -> bytes:
    return hashlib.sha256(b"proof key-encryption key id" + key).digest()[:_ID_BYTES]


def _sized(key: bytes) -> bytes:
    if len(key) != KEY_BYTES:
        raise ValueError(f"a key-encryption key has {KEY_BYTES} bytes, not {len(key)}")
    return key
