"""proof keys: a key that became known ends at once."""

import json

import pytest
from tests.db.cli.commands import Proof, done
from tests.db.cli.conftest import Local

from proof.db import Database
from proof.timestamps.anchors.log.service import ensure_log

ROTATE = ("keys", "rotate", "--env", "production")


def listed(proof: Proof) -> list[tuple[str, bool]]:
    found = json.loads(done(proof("keys", "list", "--json")))
    return [(item["key_id"], item["retired_at"] is None) for item in found]


def test_a_leaked_key_ends_now_and_the_other_ring_stays(proof: Proof) -> None:
    first, second, other = (
        json.loads(done(proof("keys", "rotate", "--env", env, "--json")))["key_id"]
        for env in ("production", "production", "sandbox")
    )
    assert listed(proof) == [(second, True), (first, False), (other, True)]
    made = json.loads(done(proof(*ROTATE, "--grace", "0", "--json")))
    assert made["old_keys_withdrawn"] is True
    assert listed(proof) == [(made["key_id"], True), (other, True)]
    entries = json.loads(done(proof("audit", "list", "--action", "signing_key.delete", "--json")))
    assert {entry["before"]["key_id"] for entry in entries} == {first, second}
    assert {entry["actor"][:4] for entry in entries} == {"cli:"}
    assert "verifies no longer" in done(proof(*ROTATE, "--grace", "0"))


@pytest.mark.parametrize("grace", ["1h", "48h", "soon", "-1"])
def test_a_time_in_between_changes_nothing(proof: Proof, grace: str) -> None:
    result = proof(*ROTATE, "--grace", grace)
    assert result.exit_code == 2
    assert "--grace" in result.stderr
    assert listed(proof) == []


def test_the_key_of_receipts_is_replaced_and_the_former_one_listed(
    proof: Proof, local: Local
) -> None:
    async def prepared(database: Database) -> None:
        await ensure_log(database, local.secrets, "production", "proof.example/log")

    local.with_database(prepared)
    rotate_receipts = ("keys", "receipts", "rotate", "--env", "production")
    first = json.loads(done(proof(*rotate_receipts, "--json")))["key"]
    assert first.startswith("proof.example/log/receipts+")
    second = done(proof(*rotate_receipts)).split()[-1]
    found = json.loads(done(proof("keys", "receipts", "list", "--json")))
    assert [(key["key"], key["retired_at"] is None) for key in found] == [
        (second, True),
        (first, False),
    ]
    shown = done(proof("keys", "receipts", "list"))
    assert "signs now" in shown
    assert first in shown
