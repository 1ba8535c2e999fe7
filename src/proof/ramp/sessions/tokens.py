"""What opens a widget, and what keeps it open.

An init token is derived from the session's random id and stored nowhere. A session token is random, made by
the tab that opens the widget, and stored as its SHA-256.
"""

import hashlib
import hmac
import re
from base64 import urlsafe_b64encode
from uuid import UUID

from proof.core.errors import InvalidInputError
from proof.partners.keys.session_signing import Ring

SESSION_ID_BYTES = 32
_INIT_LABEL = b"proof init token v1"
_BODY_LABEL = b"proof idempotency body v1"
# 256 bits in base64url: 42 characters of six bits and one of four.
_SESSION_TOKEN = re.compile(r"wst_[A-Za-z0-9_-]{42}[AEIMQUYcgkosw048]")


def init_token(ring: Ring, key_id: UUID, session_id: bytes) -> str:
    """The init token of a session: 43 characters of base64url. Raises NoSigningKeyError."""
    mac = hmac.digest(ring.derived(key_id, _INIT_LABEL), session_id, "sha256")
    return urlsafe_b64encode(mac).rstrip(b"=").decode()


def body_mac(ring: Ring, key_id: UUID, body: bytes) -> bytes:
    """The HMAC of a canonical body, 32 bytes, by which a repeated request is told. It is keyed, because an
    e-mail address could be found from a bare hash by trying. Raises NoSigningKeyError."""
    return hmac.digest(ring.derived(key_id, _BODY_LABEL), body, "sha256")


def require_session_token(token: str | None) -> str:
    """A session token as a tab makes it. Not checked: whether its bits are random. Raises
    InvalidInputError."""
    if token is None or not _SESSION_TOKEN.fullmatch(token):
        raise InvalidInputError(
            "authorization: a token of the tab's own is required, wst_ and 32 random bytes in base64url"
        )
    return token


def token_sha256(token: str) -> bytes:
    """What is stored of a session token."""
    return hashlib.sha256(token.encode(errors="replace")).digest()
