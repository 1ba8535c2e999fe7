"""Credentials: the format a scanner knows, and what a mistyped one is worth."""

import re
import string
from hashlib import sha256

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from proof.core.ids import checksum
from proof.partners.access.tokens import new_token, parse_token
from proof.partners.types import Environment

TOKEN = new_token(Environment.PRODUCTION)
LETTERS = string.ascii_letters + string.digits + "_"


@pytest.mark.parametrize(
    ("environment", "mark"), [(Environment.PRODUCTION, "live"), (Environment.SANDBOX, "test")]
)
def test_a_new_token_has_the_documented_form(environment: Environment, mark: str) -> None:
    token = new_token(environment)
    assert re.fullmatch(
        rf"proof_{mark}_[0-9A-Za-z]{{13}}_[0-9A-Za-z]{{43}}_[0-9A-Za-z]{{6}}", token.text
    )
    assert token.sha256 == sha256(token.text.encode()).digest()
    parsed = parse_token(token.text)
    assert parsed == (environment, token.key_id, token.sha256)


def test_tokens_differ_in_key_id_and_secret() -> None:
    made = [new_token(Environment.SANDBOX).text.split("_") for _ in range(200)]
    assert len({parts[2] for parts in made}) == len({parts[3] for parts in made}) == 200


@given(
    st.integers(0, len(TOKEN.text) - 1),
    st.integers(0, 3),
    st.text(st.sampled_from(LETTERS) | st.characters(), max_size=3),
)
@example(0, 0, "")
def test_no_altered_token_is_the_same_credential(at: int, removed: int, added: str) -> None:
    altered = TOKEN.text[:at] + added + TOKEN.text[at + removed :]
    parsed = parse_token(altered)
    if altered == TOKEN.text:
        assert parsed is not None
    else:
        assert parsed is None or parsed.sha256 != TOKEN.sha256


@given(st.integers(0, len(TOKEN.text) - 7), st.sampled_from(LETTERS))
def test_one_mistyped_character_is_found_offline(at: int, letter: str) -> None:
    altered = TOKEN.text[:at] + letter + TOKEN.text[at + 1 :]
    assert (parse_token(altered) is None) is (altered != TOKEN.text)


@pytest.mark.parametrize("at", range(len("proof_live_"), len(TOKEN.text) - 8))
def test_two_swapped_characters_are_found_offline(at: int) -> None:
    text = TOKEN.text
    swapped = text[:at] + text[at + 1] + text[at] + text[at + 2 :]
    assert (parse_token(swapped) is None) is (swapped != text)


def rechecked(head: str) -> str:
    return f"{head}_{checksum(head)}"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "proof_live_",
        TOKEN.text + "\n",
        " " + TOKEN.text,
        TOKEN.text + "\x00",
        TOKEN.text.upper(),
        TOKEN.text.replace("proof_live", "proof_test"),
        TOKEN.text.rpartition("_")[0],
        rechecked(TOKEN.text.rpartition("_")[0].replace("live", "prod")),
        rechecked(TOKEN.text.rpartition("_")[0] + "0"),
        rechecked(TOKEN.text.rpartition("_")[0][:-1]),
        TOKEN.text.replace("_", "-"),
        "proof_live_" + "٣" * 13 + "_" + "٣" * 43 + "_" + "٣" * 6,
        TOKEN.text * 1000,
    ],
    ids=range(14),
)
def test_what_is_no_token_is_none(text: str) -> None:
    assert parse_token(text) is None


@given(st.text())
def test_any_text_is_parsed_or_none(text: str) -> None:
    assert parse_token(text) is None
