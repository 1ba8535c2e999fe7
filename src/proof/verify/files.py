"""Reading the files that the command line names: keys, headers, and what a proof is about."""

import mmap
import sys
from base64 import b64decode
from codecs import BOM_UTF8
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from hashlib import file_digest, sha256
from io import BufferedReader
from pathlib import Path
from typing import Final, cast

from proof.verify.errors import RefusedError, quoted
from proof.verify.evidence.bitcoin.headers import TrustedHeaders, load_headers
from proof.verify.evidence.ethereum.keccak import keccak_256
from proof.verify.evidence.log.note import VerifierKey, VerifierKeyError, parse_verifier_key
from proof.verify.evidence.log.policy import MAX_POLICY_BYTES, Policy, PolicyError, parse_policy
from proof.verify.evidence.log.tlog_proof import MAGIC as TLOG_MAGIC
from proof.verify.evidence.ots.format import MAGIC
from proof.verify.evidence.ots.ripemd160 import ripemd160

STANDARD_INPUT: Final = "-"
_MAX_KEY_FILE_BYTES: Final = 1024 * 1024
_MAX_SLOW_FILE_BYTES: Final = 16 * 1024 * 1024  # Keccak takes a minute for as much
_MAX_CERTIFICATE_FILE_BYTES: Final = 64 * 1024
_PEM_BEGIN: Final = b"-----BEGIN CERTIFICATE-----"
_PEM_END: Final = b"-----END CERTIFICATE-----"
_DER_BEGIN: Final = b"\x30"
_SLOW_HASHES: Final = {"ripemd160": ripemd160, "keccak256": keccak_256}


class UsageError(Exception):
    """The command line or a file it names cannot be used; the message says which and why."""


def read(path: str, limit: int) -> bytes:
    """At most `limit` bytes of a file, of standard input for `-`. Raises UsageError."""
    try:
        with opened(path) as file:
            return file.read(limit)
    except (OSError, ValueError) as error:
        raise unreadable(path, error) from error


@contextmanager
def opened(path: str) -> Iterator[BufferedReader]:
    """A file to read from, standard input for `-`. Raises OSError, ValueError."""
    if path != STANDARD_INPUT:
        with Path(path).open("rb") as file:
            yield file
        return
    if sys.stdin is None:
        raise ValueError("there is no standard input")
    # Not closed, since it is not ours.
    yield cast("BufferedReader", sys.stdin.buffer)


def looks_like_proof(raw: bytes) -> bool:
    """Whether the bytes are meant as a proof, right or not: an .ots file, a tlog-proof, or JSON with a
    branch."""
    if raw.startswith((MAGIC, TLOG_MAGIC)):
        return True
    return raw.removeprefix(BOM_UTF8).lstrip()[:1] == b"{" and b'"branch"' in raw


def looks_like_receipt(raw: bytes) -> bool:
    """Whether the bytes are meant as a receipt, right or not."""
    return raw.removeprefix(BOM_UTF8).lstrip()[:1] == b"{" and b'"proof-receipt/' in raw


def looks_like_audit_proof(raw: bytes) -> bool:
    """Whether the bytes are meant as the proof of an entry of an audit log, right or not."""
    return raw.lstrip()[:1] == b"{" and b'"proof-audit/1"' in raw


def looks_like_statement(raw: bytes) -> bool:
    """Whether the bytes are meant as a daily statement, right or not."""
    begun = raw.removeprefix(BOM_UTF8).lstrip()[:1] == b"{"
    return begun and b'"proof-statement/' in raw and not looks_like_receipt(raw)


def digest(path: str, operation: str) -> str:
    """A file's digest in lower-case hex, by sha1, sha256, ripemd160 or keccak256. Raises UsageError."""
    if operation not in _SLOW_HASHES:
        try:
            with opened(path) as file:
                return file_digest(file, operation).hexdigest()
        except (OSError, ValueError) as error:
            raise unreadable(path, error) from error
    raw = read(path, _MAX_SLOW_FILE_BYTES + 1)
    if len(raw) > _MAX_SLOW_FILE_BYTES:
        raise UsageError(
            f"{quoted(path)} is over {_MAX_SLOW_FILE_BYTES} bytes, too long for {operation} here;"
            " verify the proof alone and compare the digest"
        )
    return _SLOW_HASHES[operation](raw).hex()


def read_keys(path: str) -> list[VerifierKey]:
    """The verifier keys of a key file, one a line, `#` begins a comment. Raises UsageError."""
    raw = read(path, _MAX_KEY_FILE_BYTES + 1)
    if len(raw) > _MAX_KEY_FILE_BYTES:
        raise UsageError(f"the key file {quoted(path)} is over {_MAX_KEY_FILE_BYTES} bytes long")
    keys = []
    for number, line in enumerate(raw.split(b"\n"), 1):
        text = line.strip()
        if text and not text.startswith(b"#"):
            try:
                keys.append(parse_verifier_key(text.decode()))
            except (UnicodeDecodeError, VerifierKeyError) as error:
                where = f"the key file {quoted(path)}, line {number}"
                again = "take the log's keys anew from where you trust them, whole lines"
                raise UsageError(f"{where}: {_reason(error)}; {again}") from error
    if not keys:
        raise UsageError(f"the key file {quoted(path)} holds no key")
    return keys


def read_trust(key_paths: Iterable[str], policy_path: str | None) -> Policy:
    """The policy of a file (c2sp.org/tlog-policy) with the log keys of key files; or those files' keys
    alone, of whose cosigners any will do. Raises UsageError.
    """
    keys = [key for path in key_paths for key in read_keys(path)]
    if policy_path is None:
        return Policy.of_keys(keys)
    where = f"the policy file {quoted(policy_path)}"
    try:
        policy = parse_policy(read(policy_path, MAX_POLICY_BYTES + 1)).with_logs(keys)
    except PolicyError as error:
        raise UsageError(f"{where}: {error}") from error
    if not policy.logs:
        raise UsageError(
            f"{where} names no log, and --log-key gave no log's key; add a `log` line, or give the log's"
            " keys with --log-key"
        )
    return policy


def read_headers(path: str) -> TrustedHeaders:
    """A header file, checked from its first header to its last. Raises UsageError."""
    if path == STANDARD_INPUT:
        raise UsageError("--headers needs a file: they are too many to be read from standard input")
    try:
        with Path(path).open("rb") as file:
            # Mapped, because the main network's file is larger than all else together.
            mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except (OSError, ValueError) as error:
        raise unreadable(path, error) from error
    try:
        return load_headers(memoryview(mapped))
    except RefusedError as error:
        raise UsageError(f"the header file {quoted(path)} is refused: {error}") from error


def block_hash(text: str, option: str) -> bytes:
    """A block hash as people write it, with or without 0x. Raises UsageError."""
    digits = text.lower().removeprefix("0x")
    if len(digits) != 64 or digits.strip("0123456789abcdef"):
        raise UsageError(f"{option} {quoted(text)} is not 64 hex digits")
    return bytes.fromhex(digits)


def certificates(text: str) -> list[bytes]:
    """SHA-256 of certificates: `text` itself, hex with or without colons, or that of each one in the file
    `text`, PEM or DER. Raises UsageError."""
    digits = text.lower().replace(":", "")
    if len(digits) == 64 and not digits.strip("0123456789abcdef"):
        return [bytes.fromhex(digits)]
    raw = read(text, _MAX_CERTIFICATE_FILE_BYTES + 1)
    if len(raw) > _MAX_CERTIFICATE_FILE_BYTES:
        raise UsageError(f"{quoted(text)} is over {_MAX_CERTIFICATE_FILE_BYTES} bytes long")
    if raw[:1] == _DER_BEGIN:
        return [sha256(raw).digest()]
    try:
        blocks = [each.partition(_PEM_END)[0].split() for each in raw.split(_PEM_BEGIN)[1:]]
        found = [sha256(b64decode(b"".join(block), validate=True)).digest() for block in blocks]
    except ValueError as error:
        raise UsageError(f"{quoted(text)} holds a certificate that is not in base64") from error
    if not found:
        raise UsageError(f"{quoted(text)} holds no certificate, and is no SHA-256 of one")
    return found


def unreadable(path: str, error: Exception) -> UsageError:
    """That a file cannot be read, and why."""
    return UsageError(f"cannot read {quoted(path)}: {_reason(error)}")


def _reason(error: Exception) -> str:
    """Why, without the path, which the message has escaped already."""
    if isinstance(error, UnicodeDecodeError):
        return "not UTF-8 text"
    return (error.strerror or type(error).__name__) if isinstance(error, OSError) else str(error)
