"""What ours ties, a verifier written from the documentation alone ties at the same time."""

import copy
import json
from random import Random
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from tests.support import anchored, signer
from tests.support.ots_files import OURS
from tests.support.textbook_verifier import MAGIC, RefusalError, ots_tied_at_ms, tied_at_ms

from proof.verify import ChainTrust, RefusedError, load_headers, to_ots, verify_ots, verify_payload
from proof.verify.evidence.log import note
from proof.verify.evidence.ots import format as ots

LOG = signer.payload()
BITCOIN = anchored.bitcoin()
TRUST = ChainTrust(headers=load_headers(BITCOIN.file), networks={"regtest"})
KEY_LINES = [note.verifier_key(key.name, key.key_type, key.public_key) for key in signer.KEYS]


def ours(payload: Any) -> int | None:
    try:
        return verify_payload(
            json.dumps(payload).encode(),
            log_keys=signer.KEYS,
            chains=TRUST,
            ed25519_verify=signer.openssl_verify,
        ).timestamp_ms
    except RefusedError:
        return None


def theirs(payload: Any) -> int:
    return tied_at_ms(payload, KEY_LINES, BITCOIN.headers)


PAYLOADS: dict[str, Any] = {
    "log": LOG,
    "log of one entry": signer.payload(leaf_index=4, log_size=1, log_index=0),
    "log's last entry": signer.payload(log_index=10),
    "bitcoin": BITCOIN.payload,
    "bitcoin, with witnesses": anchored.bitcoin(witness=True).payload,
}


@pytest.mark.parametrize("name", PAYLOADS)
def test_both_tie_what_is_right(name: str) -> None:
    assert theirs(PAYLOADS[name]) == ours(PAYLOADS[name])


def test_both_tie_an_ots_file_of_ours() -> None:
    assert MAGIC == ots.MAGIC
    for leaf_index in range(5):
        raw = to_ots(anchored.bitcoin(leaf_index=leaf_index).payload)
        established = verify_ots(raw, chains=TRUST)
        expected = (established.digest, established.timestamp_ms)
        assert ots_tied_at_ms(raw, BITCOIN.headers) == expected
    with pytest.raises(RefusalError):
        ots_tied_at_ms(OURS[:-1] + b"\x06", BITCOIN.headers)


def places(value: Any) -> list[tuple[Any, Any]]:
    """Each object or list in a payload, with each key or index of it."""
    keys = value if isinstance(value, dict) else range(len(value))
    found = [(value, key) for key in keys]
    for key in keys:
        if isinstance(value[key], dict | list):
            found += places(value[key])
    return found


LEAVES = [
    owner[key]
    for payload in (LOG, BITCOIN.payload)
    for owner, key in places(payload)
    if not isinstance(owner[key], dict | list)
]


def alter(payload: Any, random: Random) -> None:
    """One member gone, doubled, moved, damaged, or in the place of another, of either kind of proof."""
    owner, key = random.choice(places(payload))
    value = owner[key]
    match random.randrange(6):
        case 0:
            del owner[key]
        case 1:
            owner[key] = copy.deepcopy(random.choice([*LEAVES, None, [], {}, "", 0, True]))
        case 2 if isinstance(value, str) and value:
            at = random.randrange(len(value))
            owner[key] = value[:at] + random.choice("0f1a") + value[at + random.randrange(2) :]
        case 3 if isinstance(value, list) and value:
            value.insert(0, copy.deepcopy(random.choice(value)))
        case 4 if isinstance(value, int):
            owner[key] = value + random.choice((-1, 1, 2, 8))
        case _:
            other, place = random.choice(places(payload))
            if not isinstance(value, dict | list) and not isinstance(other[place], dict | list):
                owner[key], other[place] = other[place], value


@given(st.sampled_from([LOG, BITCOIN.payload]), st.integers(0, 2**32), st.integers(1, 2))
@example(LOG, 0, 0)
@example(BITCOIN.payload, 0, 0)
def test_what_ours_ties_the_other_ties(valid: Any, seed: int, changes: int) -> None:
    payload, random = copy.deepcopy(valid), Random(seed)
    for _ in range(changes):
        alter(payload, random)
    established = ours(payload)
    if established is not None:
        assert theirs(payload) == established
