"""An unknown key id and a known one with a wrong secret take the same way through the gate.

Measured time would be noise here; what is done is counted instead.
"""

import asyncio
import hashlib
import hmac
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Any, cast

import pytest

from proof.core.clock import SystemClock
from proof.core.ids import checksum
from proof.db import Database
from proof.partners.access import gate as gates
from proof.partners.access import tokens
from proof.partners.access.credentials import Credential, EndedCredential
from proof.partners.access.directory import Directory
from proof.partners.access.gate import Gate
from proof.partners.access.networks import Allowlist
from proof.partners.access.tokens import NewToken, new_token
from proof.partners.errors import InvalidTokenError
from proof.partners.types import CredentialKind, Environment, Limits, PartnerEnvironment

PRODUCTION = Environment.PRODUCTION
KNOWN = new_token(PRODUCTION)
OVER = new_token(PRODUCTION)
HERE = ip_address("203.0.113.9")


@dataclass
class CountingDirectory:
    """Knows one credential, and writes down what is asked."""

    steps: list[str] = field(default_factory=list)

    def recent(self, token: str) -> None:
        return None

    def remember(self, token: str, found: Credential) -> None:
        assert (token, found.key_id) == (KNOWN.text, KNOWN.key_id)
        self.steps.append("remember")

    async def find(self, key_id: str) -> Credential | None:
        self.steps.append("find")
        return credential(KNOWN) if key_id == KNOWN.key_id else None

    def ended(self, key_id: str) -> EndedCredential | None:
        self.steps.append("ended")
        if key_id != OVER.key_id:
            return None
        return EndedCredential(key_id, 1, CredentialKind.API_KEY, OVER.sha256, revoked=True)

    async def poll_after_miss(self) -> None:
        self.steps.append("look")


def credential(token: NewToken) -> Credential:
    owner = PartnerEnvironment(1, "ptr_test", PRODUCTION, Limits(), False, {})
    return Credential(
        token.key_id,
        CredentialKind.API_KEY,
        token.sha256,
        None,
        None,
        False,
        owner,
        Allowlist(()),
        {},
    )


def wrong_secret() -> str:
    head = KNOWN.text.rpartition("_")[0]
    forged = head[:-1] + ("0" if head[-1] != "0" else "1")
    return f"{forged}_{checksum(forged)}"


def way(monkeypatch: pytest.MonkeyPatch, token: str, *, let_in: bool = False) -> list[Any]:
    """What the gate does for a token: directory steps, hashes and comparisons with their lengths."""
    directory = CountingDirectory()
    real_compare, real_parse, real_sha256 = (
        hmac.compare_digest,
        tokens.parse_token,
        hashlib.sha256,
    )

    def compare(raw: bytes, other: bytes) -> bool:
        directory.steps.append(f"compare {len(raw)} {len(other)}")
        return real_compare(raw, other)

    def parse(text: str) -> Any:
        directory.steps.append("parse")
        return real_parse(text)

    def sha256(data: bytes) -> Any:
        directory.steps.append(f"sha256 {len(data)}")
        return real_sha256(data)

    with monkeypatch.context() as patch:
        patch.setattr(hmac, "compare_digest", compare)
        patch.setattr(gates, "parse_token", parse)
        patch.setattr(hashlib, "sha256", sha256)
        gate = Gate(cast("Database", None), cast("Directory", directory), SystemClock())
        entering = gate.authenticate(token, PRODUCTION, HERE)
        if let_in:
            asyncio.run(entering)
        else:
            with pytest.raises(InvalidTokenError, match=r"^the credential is not valid here$"):
                asyncio.run(entering)
    return directory.steps


def test_unknown_and_known_key_ids_take_the_same_way(monkeypatch: pytest.MonkeyPatch) -> None:
    unknown = way(monkeypatch, new_token(PRODUCTION).text)
    known = way(monkeypatch, wrong_secret())
    assert unknown == known == way(monkeypatch, OVER.text)
    assert unknown.count("compare 32 32") == 3
    assert unknown.count("look") == 1


def test_every_comparison_is_of_two_whole_hashes(monkeypatch: pytest.MonkeyPatch) -> None:
    for token, let_in in ((KNOWN.text, True), (wrong_secret(), False)):
        compared = [
            step for step in way(monkeypatch, token, let_in=let_in) if step.startswith("compare")
        ]
        assert set(compared) == {"compare 32 32"}


def test_a_malformed_token_asks_for_no_look(monkeypatch: pytest.MonkeyPatch) -> None:
    mistyped = KNOWN.text[:-1] + ("0" if KNOWN.text[-1] != "0" else "1")
    assert "look" not in way(monkeypatch, mistyped)
    assert way(monkeypatch, "secret" * 1000) == []


def test_the_right_token_is_hashed_and_compared_once(monkeypatch: pytest.MonkeyPatch) -> None:
    steps = way(monkeypatch, KNOWN.text, let_in=True)
    assert steps == [f"sha256 {len(KNOWN.text)}", "find", "compare 32 32", "remember"]
