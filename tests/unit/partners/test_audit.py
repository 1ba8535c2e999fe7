"""What may stand in an audit entry."""

import asyncio
from typing import Any, cast

import pytest

from proof.core.ids import base62_width
from proof.db import Connection
from proof.partners.access.tokens import KEY_ID_BITS, new_token
from proof.partners.audit import Actor, SecretInAuditError, record
from proof.partners.types import Environment

TOKEN = new_token(Environment.PRODUCTION)
TEST_TOKEN = new_token(Environment.SANDBOX)


class Written:
    """Stands in for a transaction and keeps what it was told to write."""

    def __init__(self) -> None:
        self.values: list[tuple[Any, ...]] = []

    async def execute(self, _statement: str, *values: Any) -> None:
        self.values.append(values)


def recorded(actor: Actor, action: str, **changes: Any) -> tuple[Any, ...]:
    written = Written()
    asyncio.run(record(cast("Connection", written), actor, action, **changes))
    (values,) = written.values
    return values


@pytest.mark.parametrize(
    ("changes", "place"),
    [
        ({"after": {"token": TOKEN.text}}, "after.token"),
        ({"before": {"token": TEST_TOKEN.text}}, "before.token"),
        ({"after": {"note": f"was {TOKEN.text} until today"}}, "after.note"),
        ({"after": {"a": [{"b": ["x", "proof_ops_abc"]}]}}, "after.a.b"),
        ({"after": {"secret": "whsec_AAAA"}}, "after.secret"),
        ({"after": {TOKEN.text: 1}}, "a key of after"),
        ({"before": {"nested": {TOKEN.text: None}}}, "a key of before.nested"),
        ({"partner_id": TOKEN.text}, "the entry"),
    ],
)
def test_a_secret_is_refused_by_its_place(changes: dict[str, Any], place: str) -> None:
    written = Written()
    with pytest.raises(SecretInAuditError) as refused:
        asyncio.run(record(cast("Connection", written), Actor("cli"), "token.rotate", **changes))
    assert f"; {place} looks like one" in refused.value.message
    assert TOKEN.text not in repr(refused.value)
    assert written.values == []


@pytest.mark.parametrize("field", ["name", "address", "request_id"])
def test_a_secret_is_refused_in_the_actor(field: str) -> None:
    actor = Actor(**({"name": "cli"} | {field: TOKEN.text}))
    with pytest.raises(SecretInAuditError):
        recorded(actor, "token.rotate")
    with pytest.raises(SecretInAuditError):
        recorded(Actor("cli"), TOKEN.text)


def test_a_key_id_alone_is_no_secret() -> None:
    values = recorded(Actor(TOKEN.key_id), "token.rotate", after={"key_id": TOKEN.key_id})
    assert len(TOKEN.key_id) == base62_width(KEY_ID_BITS)
    assert values[-1] == f'{{"key_id":"{TOKEN.key_id}"}}'


def test_values_are_written_in_canonical_form() -> None:
    values = recorded(
        Actor("cli", "192.0.2.1", "r"), "partner.edit", before={"b": 1, "a": ["é", None]}
    )
    assert values == (
        "cli",
        "192.0.2.1",
        "r",
        "partner.edit",
        None,
        '{"a":["é",null],"b":1}',
        None,
    )


@pytest.mark.parametrize("value", [1.5, {"é": 1}, 1 << 53, b"bytes", {1}])
def test_what_has_no_canonical_form_is_refused(value: Any) -> None:
    with pytest.raises(TypeError):
        recorded(Actor("cli"), "partner.edit", after={"value": value})
