"""Operators: tokens of their own kind, seen once, out within half a second of being revoked."""

import asyncio
import json
from contextlib import asynccontextmanager
from datetime import timedelta
from ipaddress import ip_address, ip_network
from typing import Any

import pytest
from tests.db.ramp.transactions.scene import TurnedClock
from tests.support.application import Platform
from tests.support.partners import issued, onboard

from proof.core.clock import SystemClock
from proof.core.errors import DatabaseUnavailableError, InvalidInputError, NotFoundError
from proof.core.ids import checksum
from proof.db import Database
from proof.partners.access import operators as module
from proof.partners.access.operators import (
    DEFAULT_DAYS,
    MOST_DAYS,
    IssuedOperator,
    Operator,
    Operators,
    OperatorScope,
    add_operator,
    list_operators,
    revoke_operator,
)
from proof.partners.access.tokens import parse_token
from proof.partners.audit import Actor
from proof.partners.errors import (
    AddressNotAllowedError,
    DirectoryStaleError,
    InvalidTokenError,
    MissingTokenError,
    ScopeError,
)

READ, WRITE = OperatorScope.READ, OperatorScope.WRITE
HOME = "203.0.113.9"


async def new(
    platform: Platform, scope: OperatorScope, name: str = "Ops", **terms: Any
) -> IssuedOperator:
    async with platform.database.transaction() as tx:
        return await add_operator(tx, name, scope, Actor("cli"), **terms)


async def admitted(
    known: Operators, token: str | None, scope: OperatorScope, address: str = HOME
) -> Operator:
    return await known.admit(token, scope, ip_address(address), "req_1")


async def test_a_token_opens_what_its_scope_says(platform: Platform) -> None:
    reader, writer = await new(platform, READ), await new(platform, WRITE)
    known = Operators(platform.database, SystemClock())
    assert (await admitted(known, reader.token, READ)).key_id == reader.key_id
    assert (await admitted(known, writer.token, READ)).key_id == writer.key_id
    assert (await admitted(known, writer.token, WRITE)).key_id == writer.key_id
    with pytest.raises(ScopeError, match="scope write"):
        await admitted(known, reader.token, WRITE)


async def test_whatever_is_not_a_live_operators_token_gets_one_answer(platform: Platform) -> None:
    operator, partner = (
        await new(platform, WRITE),
        await onboard(platform.database, platform.vault),
    )
    known = Operators(platform.database, SystemClock())
    head = operator.token.rpartition("_")[0]
    forged = head[:-1] + ("0" if head[-1] != "0" else "1")
    for token in (
        "x", operator.token[:-1], operator.token + "0", operator.token.upper(), f"{forged}_000000",
        f"{forged}_{checksum(forged)}", issued(partner).api_key, issued(partner).client_token,
        operator.token.replace("proof_ops_", "proof_live_"), operator.token + "\x00", "ü",
    ):  # fmt: skip
        with pytest.raises(InvalidTokenError, match=r"^the credential is not valid here$"):
            await admitted(known, token, READ)
    for nothing in (None, ""):
        with pytest.raises(MissingTokenError):
            await admitted(known, nothing, READ)
    assert parse_token(operator.token) is None, "no partner's gate takes it for a token"


async def test_a_revoked_operator_is_out_in_every_process_and_for_good(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    operator = await new(platform, WRITE)
    processes = [Operators(platform.database, SystemClock()) for _ in range(2)]
    for process in processes:
        await admitted(process, operator.token, WRITE)
    async with platform.database.transaction() as tx:
        await revoke_operator(tx, operator.key_id, Actor("cli"))
        await revoke_operator(tx, operator.key_id, Actor("cli"))
    monkeypatch.setattr(module, "TRUST_S", 0.0)
    for process in processes:
        with pytest.raises(InvalidTokenError):
            await admitted(process, operator.token, WRITE)
    rows = await platform.fetch(
        "SELECT action, before::text, after::text FROM audit_log WHERE $1 IN"
        " (before->>'key_id', after->>'key_id') ORDER BY id",
        operator.key_id,
    )
    assert [row["action"] for row in rows] == ["operator.add", "operator.revoke"]
    ended = {"key_id": operator.key_id, "name": "Ops", "scope": "write"}
    assert json.loads(rows[1]["before"]) == ended
    assert not any(operator.token in str(tuple(row)) for row in rows)
    async with platform.database.connection() as connection:
        (kept,) = [
            item for item in await list_operators(connection) if item.key_id == operator.key_id
        ]
    assert kept.revoked_at is not None
    assert operator.token not in repr(kept)
    assert operator.token not in repr(operator)


def test_trust_ends_within_a_second() -> None:
    assert module.TRUST_S < 1


async def test_a_new_operator_is_known_at_once_and_a_flood_shares_a_read(
    platform: Platform,
) -> None:
    counted = _Counted(platform.database)
    known = Operators(counted, SystemClock())  # type: ignore[arg-type]
    for _ in range(3):
        await admitted(known, (await new(platform, READ)).token, READ)
    reads = counted.reads
    head = (await new(platform, READ)).token.rpartition("_")[0]
    unknown = f"{head[:10]}{'0' * 13}{head[23:]}"
    token = f"{unknown}_{checksum(unknown)}"
    flood = [admitted(known, token, READ) for _ in range(100)]
    results = await asyncio.gather(*flood, return_exceptions=True)
    assert all(isinstance(result, InvalidTokenError) for result in results)
    assert counted.reads == reads + 1


async def test_a_wrong_secret_goes_the_way_of_an_unknown_key_id(platform: Platform) -> None:
    counted = _Counted(platform.database)
    known = Operators(counted, SystemClock())  # type: ignore[arg-type]
    right = (await new(platform, READ)).token.rpartition("_")[0]
    await admitted(known, f"{right}_{checksum(right)}", READ)
    secret = right[:-1] + ("0" if right[-1] != "0" else "1")
    for head in (secret, f"{right[:10]}{'0' * 13}{right[23:]}"):
        reads = counted.reads
        with pytest.raises(InvalidTokenError):
            await admitted(known, f"{head}_{checksum(head)}", READ)
        assert counted.reads == reads + 1


async def test_many_calls_at_once_share_one_read(platform: Platform) -> None:
    operator = await new(platform, READ)
    counted = _Counted(platform.database)
    known = Operators(counted, SystemClock())  # type: ignore[arg-type]
    await asyncio.gather(*(admitted(known, operator.token, READ) for _ in range(20)))
    assert counted.reads == 1


async def test_what_was_read_a_moment_ago_is_trusted(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "TRUST_S", 3600)
    operator = await new(platform, READ)
    counted = _Counted(platform.database)
    known = Operators(counted, SystemClock())  # type: ignore[arg-type]
    for _ in range(3):
        await admitted(known, operator.token, READ)
    assert counted.reads == 1


async def test_nobody_is_trusted_while_the_database_does_not_answer(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    operator = await new(platform, READ)
    counted = _Counted(platform.database)
    known = Operators(counted, SystemClock())  # type: ignore[arg-type]
    await admitted(known, operator.token, READ)
    counted.broken = True
    monkeypatch.setattr(module, "TRUST_S", 0.0)
    with pytest.raises(DirectoryStaleError):
        await admitted(known, operator.token, READ)


async def test_a_token_ends_on_its_day_and_answers_as_if_there_were_none(
    platform: Platform,
) -> None:
    clock = TurnedClock()
    known = Operators(platform.database, clock)
    short, usual = await new(platform, READ, days=1), await new(platform, READ)
    clock.moment = short.expires_at - timedelta(microseconds=1)
    await admitted(known, short.token, READ)
    clock.moment = short.expires_at
    with pytest.raises(InvalidTokenError, match=r"^the credential is not valid here$"):
        await admitted(known, short.token, READ)
    assert usual.expires_at - short.expires_at > timedelta(days=DEFAULT_DAYS - 1, minutes=-5)
    clock.moment = usual.expires_at - timedelta(microseconds=1)
    await admitted(known, usual.token, READ)


async def test_a_token_with_an_allowlist_is_good_from_there_alone(platform: Platform) -> None:
    networks = [ip_network("192.0.2.0/28"), ip_network("2001:db8::/48")]
    bound = await new(platform, WRITE, networks=[*networks, networks[0]])
    assert bound.networks == tuple(networks)
    known = Operators(platform.database, SystemClock())
    for address in ("192.0.2.15", "2001:db8::1"):
        found = await admitted(known, bound.token, WRITE, address)
        assert found.networks == tuple(networks)
    for address in ("192.0.2.16", "2001:db9::1", HOME):
        with pytest.raises(AddressNotAllowedError, match=address):
            await admitted(known, bound.token, WRITE, address)
    anywhere = await new(platform, WRITE)
    await admitted(known, anywhere.token, WRITE, "2001:db9::1")


@pytest.mark.parametrize(
    ("terms", "said"),
    [
        ({"days": 0}, r"^days: 1 to 3650 are possible, not 0$"),
        ({"days": MOST_DAYS + 1}, "^days: "),
        ({"days": 10**12}, "^days: "),
        ({"networks": [ip_network("10.0.0.0/8"), ip_network("0.0.0.0/0")]}, r"^ips: 0\.0\.0\.0/0 "),
        ({"networks": [ip_network("2001::/16")]}, "^ips: 2001::/16 "),
    ],
)
async def test_terms_out_of_bounds_are_refused(
    platform: Platform, terms: dict[str, Any], said: str
) -> None:
    with pytest.raises(InvalidInputError, match=said):
        await new(platform, READ, **terms)


@pytest.mark.parametrize("name", ["", " ", "a\nb", "x" * 201])
async def test_a_bad_name_is_refused(platform: Platform, name: str) -> None:
    with pytest.raises(InvalidInputError, match=r"^name: "):
        await new(platform, READ, name)


@pytest.mark.parametrize("key_id", ["", "nobody", "\x00", "\ud800"])
async def test_who_is_not_there_cannot_be_revoked(platform: Platform, key_id: str) -> None:
    async with platform.database.transaction() as tx:
        with pytest.raises(NotFoundError):
            await revoke_operator(tx, key_id, Actor("cli"))


class _Counted:
    """A database that counts how often it is asked, and may be gone."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.reads = 0
        self.broken = False

    @asynccontextmanager
    async def connection(self) -> Any:
        self.reads += 1
        if self.broken:
            raise DatabaseUnavailableError("gone")
        async with self._database.connection() as connection:
            yield connection
