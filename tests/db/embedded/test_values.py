"""The settings for machines of several sizes, and the stored form of a password."""

import base64
import hashlib
import hmac

import pytest

from proof.db.embedded import SETTINGS, server_settings
from proof.db.embedded.passwords import scram_verifier

GIB = 1024**3


@pytest.mark.parametrize(
    ("memory_bytes", "shared_buffers"),
    [
        (GIB // 64, "16MB"),
        (GIB, "256MB"),
        (2 * GIB, "512MB"),
        (4 * GIB, "512MB"),
        (6 * GIB, "768MB"),
        (8 * GIB, "1024MB"),
        (256 * GIB, "1024MB"),
    ],
)
def test_shared_buffers_follow_the_memory(memory_bytes: int, shared_buffers: str) -> None:
    values = {item.name: item.value for item in server_settings(memory_bytes)}
    assert values["shared_buffers"] == shared_buffers


def test_every_setting_is_named_once_and_has_a_reason() -> None:
    settings = server_settings(GIB)
    assert set(SETTINGS) < set(settings)
    assert len({item.name for item in settings}) == len(settings)
    assert all(item.reason for item in settings)


def test_the_verifier_agrees_with_rfc_7677() -> None:
    """The exchange of RFC 7677 section 3: its proof must check against the stored key."""
    salt = base64.b64decode("W22ZaJ0SNY7soEsUEjb6gQ==")
    method, iterations, salt_and_keys = (
        scram_verifier("pencil", salt).replace(":", "$", 1).split("$", 2)
    )
    stored_salt, keys = salt_and_keys.split("$")
    stored_key, server_key = (base64.b64decode(key) for key in keys.split(":"))
    assert (method, iterations, base64.b64decode(stored_salt)) == ("SCRAM-SHA-256", "4096", salt)
    nonce = "rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"
    message = (
        f"n=user,r=rOprNGfwEbeRWgbNEkqO,r={nonce},s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096,c=biws,r={nonce}"
    ).encode()
    signature = hmac.digest(stored_key, message, "sha256")
    proof = base64.b64decode("dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=")
    client_key = bytes(a ^ b for a, b in zip(proof, signature, strict=True))
    assert hashlib.sha256(client_key).digest() == stored_key
    assert hmac.digest(server_key, message, "sha256") == base64.b64decode(
        "6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="
    )
