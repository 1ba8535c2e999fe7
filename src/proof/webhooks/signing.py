"""Signatures over webhooks: Standard Webhooks 1.0.0, and the timestamp API's own header."""

import base64
import binascii
import hashlib
import hmac
from collections.abc import Sequence
from uuid import UUID

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from proof import __version__
from proof.core.errors import InvalidInputError

_PREFIX = "whsec_"
_USER_AGENT = f"Proof/{__version__}"

# Standard Webhooks 1.0.0, "Signature scheme": between 24 and 64 bytes.
SECRET_BYTES = range(24, 65)


def webhook_id(event_id: UUID) -> str:
    """The `webhook-id` of an event, the same over every attempt and endpoint."""
    return f"msg_{event_id.hex}"


def webhook_headers(
    event_id: UUID,
    timestamp_s: int,
    body: bytes,
    secrets: Sequence[bytes],
    private_keys: Sequence[Ed25519PrivateKey] = (),
) -> dict[str, str]:
    """The three headers of one attempt, made at `timestamp_s` seconds since the Unix epoch.

    One `v1` signature (HMAC-SHA256) for each live secret, in the order given, so that a receiver
    accepts the webhook with the old or the new secret while one replaces the other; then one `v1a`
    (Ed25519) for each private key. Raises ValueError when there is no secret.
    """
    if not secrets:
        raise ValueError("a webhook is signed with at least one secret")
    identifier = webhook_id(event_id)
    signed = b"%s.%d.%s" % (identifier.encode(), timestamp_s, body)
    signatures = [f"v1,{_hmac_base64(secret, signed)}" for secret in secrets]
    signatures += [f"v1a,{base64.b64encode(key.sign(signed)).decode()}" for key in private_keys]
    return {
        "webhook-id": identifier,
        "webhook-timestamp": str(timestamp_s),
        "webhook-signature": " ".join(signatures),
    }


def attempt_headers(
    event_id: UUID,
    sequence: int,
    timestamp_s: int,
    body: bytes,
    secrets: Sequence[bytes],
    private_keys: Sequence[Ed25519PrivateKey] = (),
) -> dict[str, str]:
    """Every header of one attempt: those of `webhook_headers`, which see, and our own. `sequence` is the
    event's number among those of its object, from 1."""
    return {
        **webhook_headers(event_id, timestamp_s, body, secrets, private_keys),
        "webhook-sequence": str(sequence),
        "x-signature": x_signature(secrets[0], body),
        "content-type": "application/json",
        "user-agent": _USER_AGENT,
    }


def x_signature(secret: bytes, body: bytes) -> str:
    """The `x-signature` header: lower-case hex HMAC-SHA256 over the bytes sent."""
    return hmac.digest(secret, body, hashlib.sha256).hex()


def secret_text(raw: bytes) -> str:
    """The form a partner is shown: `whsec_` and the standard base64 of the raw bytes."""
    return _PREFIX + base64.b64encode(raw).decode()


def parse_secret(text: str) -> bytes:
    """The raw bytes of a `whsec_` text. Raises InvalidInputError, which never quotes the text."""
    if not text.startswith(_PREFIX):
        raise InvalidInputError("a webhook secret begins with whsec_")
    try:
        raw = base64.b64decode(text.removeprefix(_PREFIX), validate=True)
    except (binascii.Error, ValueError):
        raise InvalidInputError("a webhook secret is whsec_ and base64") from None
    if len(raw) not in SECRET_BYTES:
        raise InvalidInputError(f"a webhook secret has 24 to 64 bytes, not {len(raw)}")
    return raw


def _hmac_base64(secret: bytes, signed: bytes) -> str:
    return base64.b64encode(hmac.digest(secret, signed, hashlib.sha256)).decode()
