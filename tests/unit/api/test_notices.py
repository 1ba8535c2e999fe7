"""Headers about a credential's end and a caller's rate, as their specifications spell them."""

from datetime import UTC, datetime
from typing import Any

import pytest

from proof.api.errors import error_reply
from proof.api.http import ending_headers, rate_headers
from proof.partners.access.buckets import Rate
from proof.partners.access.credentials import Credential
from proof.partners.access.networks import Allowlist
from proof.partners.access.rates import CallClass, RateExceededError, Standing
from proof.partners.types import CredentialKind, Environment, Limits, PartnerEnvironment

# The moments of RFC 9745 section 2.1 and RFC 8594 section 3.
DEPRECATED = datetime(2023, 6, 30, 23, 59, 59, tzinfo=UTC)
SUNSET = datetime(2018, 12, 31, 23, 59, 59, tzinfo=UTC)


def credential(**times: Any) -> Credential:
    owner = PartnerEnvironment(1, "ptr_test", Environment.PRODUCTION, Limits(), False, {})
    fields = {"expires_at": None, "deprecated_at": None, **times}
    return Credential(
        key_id="0" * 13,
        kind=CredentialKind.API_KEY,
        token_sha256=bytes(32),
        awaited=False,
        owner=owner,
        allowlist=Allowlist(()),
        rates={},
        **fields,
    )


def test_an_ending_credential_is_told_when() -> None:
    headers = ending_headers(credential(expires_at=SUNSET, deprecated_at=DEPRECATED))
    assert headers == (
        (b"deprecation", b"@1688169599"),
        (b"sunset", b"Mon, 31 Dec 2018 23:59:59 GMT"),
    )


def test_a_lasting_credential_is_told_nothing() -> None:
    assert ending_headers(credential()) == ()


STANDING = Standing(CallClass.SUBMIT, Rate(600, 60, 100), 41, 6)


def test_a_rate_is_told_with_what_is_left() -> None:
    assert rate_headers(STANDING) == (
        (b"ratelimit", b'"submit";r=41;t=6'),
        (b"ratelimit-policy", b'"submit";q=600;w=60'),
    )


@pytest.mark.parametrize("retry_after_s", [1, 40])
def test_too_many_calls_are_told_when_to_come_back(retry_after_s: int) -> None:
    reply = error_reply(RateExceededError(STANDING, retry_after_s), "req_1")
    assert reply.status == 429
    assert reply.headers == (
        (b"retry-after", b"%d" % retry_after_s),
        *rate_headers(STANDING),
    )
    assert b"submit calls come faster than 600 in 60 s" in reply.body
    assert b"try again in %d s" % retry_after_s in reply.body
