"""Tokens: derived, random, and never the same by accident."""

import hmac
from base64 import urlsafe_b64encode
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proof.core.errors import InvalidInputError
from proof.partners.keys.session_signing import NoSigningKeyError, Ring, SessionParameters
from proof.ramp.sessions.tokens import body_mac, init_token, require_session_token, token_sha256

NEW, OLD = UUID(int=1), UUID(int=2)
RING = Ring((b"n" * 64, b"o" * 64), (NEW, OLD))
SESSION = bytes(range(32))


def test_an_init_token_is_the_same_again_and_another_for_another_session_or_key() -> None:
    token = init_token(RING, NEW, SESSION)
    assert token == init_token(Ring((b"n" * 64,), (NEW,)), NEW, SESSION)
    assert len({token, init_token(RING, OLD, SESSION), init_token(RING, NEW, bytes(32))}) == 3
    assert token.isascii()
    assert len(token) == 43


def test_what_is_derived_stays_the_same_from_release_to_release() -> None:
    """Sessions that are open and requests that are repeated outlive the process that made them."""
    assert init_token(RING, NEW, SESSION) == "lX66x8VFuFwxYfz2Uk0zWgoBR6Qd4cBPLrvHTGWbnVo"
    assert body_mac(RING, NEW, b'{"a":1}') == bytes.fromhex(
        "23174202c33632e8558c24ceba2932959c60dade9657fb777e426526a51e536a"
    )
    assert token_sha256("wst_a") == bytes.fromhex(
        "825032e493a21920dbf414238a8bb64b47ec8ca19bd89efa7207b7f4699ea3a7"
    )


def test_no_derived_value_is_a_signature_or_another_use_of_the_key() -> None:
    signature = RING.sign(SessionParameters("", "", ""))
    derived = {RING.derived(NEW, b"a"), RING.derived(NEW, b"b"), RING.derived(OLD, b"a")}
    assert len(derived) == 3
    assert all(item.hex() not in signature for item in derived)
    assert body_mac(RING, NEW, SESSION) != hmac.digest(b"n" * 64, SESSION, "sha256")


def test_a_key_that_is_gone_derives_nothing() -> None:
    with pytest.raises(NoSigningKeyError):
        init_token(RING, UUID(int=3), SESSION)


def test_the_keys_of_a_ring_are_not_shown() -> None:
    assert "nnn" not in repr(RING)


@given(st.binary(min_size=32, max_size=32))
def test_every_session_token_that_a_tab_makes_is_taken(bits: bytes) -> None:
    token = "wst_" + urlsafe_b64encode(bits).decode().rstrip("=")
    assert require_session_token(token) == token


@given(st.binary(max_size=40).filter(lambda bits: len(bits) != 32))
def test_a_session_token_of_another_length_is_refused(bits: bytes) -> None:
    with pytest.raises(InvalidInputError, match="32 random bytes"):
        require_session_token("wst_" + urlsafe_b64encode(bits).decode().rstrip("="))


def test_whatever_is_presented_has_a_hash() -> None:
    assert {len(token_sha256(token)) for token in ("wst_a", "\ud800", "")} == {32}
