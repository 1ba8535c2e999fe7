"""Sealing: what opens, and what a thief of the database meets."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proof.core.secrets import KEY_BYTES, SealError, Vault, parse_key

OLD, NEW, OTHER = (bytes([n]) * 32 for n in range(1, 4))
SECRET = b"a webhook secret of thirty-two b"
SEALED = Vault([OLD]).seal(SECRET, "webhook secret 1")


@given(st.binary(max_size=200), st.text(st.characters(exclude_categories=["Cs"]), max_size=40))
def test_what_was_sealed_opens(secret: bytes, identity: str) -> None:
    vault = Vault([OLD])
    assert vault.open(vault.seal(secret, identity), identity) == secret


def test_sealing_twice_gives_other_bytes_and_never_the_secret() -> None:
    again = Vault([OLD]).seal(SECRET, "webhook secret 1")
    assert again != SEALED
    assert SECRET not in SEALED + again


def test_a_value_moved_to_another_record_does_not_open() -> None:
    with pytest.raises(SealError, match="webhook secret 2 were altered or moved"):
        Vault([OLD]).open(SEALED, "webhook secret 2")


@given(st.integers(0, len(SEALED) * 8 - 1))
def test_any_flipped_bit_is_refused(bit: int) -> None:
    forged = bytearray(SEALED)
    forged[bit // 8] ^= 1 << bit % 8
    with pytest.raises(SealError):
        Vault([OLD]).open(bytes(forged), "webhook secret 1")


@pytest.mark.parametrize("length", range(len(SEALED)))
def test_any_truncation_is_refused(length: int) -> None:
    with pytest.raises(SealError):
        Vault([OLD]).open(SEALED[:length], "webhook secret 1")


def test_an_unknown_key_is_refused_by_name_of_the_record() -> None:
    with pytest.raises(SealError, match="no key-encryption key at hand opens webhook secret 1"):
        Vault([NEW, OTHER]).open(SEALED, "webhook secret 1")


def test_rotation_seals_under_the_newest_and_opens_the_old() -> None:
    rotating = Vault([NEW, OLD])
    assert rotating.open(SEALED, "webhook secret 1") == SECRET
    fresh = rotating.seal(SECRET, "webhook secret 1")
    assert Vault([NEW]).open(fresh, "webhook secret 1") == SECRET
    with pytest.raises(SealError):
        Vault([OLD]).open(fresh, "webhook secret 1")


@pytest.mark.parametrize("keys", [[], [b"short"], [OLD, bytes(33)]])
def test_keys_of_another_size_or_none_are_refused(keys: list[bytes]) -> None:
    with pytest.raises(ValueError, match="key"):
        Vault(keys)


def test_its_text_shows_no_key() -> None:
    assert repr(Vault([OLD, NEW])) == "Vault(2 keys)"


def test_the_id_of_a_key_is_in_what_it_seals_and_tells_nothing_of_it() -> None:
    rotating = Vault([NEW, OLD])
    assert rotating.newest_id == Vault([NEW]).newest_id != Vault([OLD]).newest_id
    assert rotating.seal(SECRET, "x")[1:9] == rotating.newest_id
    assert rotating.newest_id not in NEW


def test_resealing_moves_a_secret_to_the_newest_key() -> None:
    moved = Vault([NEW, OLD]).reseal(SEALED, "webhook secret 1")
    assert Vault([NEW]).open(moved, "webhook secret 1") == SECRET
    with pytest.raises(SealError):
        Vault([NEW, OLD]).reseal(SEALED, "webhook secret 2")


@given(st.binary(min_size=KEY_BYTES, max_size=KEY_BYTES))
def test_a_key_is_read_from_hexadecimal_and_base64(key: bytes) -> None:
    for text in (key.hex(), key.hex().upper(), base64.b64encode(key).decode()):
        assert parse_key(f"\t{text}\n") == key


@given(st.text(max_size=43))
def test_no_shorter_text_is_a_key_and_none_is_repeated(text: str) -> None:
    with pytest.raises(ValueError, match=r"^not 32 bytes in hexadecimal or base64$"):
        parse_key(text)
