"""What opening a session writes, and what it does not."""

import asyncio
import hashlib
import json
from datetime import UTC, datetime, timedelta
from uuid import UUID

from tests.support.application import Platform
from tests.support.ramp import chain_of, row_of
from tests.support.sessions import BODY, EMAIL, OWN, WALLET, open_session, ramp_partner

from proof.core.canonical import canonical_json
from proof.core.clock import moment_text
from proof.partners.audit import Actor
from proof.partners.keys import session_signing
from proof.partners.types import Environment
from proof.ramp import personal
from proof.ramp.personal import Kind
from proof.ramp.records import salt_of

PRODUCTION, SANDBOX = Environment.PRODUCTION, Environment.SANDBOX
TABLES = (
    "ramp_users",
    "ramp_transactions",
    "ramp_sessions",
    "ramp_personal",
    "ramp_records",
    "idempotency_keys",
    "outbox",
    "audit_log",
)


async def test_a_users_first_sessions_at_once_make_one_user(platform: Platform) -> None:
    shop = await ramp_partner(platform)
    answers = await asyncio.gather(*(open_session(platform, shop) for _ in range(10)))
    assert {answer.status for answer in answers} == {200}
    rows = await platform.fetch(
        "SELECT count(DISTINCT user_id) AS users, count(*) AS transactions"
        " FROM ramp_transactions WHERE id = ANY($1)",
        [UUID(answer.json["merchant_transaction_id"]) for answer in answers],
    )
    assert tuple(rows[0]) == (1, 10)


async def test_people_are_found_in_no_table(platform: Platform) -> None:
    shop = await ramp_partner(platform, own_address=True)
    changes = {"address": OWN, "client_ip": "192.0.2.123"}
    opened = await open_session(platform, shop, SANDBOX, changes, key="k")
    text = ""
    for table in TABLES:
        rows = await platform.fetch(f"SELECT one::text AS row FROM {table} one")
        text += "".join(row["row"] for row in rows)
    secrets = [EMAIL, OWN, "192.0.2.123", opened.json["init_token"]]
    for secret in secrets:
        assert secret not in text
        assert secret.encode().hex() not in text
    async with platform.database.connection() as connection:
        known = await personal.read(
            connection, platform.vault, UUID(opened.json["merchant_transaction_id"])
        )
    assert known == {Kind.EMAIL: EMAIL, Kind.ADDRESS: OWN, Kind.CLIENT_IP: "192.0.2.123"}


async def test_a_sandboxs_clock_is_in_ramp_objects_and_nowhere_else(platform: Platform) -> None:
    shop = await ramp_partner(platform)
    for environment in Environment:
        await platform.fetch(
            "INSERT INTO sandbox_clocks SELECT id, 864000 FROM partner_environments"
            " WHERE widget_id = $1 AND environment = 'sandbox'",
            shop.widget_id(environment),
        )
        opened = await open_session(platform, shop, environment, key="k")
        (row,) = await platform.fetch(
            "SELECT t.created_at, t.updated_at, s.init_expires_at, p.created_at AS real,"
            " k.created_at AS keyed FROM ramp_transactions t"
            " JOIN ramp_sessions s ON s.transaction_id = t.id JOIN ramp_personal p"
            " ON p.transaction_id = t.id AND kind = 'email'"
            " JOIN idempotency_keys k ON k.transaction_id = t.id WHERE t.id = $1",
            UUID(opened.json["merchant_transaction_id"]),
        )
        ahead = timedelta(days=10 if environment is SANDBOX else 0)
        assert row["real"] == row["keyed"]
        assert row["created_at"] == row["updated_at"] == row["real"] + ahead
        assert row["init_expires_at"] == row["created_at"] + timedelta(hours=1)


async def test_an_opening_is_the_first_record_of_its_transaction(platform: Platform) -> None:
    """What was signed, in the time of the environment; of people only salted hashes."""
    shop = await ramp_partner(platform, own_address=True)
    for environment in Environment:
        await platform.fetch(
            "INSERT INTO sandbox_clocks SELECT id, 864000 FROM partner_environments"
            " WHERE widget_id = $1 AND environment = 'sandbox'",
            shop.widget_id(environment),
        )
        changes = {"address": OWN, "partner_reference": "order 7"}
        opened = (await open_session(platform, shop, environment, changes)).json
        made = UUID(opened["merchant_transaction_id"])
        [record] = await chain_of(platform.database, made)
        row = await row_of(platform.database, made)
        async with platform.database.connection() as connection:
            known = await personal.read_for_records(connection, platform.vault, [made])

        def hashed(name: str, value: str, secret: bytes = known[made][Kind.SALT]) -> str:
            return hashlib.sha256(salt_of(secret, 1, name) + value.encode()).hexdigest()

        told = json.loads(record)
        assert record == canonical_json(told)
        assert told == {
            "version": 3,
            "kind": "session.opened",
            "id": told["id"],
            "merchant_transaction_id": str(made),
            "partner_id": shop.partner.partner_id,
            "environment": environment.value,
            "sequence": 1,
            "previous_sha256": "",
            "recorded_at": moment_text(row["created_at"]),
            "created_at": moment_text(row["created_at"]),
            "type": "buy",
            "currency": opened["currency"],
            "network": opened["network"],
            "crypto_amount": opened["amount"],
            "fiat_currency": opened["fiat_currency"],
            "fee_terms": "quoted_in_widget",
            "partner_user_id_sha256": hashed("partner_user_id", BODY["partner_user_id"]),
            "partner_reference_sha256": hashed("partner_reference", "order 7"),
            "user_email_sha256": hashed("user_email", EMAIL),
            "address_sha256": hashed("address", OWN),
        }
        assert (row["chain_length"], row["chain_sha256"]) == (1, hashlib.sha256(record).digest())
        assert (row["event_count"], row["event_sha256"]) == (0, None)


async def test_no_event_is_written_before_the_status_changes(platform: Platform) -> None:
    opened = await open_session(platform, await ramp_partner(platform))
    rows = await platform.fetch(
        "SELECT 1 FROM outbox WHERE subject = $1", opened.json["merchant_transaction_id"]
    )
    assert rows == []


async def test_what_the_operator_changes_is_known_with_the_next_look(platform: Platform) -> None:
    shop = await ramp_partner(platform)
    assert (await open_session(platform, shop)).json["address"] == WALLET
    await platform.fetch(
        "UPDATE wallets SET active = NOT active WHERE partner_environment_id ="
        " (SELECT id FROM partner_environments WHERE widget_id = $1)",
        shop.widget_id(SANDBOX),
    )
    await platform.poll()
    assert (await open_session(platform, shop)).json["code"] == "WALLET_NOT_SUPPORTED"
    other = await open_session(platform, shop, SANDBOX, {"network": "ERC20"})
    assert other.status == 200


async def test_a_session_signed_with_a_key_that_was_just_retired_verifies(
    platform: Platform,
) -> None:
    shop = await ramp_partner(platform)
    await open_session(platform, shop)
    now = datetime.now(UTC)
    async with platform.database.transaction() as tx:
        await session_signing.rotate(tx, platform.vault, SANDBOX, Actor("operator"), now)
    # This process may still hold the ring it read before.
    body = (await open_session(platform, shop)).json
    signed = session_signing.SessionParameters(WALLET, "", body["merchant_transaction_id"])
    async with platform.database.connection() as connection:
        await session_signing.verify(
            connection,
            platform.vault,
            SANDBOX,
            signed,
            body["signature"],
            now + timedelta(hours=25),
        )
