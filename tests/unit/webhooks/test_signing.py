"""Signatures, checked by the package that receivers use."""

import base64
import re
import time
from importlib.resources import files
from typing import Any
from uuid import UUID

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from standardwebhooks import Webhook, WebhookVerificationError

from proof.partners.keys.webhook_secrets import webhook_secret_text
from proof.webhooks.signing import (
    public_key_text,
    webhook_headers,
    x_signature,
)

PAGE = files("proof.web") / "pages" / "webhooks.md"
EVENT = UUID("01234567-89ab-cdef-0123-456789abcdef")
OLD, NEW = bytes(range(32)), bytes(range(1, 33))
BODY = '{"a":"ü"}'.encode()


def test_the_receivers_package_accepts_each_live_secret() -> None:
    headers = webhook_headers(EVENT, int(time.time()), BODY, [NEW, OLD])
    for secret in (NEW, OLD):
        assert Webhook(webhook_secret_text(secret)).verify(BODY, headers) == {"a": "ü"}
    with pytest.raises(WebhookVerificationError, match="No matching signature"):
        Webhook(webhook_secret_text(bytes(24))).verify(BODY, headers)


@pytest.mark.parametrize("part", ["webhook-id", "webhook-timestamp", "body"])
def test_the_signature_covers_id_time_and_body(part: str) -> None:
    now = int(time.time())
    sent = {**webhook_headers(EVENT, now, BODY, [NEW]), "body": BODY.decode()}
    sent[part] = str(now + 1) if part == "webhook-timestamp" else sent[part] + " "
    with pytest.raises(WebhookVerificationError, match="No matching signature"):
        Webhook(webhook_secret_text(NEW)).verify(sent.pop("body"), sent, json_parse=False)


def test_header_forms() -> None:
    headers = webhook_headers(EVENT, 1_700_000_000, BODY, [NEW, OLD])
    assert headers["webhook-id"] == "msg_0123456789abcdef0123456789abcdef"
    assert headers["webhook-timestamp"] == "1700000000"
    assert [part[:3] for part in headers["webhook-signature"].split(" ")] == ["v1,", "v1,"]


def test_each_ed25519_key_signs_what_the_secrets_sign() -> None:
    keys = [Ed25519PrivateKey.generate() for _ in range(2)]
    headers = webhook_headers(EVENT, 1_700_000_000, BODY, [NEW, OLD], keys)
    parts = headers["webhook-signature"].split(" ")
    assert [item.partition(",")[0] for item in parts] == ["v1", "v1", "v1a", "v1a"]
    signed = b"msg_0123456789abcdef0123456789abcdef.1700000000." + BODY
    for key, part in zip(keys, parts[2:], strict=True):
        signature = base64.b64decode(part.removeprefix("v1a,"))
        public = Ed25519PublicKey.from_public_bytes(key.public_key().public_bytes_raw())
        public.verify(signature, signed)
        with pytest.raises(InvalidSignature):
            public.verify(signature, signed + b" ")


def test_the_pages_own_check_of_v1a() -> None:
    keys = [Ed25519PrivateKey.generate() for _ in range(3)]
    headers = webhook_headers(EVENT, 1_700_000_000, BODY, [NEW], keys[:2])
    (snippet,) = (
        block
        for block in re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.S)
        if "is_ours_v1a" in block
    )
    names: dict[str, Any] = {}
    exec(snippet, names)  # noqa: S102 - the page is ours
    texts = [public_key_text(key.public_key().public_bytes_raw()) for key in keys]
    check = names["is_ours_v1a"]
    assert [check(text, headers, BODY) for text in texts] == [True, True, False]
    assert not check(texts[0], headers, BODY + b" ")


def test_the_receivers_package_ignores_what_it_does_not_know() -> None:
    key = Ed25519PrivateKey.generate()
    headers = webhook_headers(EVENT, int(time.time()), BODY, [NEW], [key])
    assert Webhook(webhook_secret_text(NEW)).verify(BODY, headers) == {"a": "ü"}


def test_a_public_key_as_partners_are_shown_it() -> None:
    assert public_key_text(bytes(32)) == "whpk_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="


def test_nothing_is_sent_unsigned() -> None:
    with pytest.raises(ValueError, match="at least one secret"):
        webhook_headers(EVENT, 0, BODY, [])


def test_x_signature_is_hex_hmac_sha256() -> None:
    """RFC 4231, test case 2."""
    assert x_signature(b"Jefe", b"what do ya want for nothing?") == (
        "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
    )
