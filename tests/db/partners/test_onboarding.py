"""Onboarding: all of it or nothing, and no secret left readable."""

from base64 import b64decode
from typing import Any

import asyncpg
import pytest
from tests.support.application import Platform, Stage
from tests.support.partners import issued, onboard

from proof.core.errors import InvalidInputError
from proof.core.secrets import Vault
from proof.db import Database
from proof.partners.keys.webhook_secrets import webhook_secrets
from proof.partners.types import Environment
from proof.timestamps.anchors.log.keys import ROLES


async def test_both_environments_with_credentials_of_their_own(platform: Platform) -> None:
    partner = await onboard(platform.database, platform.vault)
    assert [environment.environment for environment in partner.environments] == list(Environment)
    handed = [
        secret
        for environment in partner.environments
        for secret in (
            environment.api_key,
            environment.client_token,
            environment.webhook_secret,
            environment.widget_id,
        )
    ]
    assert len(set(handed)) == 8
    for environment in partner.environments:
        mark = "live" if environment.environment is Environment.PRODUCTION else "test"
        assert environment.api_key.startswith(f"proof_{mark}_")
        assert environment.client_token.startswith(f"proof_{mark}_")
        async with platform.database.connection() as connection:
            (secret,) = await webhook_secrets(
                connection, platform.vault, environment.partner_environment_id
            )
        assert b64decode(environment.webhook_secret.removeprefix("whsec_")) == secret
        assert len(secret) == 32


BAD: dict[str, tuple[dict[str, Any], str]] = {
    "no name": ({"name": " "}, "name"),
    "long name": ({"name": "x" * 201}, "name"),
    "control character in the name": ({"name": "a\x00b"}, "name"),
    "newline in the name": ({"name": "a\nb"}, "name"),
    "no network": ({"production_networks": ()}, "production.ips"),
    "no e-mail": ({"contact_email": "nobody"}, "contact_email"),
    "two e-mails": ({"contact_email": "a@b.example,c@d.example"}, "contact_email"),
    "NUL in the e-mail": ({"contact_email": "a\x00@b.example"}, "contact_email"),
    "long e-mail": ({"contact_email": "a@" + "b" * 250 + ".example"}, "contact_email"),
    "origin with a path": (
        {"widget_origins": ("https://shop.example/",)},
        "production.widget_origins\\[0\\]",
    ),
    "origin without scheme": (
        {"widget_origins": ("shop.example",)},
        "production.widget_origins\\[0\\]",
    ),
    "origin with a user": (
        {"widget_origins": ("https://u@shop.example",)},
        "production.widget_origins\\[0\\]",
    ),
    "origin that is no URL": (
        {"widget_origins": ("https://[",)},
        "production.widget_origins\\[0\\]",
    ),
    "origin with NUL": (
        {"widget_origins": ("https://a\x00b",)},
        "production.widget_origins\\[0\\]",
    ),
    "origin with an impossible port": (
        {"widget_origins": ("https://a:99999",)},
        "production.widget_origins\\[0\\]",
    ),
    "origin of script": (
        {"widget_origins": ("javascript:alert(1)",)},
        "production.widget_origins\\[0\\]",
    ),
    "second origin wrong": (
        {"widget_origins": ("https://a.example", "*")},
        "production.widget_origins\\[1\\]",
    ),
}


@pytest.mark.parametrize("case", BAD)
async def test_what_is_refused_leaves_nothing(platform: Platform, case: str) -> None:
    changes, field = BAD[case]

    tables = ("partners", "partner_environments", "credentials", "audit_log")
    count = "SELECT " + ", ".join(f"(SELECT count(*) FROM {table})" for table in tables)
    before = await platform.fetch(count)
    with pytest.raises(InvalidInputError, match=f"^{field}: "):
        await onboard(platform.database, platform.vault, **({"name": "Acme"} | changes))
    assert await platform.fetch(count) == before


@pytest.mark.parametrize(
    "origin", ["https://shop.example", "http://localhost:3000", "https://[::1]:8443"]
)
async def test_origins_are_kept_as_browsers_send_them(platform: Platform, origin: str) -> None:
    partner = await onboard(platform.database, platform.vault, widget_origins=(origin, origin))
    for environment in partner.environments:
        rows = await platform.fetch(
            "SELECT origin FROM widget_origins WHERE partner_environment_id = $1",
            environment.partner_environment_id,
        )
        kept = origin.startswith("https:") or environment.environment is Environment.SANDBOX
        assert [row["origin"] for row in rows] == [origin] * kept


async def test_onboarding_is_in_the_audit_log_without_secrets(platform: Platform) -> None:
    partner = await onboard(platform.database, platform.vault, "Audited", off_ramp=True)
    (row,) = await platform.fetch(
        "SELECT * FROM audit_log WHERE partner_id = $1", partner.partner_id
    )
    assert (row["actor"], row["action"]) == ("operator", "partner.add")
    assert row["before"] is None
    assert '"name": "Audited"' in row["after"]
    assert "203.0.113.0/24" in row["after"]
    assert "proof_live_" not in row["after"]
    assert "whsec_" not in row["after"]


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE audit_log SET actor = 'nobody'",
        "UPDATE audit_log SET after = NULL WHERE false",
        "DELETE FROM audit_log",
        "TRUNCATE audit_log",
        "DROP TABLE audit_log",
        "ALTER TABLE audit_log DISABLE TRIGGER ALL",
    ],
)
async def test_the_application_cannot_change_the_audit_log(
    platform: Platform, statement: str
) -> None:
    await onboard(platform.database, platform.vault)
    before = await platform.fetch("SELECT * FROM audit_log ORDER BY id")
    connection = await platform.database.dedicated()
    try:
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.execute(statement)
    finally:
        await connection.close()
    assert before
    assert await platform.fetch("SELECT * FROM audit_log ORDER BY id") == before


async def dump(arguments: dict[str, Any]) -> bytes:
    """Every byte of every table, in PostgreSQL's binary COPY format and as text."""
    database = await Database.open(arguments)
    parts: list[bytes] = []

    async def keep(data: bytes) -> None:
        parts.append(data)

    async with database.connection() as connection:
        tables = await connection.fetch(
            "SELECT relname FROM pg_class WHERE relkind IN ('r', 'p')"
            " AND relnamespace = 'public'::regnamespace"
        )
        assert len(tables) > 15
        for row in tables:
            for form in ("binary", "text"):
                query = f'SELECT * FROM "{row["relname"]}"'  # a partitioned table is copied like this only
                await connection.copy_from_query(query, output=keep, format=form)
    await database.close()
    return b"".join(parts)


def test_no_table_holds_a_secret_in_any_reading(alone: Stage) -> None:
    platform = alone.platform

    async def scene() -> None:
        partner = await platform.onboard("Dumped")
        for environment in partner.environments:
            token, prefix = (
                environment.api_key,
                "/sandbox" * (environment.environment is Environment.SANDBOX),
            )
            setting = {"notification": {"proof": {"target": "https://one.example/hook"}}}
            await platform.call("PATCH", f"{prefix}/v1/api-key/setting", setting, token=token)
            body = {"sha256": ["ab" * 32]}
            await platform.call("POST", f"{prefix}/v1/timestamp", body, token=token)
        await platform.seal()
        token = issued(partner).api_key
        request = {"currencyId": 900, "sha256": "ab" * 32}
        assert (await platform.call("POST", "/v1/proof", request, token=token)).status == 202
        found = await dump(alone.arguments)
        assert b"Dumped" in found, "the dump reads the tables"
        assert bytes.fromhex("ab" * 32) in found
        for environment in partner.environments:
            secret = environment.webhook_secret.removeprefix("whsec_")
            raw = b64decode(secret)
            needles = {
                "webhook secret": [secret.encode(), raw, raw.hex().encode()],
                "api key": [
                    environment.api_key.encode(),
                    environment.api_key.split("_")[3].encode(),
                ],
                "client token": [
                    environment.client_token.encode(),
                    environment.client_token.split("_")[3].encode(),
                ],
            }
            for name, forms in needles.items():
                assert not any(form in found for form in forms), name
        await require_log_keys_sealed(platform, found)

    alone.run(scene())


async def require_log_keys_sealed(platform: Platform, found: bytes) -> None:
    rows = await platform.fetch("SELECT label, role, sealed FROM log_keys")
    assert len(rows) == 2 * len(ROLES), "a log, a cosigner and its second key, in each environment"
    for row in rows:
        identity = f"{row['role']} key of the {row['label']} log"
        private = platform.vault.open(row["sealed"], identity)
        assert private not in found
        assert private.hex().encode() not in found


async def test_secrets_stay_readable_while_the_key_encryption_key_is_rotated(
    platform: Platform,
) -> None:
    partner = await onboard(platform.database, platform.vault)
    identity = issued(partner).partner_environment_id
    rotated = Vault([b"n" * 32, bytes(range(32))])
    async with platform.database.connection() as connection:
        before = await webhook_secrets(connection, platform.vault, identity)
        assert await webhook_secrets(connection, rotated, identity) == before
