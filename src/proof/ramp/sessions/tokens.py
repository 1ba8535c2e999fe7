"""What opens a widget, and what keeps it open.

An init token is derived from the session's random id and stored nowhere; a session token is random and
stored as its SHA-256.
"""

import hashlib
import hmac
import secrets
from base64 import urlsafe_b64encode
from uuid import UUID

from proof.partners.signing import Ring

SESSION_ID_BYTES = 32
_SECRET_BYTES = 32
_INIT_LABEL = b"proof init token v1"
_BODY_LABEL = b"proof idempotency body v1"


def init_token(ring: Ring, key_id: UUID, session_id: bytes) -> str:
    """The init token of a session: 43 characters of base64url. Raises NoSigningKeyError."""
    mac = hmac.digest(ring.derived(key_id, _INIT_LABEL), session_id, "sha256")
    return urlsafe_b64encode(mac).rstrip(b"=").decode()


def body_mac(ring: Ring, key_id: UUID, body: bytes) -> bytes:
    """What two requests with the same canonical body have in common, 32 bytes; without the key nobody finds
    an e-mail address by trying. Raises NoSigningKeyError."""
    return hmac.digest(ring.derived(key_id, _BODY_LABEL), body, "sha256")


def new_session_token() -> str:
    """256 random bits, for the browser tab that opened the widget."""
    return "wst_" + urlsafe_b64encode(secrets.token_bytes(_SECRET_BYTES)).rstrip(b"=").decode()


def token_sha256(token: str) -> bytes:
    """What is stored of a session token."""
    return hashlib.sha256(token.encode(errors="replace")).digest()
