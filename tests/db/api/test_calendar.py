"""The calendar over HTTP, before any block: what the real clients do afterwards is in tests/e2e."""

import secrets
from collections.abc import Callable
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from opentimestamps.core.notary import PendingAttestation
from opentimestamps.core.op import OpSHA256
from opentimestamps.core.serialize import BytesDeserializationContext
from opentimestamps.core.timestamp import Timestamp
from tests.support.application import CALENDAR_URL, Platform, Stage, staged

from proof.db.embedded import EmbeddedCluster
from proof.partners.access.anonymous import AnonymousRates

Run = Callable[[Any], Any]


def read(raw: bytes, message: bytes) -> Timestamp:
    """As the Python client reads an answer."""
    context = BytesDeserializationContext(raw)
    timestamp = Timestamp.deserialize(context, message)
    context.assert_eof()
    return timestamp


@pytest.mark.parametrize("size", [1, 20, 32, 33, 64])
async def test_a_digest_is_promised_and_durable(platform: Platform, size: int) -> None:
    commitment = secrets.token_bytes(size)
    answer = await platform.call("POST", "/digest", commitment)
    assert answer.status == 200
    assert answer.headers["access-control-allow-origin"] == "*"
    timestamp = read(answer.body, commitment)
    ((message, attestation),) = timestamp.all_attestations()
    assert attestation == PendingAttestation(CALENDAR_URL)
    assert message == sha256(commitment).digest()
    assert list(timestamp.ops) == [OpSHA256()]
    found = "SELECT partner_environment_id FROM submissions WHERE digest = $1"
    assert [row[0] for row in await platform.fetch(found, message)] == [-1]


async def test_posting_again_gives_the_same_promise(platform: Platform) -> None:
    commitment = secrets.token_bytes(32)
    answers = [await platform.call("POST", "/digest", commitment) for _ in range(2)]
    assert answers[0].body == answers[1].body


async def test_other_sizes_are_refused(platform: Platform) -> None:
    empty = await platform.call("POST", "/digest", b"")
    assert (empty.status, empty.body) == (400, b"a digest has 1 to 64 bytes, not 0")
    for size in (65, 5000):
        assert (await platform.call("POST", "/digest", bytes(size))).status == 413


@pytest.mark.parametrize("size", [1, 32, 64])
async def test_what_never_came_is_not_found(platform: Platform, size: int) -> None:
    answer = await platform.call("GET", f"/timestamp/{secrets.token_hex(size)}")
    assert (answer.status, answer.body) == (404, b"Commitment not found")


async def test_what_is_no_commitment_is_told_apart(platform: Platform) -> None:
    answer = await platform.call("GET", f"/timestamp/{secrets.token_hex(65)}")
    assert (answer.status, answer.body) == (404, b"Not a commitment in hex")


@settings(max_examples=60, deadline=None)
@given(st.text(max_size=140))
def test_any_other_name_is_not_found(run: Run, platform: Platform, name: str) -> None:
    answer = run(platform.call("GET", f"/timestamp/{quote(name, safe='')}"))
    assert answer.status == 404


async def test_pages_of_other_sites_may_call_it(platform: Platform) -> None:
    for path in ("/digest", "/timestamp/00"):
        answer = await platform.call("OPTIONS", path)
        assert answer.status == 204
        assert answer.headers["access-control-allow-origin"] == "*"
        assert "POST" in answer.headers["access-control-allow-methods"]


async def test_partners_do_not_see_what_came_through_it(platform: Platform) -> None:
    commitment = secrets.token_bytes(32)
    await platform.call("POST", "/digest", commitment)
    leaf = sha256(commitment).hexdigest()
    token = (await platform.onboard()).environments[0].api_key
    assert (await platform.call("GET", f"/v1/timestamp/{leaf}", token=token)).status == 404


def altered(cluster: EmbeddedCluster, folder: Path, **changes: Any) -> Any:
    return staged(cluster, folder, altered=lambda services: replace(services, **changes))


def test_where_there_is_none_it_is_not_found(cluster: EmbeddedCluster, tmp_path: Path) -> None:
    with altered(cluster, tmp_path, calendar=None) as found:
        stage: Stage = found
        answer = stage.run(stage.platform.call("POST", "/digest", bytes(32)))
        assert answer.status == 404
        assert b"PROOF_CALENDAR_URL" in answer.body


def test_one_address_cannot_have_it_alone(cluster: EmbeddedCluster, tmp_path: Path) -> None:
    rates = AnonymousRates(20, 100, now=lambda: 0.0)
    with altered(cluster, tmp_path, anonymous=rates) as found:
        stage: Stage = found
        answers = [stage.run(stage.platform.call("POST", "/digest", bytes(32))) for _ in range(3)]
        assert [answer.status for answer in answers] == [200, 200, 429]
        assert answers[-1].headers["retry-after"] == "3"
        assert b"faster than 20 in 60 s" in answers[-1].body
