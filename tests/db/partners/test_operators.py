"""Operators: tokens of their own kind, seen once, out within half a second of being revoked."""

import asyncio
from collections.abc import Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from tests.support.application import Platform
from tests.support.partners import issued, onboard

from proof.core.errors import DatabaseUnavailableError, InvalidInputError, NotFoundError
from proof.core.ids import checksum
from proof.db import Database
from proof.partners import operators as module
from proof.partners.audit import Actor
from proof.partners.errors import (
    DirectoryStaleError,
    InvalidTokenError,
    MissingTokenError,
    ScopeError,
)
from proof.partners.operators import (
    IssuedOperator,
    Operators,
    OperatorScope,
    add_operator,
    list_operators,
    revoke_operator,
)
from proof.partners.tokens import parse_token

Run = Callable[[Any], Any]
READ, WRITE = OperatorScope.READ, OperatorScope.WRITE


async def new(platform: Platform, scope: OperatorScope, name: str = "Ops") -> IssuedOperator:
    async with platform.database.transaction() as tx:
        return await add_operator(tx, name, scope, Actor("cli"))


def test_a_token_opens_what_its_scope_says(run: Run, platform: Platform) -> None:
    async def scene() -> None:
        reader, writer = await new(platform, READ), await new(platform, WRITE)
        known = Operators(platform.database)
        assert (await known.admit(reader.token, READ)).key_id == reader.key_id
        assert (await known.admit(writer.token, READ)).key_id == writer.key_id
        assert (await known.admit(writer.token, WRITE)).key_id == writer.key_id
        with pytest.raises(ScopeError, match="scope write"):
            await known.admit(reader.token, WRITE)

    run(scene())


def test_whatever_is_not_a_live_operators_token_gets_one_answer(
    run: Run, platform: Platform
) -> None:
    async def scene() -> None:
        operator, partner = (
            await new(platform, WRITE),
            await onboard(platform.database, platform.vault),
        )
        known = Operators(platform.database)
        head = operator.token.rpartition("_")[0]
        forged = head[:-1] + ("0" if head[-1] != "0" else "1")
        for token in (
            "x", operator.token[:-1], operator.token + "0", operator.token.upper(), f"{forged}_000000",
            f"{forged}_{checksum(forged)}", issued(partner).api_key, issued(partner).client_token,
            operator.token.replace("proof_ops_", "proof_live_"), operator.token + "\x00", "ü",
        ):  # fmt: skip
            with pytest.raises(InvalidTokenError, match=r"^the credential is not valid here$"):
                await known.admit(token, READ)
        for nothing in (None, ""):
            with pytest.raises(MissingTokenError):
                await known.admit(nothing, READ)
        assert parse_token(operator.token) is None, "no partner's gate takes it for a token"

    run(scene())


def test_a_revoked_operator_is_out_in_every_process_and_for_good(
    run: Run, platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scene() -> None:
        operator = await new(platform, WRITE)
        processes = [Operators(platform.database) for _ in range(2)]
        for one in processes:
            await one.admit(operator.token, WRITE)
        async with platform.database.transaction() as tx:
            await revoke_operator(tx, operator.key_id, Actor("cli"))
            await revoke_operator(tx, operator.key_id, Actor("cli"))
        monkeypatch.setattr(module, "TRUST_S", 0.0)
        for one in processes:
            with pytest.raises(InvalidTokenError):
                await one.admit(operator.token, WRITE)
        rows = await platform.fetch(
            "SELECT action, before::text, after::text FROM audit_log WHERE $1 IN"
            " (before->>'key_id', after->>'key_id') ORDER BY id",
            operator.key_id,
        )
        assert [row["action"] for row in rows] == ["operator.add", "operator.revoke"]
        assert not any(operator.token in str(tuple(row)) for row in rows)
        async with platform.database.connection() as connection:
            (kept,) = [
                one for one in await list_operators(connection) if one.key_id == operator.key_id
            ]
        assert kept.revoked_at is not None
        assert operator.token not in repr(kept)
        assert operator.token not in repr(operator)

    run(scene())


def test_trust_ends_within_a_second() -> None:
    assert module.TRUST_S < 1


def test_a_new_operator_is_known_at_once_and_a_flood_shares_a_read(
    run: Run, platform: Platform
) -> None:
    async def scene() -> None:
        counted = _Counted(platform.database)
        known = Operators(counted)  # type: ignore[arg-type]
        for _ in range(3):
            await known.admit((await new(platform, READ)).token, READ)
        reads = counted.reads
        head = (await new(platform, READ)).token.rpartition("_")[0]
        unknown = f"{head[:10]}{'0' * 13}{head[23:]}"
        token = f"{unknown}_{checksum(unknown)}"
        flood = [known.admit(token, READ) for _ in range(100)]
        results = await asyncio.gather(*flood, return_exceptions=True)
        assert all(isinstance(one, InvalidTokenError) for one in results)
        assert counted.reads == reads + 1

    run(scene())


def test_a_wrong_secret_goes_the_way_of_an_unknown_key_id(run: Run, platform: Platform) -> None:
    async def scene() -> None:
        counted = _Counted(platform.database)
        known = Operators(counted)  # type: ignore[arg-type]
        right = (await new(platform, READ)).token.rpartition("_")[0]
        await known.admit(f"{right}_{checksum(right)}", READ)
        secret = right[:-1] + ("0" if right[-1] != "0" else "1")
        for head in (secret, f"{right[:10]}{'0' * 13}{right[23:]}"):
            reads = counted.reads
            with pytest.raises(InvalidTokenError):
                await known.admit(f"{head}_{checksum(head)}", READ)
            assert counted.reads == reads + 1

    run(scene())


def test_many_calls_at_once_share_one_read(run: Run, platform: Platform) -> None:
    async def scene() -> None:
        operator = await new(platform, READ)
        counted = _Counted(platform.database)
        known = Operators(counted)  # type: ignore[arg-type]
        await asyncio.gather(*(known.admit(operator.token, READ) for _ in range(20)))
        assert counted.reads == 1

    run(scene())


def test_nobody_is_trusted_while_the_database_does_not_answer(
    run: Run, platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scene() -> None:
        operator = await new(platform, READ)
        counted = _Counted(platform.database)
        known = Operators(counted)  # type: ignore[arg-type]
        await known.admit(operator.token, READ)
        counted.broken = True
        monkeypatch.setattr(module, "TRUST_S", 0.0)
        with pytest.raises(DirectoryStaleError):
            await known.admit(operator.token, READ)

    run(scene())


@pytest.mark.parametrize("name", ["", " ", "a\nb", "x" * 201])
def test_a_bad_name_is_refused(run: Run, platform: Platform, name: str) -> None:
    async def scene() -> None:
        with pytest.raises(InvalidInputError, match=r"^name: "):
            await new(platform, READ, name)

    run(scene())


@pytest.mark.parametrize("key_id", ["", "nobody", "\x00", "\ud800"])
def test_who_is_not_there_cannot_be_revoked(run: Run, platform: Platform, key_id: str) -> None:
    async def scene() -> None:
        async with platform.database.transaction() as tx:
            with pytest.raises(NotFoundError):
                await revoke_operator(tx, key_id, Actor("cli"))

    run(scene())


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
