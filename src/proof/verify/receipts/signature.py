"""What the operator's receipts key signed: a note over a few lines that name what it stands for.

Anybody who may submit a hash can have an invented record stamped, so a proof alone does not show that the
operator said what a record says; this signature does. It is a C2SP signed note of type 0x01 under the key
name `<log origin>/receipts`. Lines of other keys are passed over, as signed-note demands.
"""

from collections.abc import Sequence
from typing import Final

from proof.verify.errors import DuplicateSignatureError, NoteFormatError, quoted
from proof.verify.evidence.log import ed25519
from proof.verify.evidence.log.ed25519 import Ed25519Verify
from proof.verify.evidence.log.note import (
    LOG_KEY,
    SIGNATURE_BYTES,
    Note,
    SignatureLine,
    VerifierKey,
    parse_note,
)
from proof.verify.receipts.errors import ReceiptSignatureError

KEY_SUFFIX: Final = "/receipts"


def is_receipts_key(key: VerifierKey) -> bool:
    """Whether a key is of the type and the name that receipts are signed under."""
    return key.key_type == LOG_KEY and key.name.endswith(KEY_SUFFIX)


def verify_signature(
    value: object,
    signed_text: bytes,
    what: str,
    keys: Sequence[VerifierKey],
    ed25519_verify: Ed25519Verify = ed25519.verify,
) -> VerifierKey | None:
    """The trusted key that signed `signed_text` in the note `value`, or None where no trusted key did.

    `what`: what the refusal calls the signed thing. Raises ReceiptSignatureError for a note over another
    text or a trusted key's line that does not verify, DuplicateSignatureError, and what `parse_note` does.
    """
    note = _note(value, what)
    if note.body != signed_text:
        raise ReceiptSignatureError(
            f"what is signed is not {what}: it names something else, or another number, hash or time"
        )
    trusted = {(key.name, key.key_hash): key for key in keys}
    found: dict[VerifierKey, SignatureLine] = {}
    for line in note.signatures:
        key = trusted.get((line.name, line.key_hash))
        if key is None:
            continue
        if key in found:
            raise DuplicateSignatureError(f"{quoted(key.name)} signed {what} twice")
        _verify_line(note, line, key, what, ed25519_verify)
        found[key] = line
    return next(iter(found), None)


def _note(value: object, what: str) -> Note:
    if type(value) is not str:
        raise ReceiptSignatureError(f"the signature of {what} is missing or not text")
    try:
        return parse_note(value.encode())
    except UnicodeEncodeError as error:
        raise NoteFormatError(f"the signature of {what} holds a lone surrogate") from error


def _verify_line(
    note: Note, line: SignatureLine, key: VerifierKey, what: str, ed25519_verify: Ed25519Verify
) -> None:
    valid = len(line.payload) == SIGNATURE_BYTES[LOG_KEY] and ed25519_verify(
        key.public_key, note.body, line.payload
    )
    if valid is not True:
        raise ReceiptSignatureError(
            f"the signature of {quoted(key.name)} under {what} does not verify"
        )
