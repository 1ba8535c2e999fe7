"""Whole payloads: what is established, and what remains."""

import copy
from pathlib import Path

import pytest
from tests.support import signer
from tests.support.payloads import ESTABLISHED, RAW, VALID, Payload, dump, verify_quickly
from tests.support.signer import (
    EXISTED_BY_MS,
    KEYS,
    LOG,
    ORIGIN,
    TIME_S,
    WITNESS,
    Signer,
)

from proof.verify import verify_payload
from proof.verify.evidence.log import note
from proof.verify.payload import utc_text

SEED = (Path(__file__).parents[2] / "vectors" / "seed_proof.json").read_bytes()


def test_payload_with_both_keys_is_tied() -> None:
    assert ESTABLISHED.tied
    assert ESTABLISHED.leaf.hex() == VALID["sha256"]
    assert ESTABLISHED.root.hex() == VALID["tree"]["rootSha256"]
    assert ESTABLISHED.levels == 3
    assert ESTABLISHED.signed_by == ORIGIN
    assert ESTABLISHED.timestamp_ms == EXISTED_BY_MS == (TIME_S + 1) * 1000
    assert ESTABLISHED.remaining == ()
    assert ESTABLISHED.inclusion is not None
    assert (ESTABLISHED.inclusion.index, ESTABLISHED.inclusion.size) == (6, 11)
    assert ESTABLISHED.claimed.currency == "LOG"
    assert ESTABLISHED.plain_root is not None
    assert ESTABLISHED.plain_root.hex() == VALID["evidence"]["plainRoot"]


def test_parsed_payload_is_the_same() -> None:
    assert verify_payload(copy.deepcopy(VALID), log_keys=KEYS) == ESTABLISHED


def test_result_is_frozen() -> None:
    with pytest.raises(AttributeError):
        ESTABLISHED.timestamp_ms = 1  # type: ignore[misc]


def test_seed_example_is_consistent_and_untied() -> None:
    established = verify_payload(SEED, log_keys=KEYS)
    assert not established.tied
    assert established.levels == 2
    assert established.leaf.hex().startswith("b75fbead")
    assert established.timestamp_ms is None
    (remaining,) = established.remaining
    assert "no evidence" in remaining
    assert "'BTC'" in remaining
    assert "2024-03-09T16:00:00Z" in remaining


@pytest.mark.parametrize("keys", [(), (WITNESS.key,)], ids=["no key", "cosigner only"])
def test_without_the_log_key_nothing_is_tied(keys: tuple[note.VerifierKey, ...]) -> None:
    established = verify_payload(RAW, log_keys=keys)
    assert not established.tied
    assert established.signed_by is None
    assert established.inclusion == ESTABLISHED.inclusion
    assert "No key of the log" in established.remaining[0]


def test_without_the_cosigner_key_the_time_remains() -> None:
    established = verify_payload(RAW, log_keys=[LOG.key])
    assert not established.tied
    assert (established.signed_by, established.timestamp_ms) == (ORIGIN, None)
    assert "no cosigner that counts for you signed a time" in established.remaining[0]


THIRD_PARTY = Signer.named("witness.example/w1", note.COSIGNER_KEY)


def cosigned(*times_s: tuple[Signer, int]) -> Payload:
    """The valid payload, its checkpoint cosigned by these at these times."""
    payload = copy.deepcopy(VALID)
    body = note.parse_note(payload["evidence"]["checkpoint"].encode()).body
    lines = [LOG.line(body), *(each.line(body, time_s) for each, time_s in times_s)]
    payload["evidence"]["checkpoint"] = note.signed_note(body, lines).decode()
    return payload


@pytest.mark.parametrize("claimed", [0, EXISTED_BY_MS - 1000, EXISTED_BY_MS + 1, 10**14])
def test_the_publishers_time_is_a_claim_and_changes_nothing(claimed: int) -> None:
    payload = copy.deepcopy(VALID)
    payload["tree"]["timestamp"] = claimed
    established = verify_payload(dump(payload), log_keys=KEYS)
    assert (established.timestamp_ms, established.tied) == (EXISTED_BY_MS, True)
    assert established.claimed.timestamp_ms == claimed


@pytest.mark.parametrize(
    ("trusted", "time_s"),
    [
        ((WITNESS,), TIME_S),
        ((THIRD_PARTY,), TIME_S + 7),
        ((THIRD_PARTY, WITNESS), TIME_S),
    ],
    ids=["the publisher's", "a third party's", "both"],
)
def test_the_time_is_the_earliest_that_the_caller_has_reason_to_believe(
    trusted: tuple[Signer, ...], time_s: int
) -> None:
    raw = dump(cosigned((THIRD_PARTY, TIME_S + 7), (WITNESS, TIME_S)))
    established = verify_payload(raw, log_keys=[LOG.key, *(each.key for each in trusted)])
    assert established.tied
    assert established.timestamp_ms == (time_s + 1) * 1000
    assert established.claimed.timestamp_ms == EXISTED_BY_MS


@pytest.mark.parametrize(
    "no_time", [0, 253_402_300_799, 2**63 - 1], ids=["zero", "ends in the year 10000", "largest"]
)
def test_a_cosignature_may_count_for_no_time(no_time: int) -> None:
    keys = [*KEYS, THIRD_PARTY.key]
    alone = verify_payload(dump(cosigned((WITNESS, no_time))), log_keys=keys)
    assert (alone.signed_by, alone.timestamp_ms) == (ORIGIN, None)
    assert alone.remaining
    beside = verify_payload(dump(cosigned((WITNESS, no_time), (THIRD_PARTY, 90))), log_keys=keys)
    assert (beside.timestamp_ms, beside.remaining) == (91_000, ())


def test_the_last_second_of_the_year_9999_but_one_counts() -> None:
    established = verify_payload(dump(cosigned((WITNESS, 253_402_300_798))), log_keys=KEYS)
    assert established.timestamp_ms == 253_402_300_799_000


def test_key_of_another_log_ties_nothing() -> None:
    other = Signer.named("other.example", note.LOG_KEY)
    assert verify_payload(RAW, log_keys=[other.key]).signed_by is None


def test_unknown_evidence_is_named() -> None:
    payload = {**VALID, "evidence": {"type": "pigeon", "height": 1}}
    established = verify_payload(dump(payload), log_keys=KEYS)
    assert not established.tied
    assert "'pigeon'" in established.remaining[0]


def test_unknown_members_are_ignored() -> None:
    payload = copy.deepcopy(VALID) | {"later": {"x": [1, None, True]}}
    payload["tree"]["later"] = 1
    payload["evidence"]["later"] = 1
    assert verify_payload(dump(payload), log_keys=KEYS) == ESTABLISHED


def test_log_of_one_entry() -> None:
    payload = signer.payload(log_size=1, log_index=0)
    assert verify_payload(dump(payload), log_keys=KEYS).tied


@pytest.mark.parametrize("leaf_index", range(5))
@pytest.mark.parametrize("log_index", [0, 3, 9, 10])
def test_every_place_in_tree_and_log(leaf_index: int, log_index: int) -> None:
    payload = signer.payload(leaf_index=leaf_index, log_index=log_index)
    established = verify_quickly(dump(payload))
    assert established.inclusion is not None
    assert established.inclusion.index == log_index
    assert established.tied


def test_text_of_a_stranger_is_escaped() -> None:
    payload = {**VALID, "evidence": {"type": "\x1b[2Jevil" + "x" * 500}}
    (remaining,) = verify_payload(dump(payload)).remaining
    assert "\x1b" not in remaining
    assert len(remaining) < 500


def test_inner_node_as_leaf_claims_nothing_of_a_file() -> None:
    payload = copy.deepcopy(VALID)
    inner = payload["branch"]["left"]
    payload["branch"]["left"] = {"sha256": inner["sha256"], "depth": 1}
    payload["sha256"] = inner["sha256"]
    established = verify_payload(dump(payload), log_keys=KEYS)
    assert established.leaf.hex() == inner["sha256"]
    assert established.levels == 1


@pytest.mark.parametrize(
    ("ms", "text"),
    [
        (0, "1970-01-01T00:00:00Z"),
        (1_770_000_000_001, "2026-02-02T02:40:00.001Z"),
        (253_402_300_799_999, "9999-12-31T23:59:59.999Z"),
    ],
)
def test_utc_text(ms: int, text: str) -> None:
    assert utc_text(ms) == text
