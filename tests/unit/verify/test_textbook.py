"""What ours ties, a verifier written from the documentation alone ties at the same time."""

import copy
import json
from collections.abc import Iterator
from functools import reduce
from itertools import combinations
from operator import getitem
from typing import Any

import pytest
from tests.support import anchored, signer, upstreams
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
    "upstream": upstreams.upstream(),
    "upstream's upstream": upstreams.nested(4),
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


Place = tuple[Any, ...]
"""The keys and indexes that lead to a value in a payload."""


def places(value: Any, above: Place = ()) -> Iterator[Place]:
    if above:
        yield above
    if isinstance(value, dict | list):
        for key in value if isinstance(value, dict) else range(len(value)):
            yield from places(value[key], (*above, key))


def at(payload: Any, place: Place) -> Any:
    return reduce(getitem, place, payload)


def with_value(payload: Any, place: Place, value: Any) -> Any:
    changed = copy.deepcopy(payload)
    at(changed, place[:-1])[place[-1]] = value
    return changed


def altered(payload: Any) -> Iterator[Any]:
    """The payload with one value gone, damaged, doubled or of another type, or two exchanged."""
    for place in places(payload):
        gone = copy.deepcopy(payload)
        del at(gone, place[:-1])[place[-1]]
        yield gone
        value = at(payload, place)
        others: list[Any] = [None, [], {}, ""]
        if isinstance(value, int):
            others = [value - 1, value + 1, value + 8, str(value)]
        elif isinstance(value, list) and value:
            others = [value[:-1], value[1:], [*value, value[-1]], [value[0], *value], value[::-1]]
        elif isinstance(value, str):
            others = [value[:-1], value + "0", "0" + value[1:], value[:-1] + "1", value.upper()]
        yield from (with_value(payload, place, other) for other in others)
    texts = [place for place in places(payload) if isinstance(at(payload, place), str)]
    for one, other in combinations(texts, 2):
        moved = with_value(payload, one, at(payload, other))
        yield moved
        yield with_value(moved, other, at(payload, one))


@pytest.mark.parametrize("name", ["log", "bitcoin", "upstream"])
def test_what_ours_ties_the_other_ties(name: str) -> None:
    """Most of what is altered both refuse; ours may refuse more."""
    tied = 0
    for payload in altered(PAYLOADS[name]):
        established = ours(payload)
        if established is not None:
            tied += 1
            assert theirs(payload) == established
    assert tied
