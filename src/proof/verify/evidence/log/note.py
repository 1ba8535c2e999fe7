"""Signed notes and verifier keys: how a log signs, written and read.

Sources: c2sp.org/signed-note (format, verifier keys, key hash), c2sp.org/tlog-checkpoint (the
body), c2sp.org/tlog-cosignature@v1.1.0-rc.1 (types 0x04 and 0x06). The encoders are what a log's
server signs and sends; the parsers are for whoever checks it. Nothing here verifies a signature: see
`proof.verify.evidence.log.checkpoint`.
"""

import re
from base64 import b64encode
from binascii import a2b_base64, b2a_base64
from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import sha256
from typing import Final

from proof.verify.errors import (
    NoteFormatError,
    NoteTooLargeError,
    SignatureLineError,
    quoted,
)

LOG_KEY: Final = 0x01
"""Signature type of a log's own Ed25519 line."""

COSIGNER_KEY: Final = 0x04
"""Signature type of a timestamped Ed25519 cosignature."""

MLDSA_COSIGNER_KEY: Final = 0x06
"""Signature type of a timestamped ML-DSA-44 cosignature."""

COSIGNER_KEYS: Final = frozenset({COSIGNER_KEY, MLDSA_COSIGNER_KEY})

PUBLIC_KEY_BYTES: Final = {LOG_KEY: 32, COSIGNER_KEY: 32, MLDSA_COSIGNER_KEY: 1312}

SIGNATURE_BYTES: Final = {LOG_KEY: 64, COSIGNER_KEY: 64, MLDSA_COSIGNER_KEY: 2420}
"""Of the signature alone, without a cosignature's time."""

TIME_BYTES: Final = 8

MAX_TIME_S: Final = 2**63 - 1

# Room for 30 witnesses that sign with both of their keys; the format demands 16 signatures of nearly 5 kB.
MAX_NOTE_BYTES: Final = 128 * 1024

MAX_SIGNATURES: Final = 64


_KEY_HASH_BYTES: Final = 4

_MAX_SIGNED_NAME_BYTES: Final = (
    255  # what an ML-DSA-44 cosigner signs gives a name's length one byte
)

_SUBTREE_LABEL: Final = b"subtree/v1\n\0"

_LINE_PARTS: Final = 3

_key_hash_hex = re.compile(r"[0-9a-f]{8}").fullmatch

_name = re.compile(r"[^\s+\x00-\x1f]+").fullmatch  # \s: Unicode's spaces too

_CONTROLS: Final = bytes(each for each in range(0x20) if each != ord("\n"))


class VerifierKeyError(ValueError):
    """A verifier key is malformed. This faults the caller's key, not a proof."""


@dataclass(frozen=True, slots=True)
class VerifierKey:
    """A key the caller trusts: `public_key` has the bytes of its type, `key_hash` the 4 of `key_hash()`."""

    name: str
    key_type: int
    public_key: bytes
    key_hash: bytes


@dataclass(frozen=True, slots=True)
class SignatureLine:
    """One line of a note: `payload` is what follows the 4-byte key hash. Not yet verified."""

    name: str
    key_hash: bytes
    payload: bytes


@dataclass(frozen=True, slots=True)
class Note:
    """A parsed note: `body` is the signed text with its final newline. Not yet verified."""

    body: bytes
    signatures: tuple[SignatureLine, ...]


def key_hash(name: str, key_type: int, public_key: bytes) -> bytes:
    """The 4 bytes that identify a key beside its name: SHA-256(name || LF || type || key)[:4]."""
    return sha256(name.encode() + b"\n" + bytes([key_type]) + public_key).digest()[:4]


def verifier_key(name: str, key_type: int, public_key: bytes) -> str:
    """The key's text form `<name>+<8 hex>+<base64(type || public key)>`.

    Raises VerifierKeyError for a name, type or length that `parse_verifier_key` would refuse.
    """
    _check_key(name, key_type, public_key)
    material = b64encode(bytes([key_type]) + public_key).decode("ascii")
    return f"{name}+{key_hash(name, key_type, public_key).hex()}+{material}"


def parse_verifier_key(text: str) -> VerifierKey:
    """Read the text form of `verifier_key`; its key hash must fit. Raises VerifierKeyError."""
    parts = text.split("+", 2)  # base64 may hold a plus sign, a name may not
    if len(parts) != _LINE_PARTS:
        raise VerifierKeyError("a verifier key reads <name>+<8 hex>+<base64>")
    name, hash_hex, material = parts
    if not _key_hash_hex(hash_hex):
        raise VerifierKeyError("the key hash is not 8 lower-case hex digits")
    raw = decode_base64(material)
    if not raw:
        raise VerifierKeyError("the key material is not base64")
    key_type, public_key = raw[0], raw[1:]
    _check_key(name, key_type, public_key)
    expected = key_hash(name, key_type, public_key)
    if expected.hex() != hash_hex:
        raise VerifierKeyError(f"the key hash is {hash_hex}, but this key's is {expected.hex()}")
    return VerifierKey(name, key_type, public_key, expected)


def checkpoint_body(origin: str, size: int, root: bytes) -> bytes:
    """The three signed lines of a checkpoint: origin, size in decimal, base64 of the 32-byte root.

    Raises ValueError for an origin that cannot be a key's name (Proof's logs sign under it), a
    negative size, or a root of another length.
    """
    if not _is_name(origin) or size < 0 or len(root) != sha256().digest_size:
        raise ValueError("a checkpoint has an origin without spaces, a size and a 32-byte root")
    return f"{origin}\n{size}\n{b64encode(root).decode('ascii')}\n".encode()


def end_of_second_ms(time_s: int) -> int:
    """When the second that a cosignature names is over, in milliseconds since 1970 UTC.

    Its time is the cosigner's clock in whole seconds, so what it saw existed by then, and perhaps not
    when that second began.
    """
    return (time_s + 1) * 1000


def cosignature_message(time_s: int, body: bytes) -> bytes:
    """What an Ed25519 cosigner signs: `cosignature/v1`, the POSIX time in seconds, a checkpoint's body."""
    return b"cosignature/v1\ntime %d\n" % time_s + body


def cosigned_message(cosigner: str, time_s: int, origin: str, size: int, root: bytes) -> bytes:
    """What an ML-DSA-44 cosigner signs: its own name, the POSIX time in seconds, the log's origin, the
    leaves from 0 up to `size`, and their 32-byte root; not a checkpoint's extension lines.

    Raises ValueError for what the message has no room for.
    """
    names = [cosigner.encode(), origin.encode()]
    if not all(1 <= len(name) <= _MAX_SIGNED_NAME_BYTES for name in names):
        raise ValueError("an ML-DSA-44 cosigner signs names of 1 to 255 bytes")
    if not (0 <= time_s <= MAX_TIME_S and 0 <= size < 2**64 and len(root) == sha256().digest_size):
        raise ValueError("a cosigned tree has a time below 2^63, a size and a 32-byte root")
    signer, log = (bytes([len(name)]) + name for name in names)
    start = bytes(8)
    return (
        _SUBTREE_LABEL
        + signer
        + time_s.to_bytes(TIME_BYTES, "big")
        + log
        + start
        + size.to_bytes(8, "big")
        + root
    )


def cosignature_payload(time_s: int, signature: bytes) -> bytes:
    """What stands in a cosignature's line behind the key hash: 8-byte big-endian time, then the signature.

    Raises ValueError for a time outside 0 to 2^63 - 1 or a signature of no cosigner's length.
    """
    lengths = [SIGNATURE_BYTES[each] for each in COSIGNER_KEYS]
    if not 0 <= time_s <= MAX_TIME_S or len(signature) not in lengths:
        raise ValueError("a cosignature has a time below 2^63 and a signature of 64 or 2420 bytes")
    return time_s.to_bytes(TIME_BYTES, "big") + signature


def signature_line(name: str, key_hash: bytes, payload: bytes) -> bytes:
    """One signature line with its newline; `payload` is the signature as its type lays it out.

    Raises ValueError for a name that no line can carry or a key hash that is not 4 bytes.
    """
    if not _is_name(name) or len(key_hash) != _KEY_HASH_BYTES:
        raise ValueError("a signature line has a name without spaces and a 4-byte key hash")
    return f"— {name} {b64encode(key_hash + payload).decode('ascii')}\n".encode()


def signed_note(body: bytes, lines: Iterable[bytes]) -> bytes:
    """The whole note: the body, an empty line, the signature lines."""
    return body + b"\n" + b"".join(lines)


def parse_note(note: bytes) -> Note:
    """Split a note into its body and signature lines, within `MAX_NOTE_BYTES`, `MAX_SIGNATURES`.

    Raises NoteTooLargeError, NoteFormatError, SignatureLineError. No signature is verified.
    """
    if len(note) > MAX_NOTE_BYTES:
        raise NoteTooLargeError(f"the checkpoint is longer than {MAX_NOTE_BYTES} bytes")
    try:
        text = note.decode()
    except UnicodeDecodeError as error:
        raise NoteFormatError("the checkpoint is not UTF-8") from error
    if len(note.translate(None, _CONTROLS)) != len(note):
        raise NoteFormatError("the checkpoint holds a control character")
    # The last empty line divides, so a body with empty lines cannot hide signatures.
    body, empty_line, signatures = text.rpartition("\n\n")
    if not empty_line or not body or not signatures.endswith("\n"):
        raise NoteFormatError("the checkpoint is not a text, an empty line and signature lines")
    lines = signatures[:-1].split("\n")
    if len(lines) > MAX_SIGNATURES:
        raise NoteTooLargeError(f"the checkpoint carries more than {MAX_SIGNATURES} signatures")
    return Note((body + "\n").encode(), tuple(_parse_line(line) for line in lines))


def decode_base64(text: str) -> bytes | None:
    """Standard base64 in its one canonical form (RFC 4648 sections 3.3 and 3.5), else None.

    Spare bits must be zero: otherwise one signature would have several texts.
    """
    try:
        raw = a2b_base64(text, strict_mode=True)
    except ValueError:
        return None
    return raw if b2a_base64(raw, newline=False).decode("ascii") == text else None


def _parse_line(line: str) -> SignatureLine:
    parts = line.split(" ")
    if len(parts) != _LINE_PARTS or parts[0] != "—" or not _is_name(parts[1]):
        raise SignatureLineError(f"not a signature line: {quoted(line)}")
    raw = decode_base64(parts[2])
    if raw is None or len(raw) <= _KEY_HASH_BYTES:
        raise SignatureLineError(f"the signature of {quoted(parts[1])} is not base64 of 5 bytes up")
    return SignatureLine(parts[1], raw[:_KEY_HASH_BYTES], raw[_KEY_HASH_BYTES:])


def _is_name(name: str) -> bool:
    return _name(name) is not None


def _check_key(name: str, key_type: int, public_key: bytes) -> None:
    if not _is_name(name):
        raise VerifierKeyError("a key's name is not empty and has no spaces or plus signs")
    expected = PUBLIC_KEY_BYTES.get(key_type)
    if expected is None:
        raise VerifierKeyError(
            f"key type 0x{key_type:02x} is none of 0x01 (log), 0x04 (Ed25519 cosigner)"
            " and 0x06 (ML-DSA-44 cosigner)"
        )
    if len(public_key) != expected:
        raise VerifierKeyError(f"a public key of type 0x{key_type:02x} has {expected} bytes")
    if key_type == MLDSA_COSIGNER_KEY and len(name.encode()) > _MAX_SIGNED_NAME_BYTES:
        raise VerifierKeyError("the name of an ML-DSA-44 cosigner has at most 255 bytes")
