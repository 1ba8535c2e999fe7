"""Operators of the tests, and what a refusal of theirs looks like."""

from collections.abc import Sequence
from typing import Any

from tests.support.application import Answer, Platform

from proof.partners.access.operators import (
    IssuedOperator,
    OperatorScope,
    add_operator,
    revoke_operator,
)
from proof.partners.audit import Actor
from proof.partners.types import Network

READ, WRITE = OperatorScope.READ, OperatorScope.WRITE
PARTNERS = "/operator/v1/partners"
NEW = {
    "name": "Via the API",
    "contact_email": "ops@acme.example",
    "production": {"ips": ["203.0.113.7"]},
}


async def operator(
    platform: Platform, scope: OperatorScope = WRITE, *, networks: Sequence[Network] = ()
) -> IssuedOperator:
    async with platform.database.transaction() as tx:
        return await add_operator(tx, f"of scope {scope}", scope, Actor("cli"), networks=networks)


async def gone(platform: Platform) -> IssuedOperator:
    found = await operator(platform)
    async with platform.database.transaction() as tx:
        await revoke_operator(tx, found.key_id, Actor("cli"))
    return found


def refusal(answer: Answer) -> tuple[int, str, int]:
    """Status, code, and how much of the body was asked for; the error has the operator's form."""
    assert list(answer.json) == ["message", "code"], answer
    assert answer.json["message"]
    return answer.status, answer.json["code"], answer.read


async def state(platform: Platform) -> list[Any]:
    return await platform.fetch(
        "SELECT (SELECT count(*) FROM audit_log), (SELECT count(*) FROM partners),"
        " (SELECT sum(version) FROM partners), (SELECT count(*) FROM handovers),"
        " (SELECT count(*) FROM webhook_secrets), (SELECT count(*) FROM outbox)"
    )
