"""proof webhook, as an operator types it."""

import json
from datetime import timedelta
from typing import Any

import pytest
from tests.db.cli.commands import SECRET, Proof, added, done
from tests.db.cli.conftest import Local
from tests.db.webhooks.scene import (
    Answer,
    FakeClient,
    TurnedClock,
    deliverer,
    endpoint,
    happen,
    relay_all,
)

from proof.cli.invoker import invoker
from proof.db import Database
from proof.outbound import OutboundReply
from proof.webhooks import administration

HOOK = "https://hooks.acme.example/x?token=t"
REPLY = OutboundReply(503, b"[bold]\x1b[31mtry later", False, 0.01)


def partner_of(proof: Proof, *options: str) -> str:
    return str(added(proof, *options)["partner_id"])


def environment_of(local: Local, partner_id: str, environment: str = "production") -> int:
    (row,) = local.rows(
        "SELECT id FROM partner_environments WHERE partner_id = $1 AND environment = $2",
        partner_id,
        environment,
    )
    return int(row["id"])


def attempted(local: Local, owner: int, count: int = 1) -> None:
    """Events of an environment, each tried once at a receiver that fails."""

    async def act(database: Database) -> None:
        await endpoint(database, HOOK, to=owner)
        await happen(database, count, to=owner)
        await relay_all(database)
        client = FakeClient(answers={"hooks.acme.example": REPLY})
        await deliverer(database, client, TurnedClock()).run_once()

    local.with_database(act)


def output(proof: Proof, *arguments: str) -> Any:
    return json.loads(done(proof("webhook", *arguments, "--json")))


def audited(local: Local) -> list[tuple[str, str]]:
    rows = local.rows(
        "SELECT action, actor FROM audit_log WHERE action LIKE 'webhook%' ORDER BY id"
    )
    return [(row["action"], row["actor"]) for row in rows]


def test_endpoints_are_listed_with_their_breakers(proof: Proof, local: Local) -> None:
    item, two = partner_of(proof, "--webhook", HOOK), partner_of(proof, "--webhook", HOOK)
    both = output(proof, "endpoints")
    assert {row["partner_id"] for row in both} == {item, two}
    (mine,) = output(proof, "endpoints", "--partner", item, "--env", "production")
    assert (mine["type"], mine["url"], mine["breaker"]) == ("transaction", HOOK, "closed")
    assert output(proof, "endpoints", "--partner", item, "--env", "sandbox") == []
    assert mine["id"] in done(proof("webhook", "endpoints", env={"COLUMNS": "400"}))
    nobody = proof("webhook", "endpoints", "--partner", "ptr_nobody")
    assert (nobody.exit_code, "ptr_nobody" in nobody.stderr) == (2, True)


def test_deliveries_are_filtered_and_show_the_last_answer(proof: Proof, local: Local) -> None:
    item, two = partner_of(proof), partner_of(proof)
    attempted(local, environment_of(local, item), 2)
    attempted(local, environment_of(local, two))
    assert len(output(proof, "deliveries")) == 3
    mine = output(proof, "deliveries", "--partner", item, "--env", "production")
    assert {row["partner_id"] for row in mine} == {item}
    assert len(mine) == 2
    assert (mine[0]["state"], mine[0]["last_outcome"], mine[0]["attempts"]) == ("pending", "503", 1)
    assert mine[0]["last_body"] == REPLY.body.decode()
    assert output(proof, "deliveries", "--state", "failed") == []
    assert len(output(proof, "deliveries", "--since", "1h")) == 3
    assert output(proof, "deliveries", "--since", "2100-01-01") == []
    assert len(output(proof, "deliveries", "--limit", "1")) == 1
    assert len(output(proof, "deliveries", "--endpoint", mine[0]["endpoint_id"])) == 2
    text = done(proof("webhook", "deliveries", env={"COLUMNS": "80"}))
    assert text.splitlines()[0].split() == [
        "id", "partner", "environment", "type", "subject", "happened", "state", "attempts", "last", "answer"
    ]  # fmt: skip
    assert len(text.splitlines()) == 4, "one line each, whatever the width"
    assert "[bold]\\x1b[31mtry later" in text, "a receiver's words are shown, not obeyed"


@pytest.mark.parametrize("since", ["x", "24", "-1h", "2026-13-01", "999999d"])
def test_a_time_that_is_none_is_refused(proof: Proof, since: str) -> None:
    result = proof("webhook", "deliveries", f"--since={since}")
    assert (result.exit_code, "--since" in result.stderr) == (2, True)


def test_replay_sends_again_what_was_named(proof: Proof, local: Local) -> None:
    partner_id = partner_of(proof)
    attempted(local, environment_of(local, partner_id), 3)
    local.rows("UPDATE webhook_deliveries SET state = 'failed' RETURNING id")
    first, *_ = output(proof, "deliveries")
    where = (partner_id, "--env", "production")
    pending = {"endpoint_id": first["endpoint_id"], "waiting": "worker", "next_at": None}
    assert output(proof, "replay", *where, "--delivery", str(first["id"])) == {
        "replayed": 1,
        "pending": [pending | {"count": 1}],
    }
    assert output(proof, "replay", *where, "--failed") == {
        "replayed": 2,
        "pending": [pending | {"count": 3}],
    }
    assert done(proof("webhook", "replay", *where, "--since", "1h", "--until", "1m")) == (
        "0 pending again\n"
    )
    assert {row["state"] for row in output(proof, "deliveries")} == {"pending"}
    assert audited(local) == [("webhook.replay", invoker().name)] * 3
    for wrong in ((), ("--until", "1h"), ("--failed", "--delivery", "1"), ("--delivery", "99999")):
        assert proof("webhook", "replay", *where, *wrong).exit_code == 2
    assert len(audited(local)) == 3


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            "breaker = 'disabled', reason = 'gone', disabled_at = now()",
            "the endpoint is disabled",
        ),
        (
            "breaker = 'open', reason = 'x', opened_at = now(), probe_at = '2026-11-21 10:00Z'",
            "answered, 2026-11-21T10:00:00Z;",
        ),
        ("breaker = 'closed'", "are due now; a worker sends them"),
    ],
)
def test_replay_says_what_it_waits_for(proof: Proof, local: Local, change: str, said: str) -> None:
    partner_id = partner_of(proof)
    attempted(local, environment_of(local, partner_id), 2)
    local.rows("UPDATE webhook_deliveries SET due_at = now(), next_attempt_at = now() RETURNING id")
    local.rows(f"UPDATE webhook_endpoints SET {change} RETURNING id")
    text = done(proof("webhook", "replay", partner_id, "--env", "production", "--since", "1h"))
    first, second = text.splitlines()
    assert first == "0 pending again"
    assert second.startswith("2 at ")
    assert said in second


def test_a_test_event_is_sent(proof: Proof, local: Local) -> None:
    partner_id = partner_of(proof, "--webhook", HOOK)
    (sent,) = output(proof, "test", partner_id, "--env", "production", "--wait", "0")
    (only,) = output(proof, "endpoints")
    assert sent["endpoint_id"] == only["id"]
    where = (partner_id, "--env", "production", "--endpoint", only["id"])
    assert only["id"] in done(proof("webhook", "test", *where, "--wait", "0"))
    client = FakeClient()

    async def act(database: Database) -> None:
        await relay_all(database)
        clock = TurnedClock()
        clock.turn(timedelta(seconds=1).total_seconds())
        await deliverer(database, client, clock).run_once()

    local.with_database(act)
    assert sent["webhook_id"] in [headers["webhook-id"] for _, _, headers in client.sent]
    assert len(client.sent) == 2
    assert audited(local) == [("webhook.test", invoker().name)] * 2
    none = proof("webhook", "test", partner_id, "--env", "sandbox")
    assert (none.exit_code, "no webhook endpoint" in none.stderr) == (2, True)
    others = proof("webhook", "test", partner_id, "--env", "sandbox", "--endpoint", only["id"])
    assert others.exit_code == 2


@pytest.mark.parametrize(
    ("answer", "code", "said"),
    [
        (200, 0, "delivered, answered 200"),
        (REPLY, 1, "not taken: 503 [bold]\\x1b[31mtry later; it is tried again"),
        (410, 1, "not taken: 410"),
    ],
)
def test_a_test_tells_what_the_receiver_made_of_it(
    proof: Proof,
    local: Local,
    monkeypatch: pytest.MonkeyPatch,
    answer: Answer,
    code: int,
    said: str,
) -> None:
    partner_id = partner_of(proof, "--webhook", HOOK)
    client = FakeClient(answers={"hooks.acme.example": answer})
    looked = administration._deliveries

    async def look_then_work(database: Database, *rest: Any) -> Any:
        found = await looked(database, *rest)
        await relay_all(database)
        await deliverer(database, client, TurnedClock()).run_once()
        return found

    monkeypatch.setattr(administration, "_deliveries", look_then_work)
    where = (partner_id, "--env", "production")
    result = proof("webhook", "test", *where)
    assert (result.exit_code, said in result.stdout) == (code, True), result.output
    row = json.loads(proof("webhook", "test", *where, "--wait", "1", "--json").stdout)[0]
    assert (row["state"] == "delivered") == (code == 0)


def test_a_test_that_nobody_sends_is_told_as_open(proof: Proof) -> None:
    partner_id = partner_of(proof, "--webhook", HOOK)
    result = proof("webhook", "test", partner_id, "--env", "production", "--wait", "0.1")
    assert result.exit_code == 3
    assert "does a worker run" in result.stdout


def test_an_endpoint_is_changed(proof: Proof, local: Local) -> None:
    partner_id = partner_of(proof, "--webhook", HOOK)
    (item,) = output(proof, "endpoints")
    where = (partner_id, "--env", "production", "--endpoint", item["id"])
    changed = output(proof, "change", *where, "--ordering", "subject", "--ed25519")
    (public,) = changed["public_keys"]
    assert public.startswith("whpk_")
    assert (changed["ordering"], changed["ed25519"]) == ("subject", True)
    assert output(proof, "endpoints") == [changed]
    assert f"v1a {public}" in done(proof("webhook", "change", *where, "--enable"))
    back = output(proof, "change", *where, "--ordering", "none", "--no-ed25519")
    assert back == item
    assert audited(local) == [("webhook.change", invoker().name)] * 3
    for wrong in ((*where,), (partner_id, "--env", "sandbox", *where[3:], "--enable")):
        assert proof("webhook", "change", *wrong).exit_code == 2
    assert len(audited(local)) == 3


def test_secrets_are_rotated_and_shown(proof: Proof, local: Local) -> None:
    sheet = added(proof)
    first, where = (
        sheet["production"]["webhook_secret"],
        (sheet["partner_id"], "--env", "production"),
    )
    rotated = output(proof, "secret", "rotate", *where)
    assert list(rotated) == ["id", "secret", "ending"]
    shown = output(proof, "secret", "show", *where)
    assert [item["secret"] for item in shown] == [rotated["secret"], first]
    assert [item["ends_at"] for item in shown] == [None, *rotated["ending"].values()]
    text = done(proof("webhook", "secret", "show", *where))
    assert SECRET.findall(text) == SECRET.findall(f"{rotated['secret']} {first}")
    assert text.count("until") == 1
    last = done(proof("webhook", "secret", "rotate", *where, "--grace", "0"))
    assert [item["secret"] for item in output(proof, "secret", "show", *where)] == [
        last.splitlines()[0]
    ]
    assert [action for action, _ in audited(local)] == [
        "webhook_secret.rotate", "webhook_secret.show", "webhook_secret.show",
        "webhook_secret.rotate", "webhook_secret.show",
    ]  # fmt: skip
    wrong = proof("webhook", "secret", "rotate", *where, "--grace", "8d")
    assert (wrong.exit_code, "grace" in wrong.stderr) == (2, True)


def test_an_endpoint_of_transactions_chooses_its_events(proof: Proof, local: Local) -> None:
    partner_id = partner_of(proof, "--webhook", "https://hooks.acme.example/")
    [endpoint] = output(proof, "endpoints", "--partner", partner_id, "--env", "production")
    assert endpoint["events"] == ["transaction.status"]
    change = ("webhook", "change", partner_id, "--env", "production", "--endpoint", endpoint["id"])
    both = "transaction.receipt,transaction.status"
    changed = json.loads(done(proof(*change, "--events", both, "--json")))
    assert changed["events"] == both.split(",")
    assert "transaction.receipt" in done(proof(*change, "--ordering", "subject"))
    (entry, *_) = json.loads(done(proof("audit", "list", "--action", "webhook.change", "--json")))
    assert entry["after"]["events"] == both.split(",")
    for wrong in ("transaction.refused", "", "transaction.status,transaction.status"):
        refused = proof(*change, "--events", wrong)
        assert (refused.exit_code, "transaction.receipt" in refused.stderr) == (2, True)
    [endpoint] = output(proof, "endpoints", "--partner", partner_id, "--env", "production")
    assert endpoint["events"] == both.split(",")
