"""Transactions whose records are stamped and proved, without the worker."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from tests.support.application import Answer, Platform
from tests.support.ramp import hear
from tests.support.sessions import Shop, open_session, ramp_partner

from proof.core.note_keys import ed25519_verify
from proof.partners.types import Environment
from proof.ramp.providers.protocols import Observation
from proof.receipts.stamping import Stamper
from proof.verify import VerifierKey, parse_verifier_key
from proof.verify.evidence.log.note import parse_note

SANDBOX = Environment.SANDBOX


@dataclass(frozen=True, slots=True)
class Bought:
    """A session of a shop, and its transaction."""

    platform: Platform
    shop: Shop
    transaction: UUID
    environment: Environment = SANDBOX

    async def happen(self, *observations: Observation, **options: Any) -> None:
        """What a provider says of it."""
        await hear(self.platform.database, self.platform.vault, *observations, **options)

    async def answer(self) -> Answer:
        path = f"/widget/transactions/{self.transaction}/receipt"
        return await self.shop.call(self.platform, self.environment, "GET", path)

    async def receipt(self) -> Mapping[str, Any]:
        answer = await self.answer()
        assert answer.status == 200, answer
        found: Mapping[str, Any] = answer.json
        return found

    async def stamp(self) -> None:
        """Have every record stamped, and its round proved by the log."""
        stamper = Stamper(self.platform.database, self.platform.clock)
        while await stamper.stamp():
            pass
        await self.platform.seal()


async def bought(
    platform: Platform, environment: Environment = SANDBOX, shop: Shop | None = None
) -> Bought:
    shop = shop or await ramp_partner(platform)
    opened = await open_session(platform, shop, environment)
    transaction = UUID(opened.json["merchant_transaction_id"])
    return Bought(platform, shop, transaction, environment)


async def keys_of(platform: Platform, environment: Environment, what: str) -> list[VerifierKey]:
    """The keys that `/receipts/key` or `/log/key` serves."""
    prefix = "" if environment is Environment.PRODUCTION else "/sandbox"
    answer = await platform.call("GET", f"{prefix}/{what}/key")
    return [parse_verifier_key(line) for line in answer.body.decode().splitlines()]


def signed_lines(note: str, keys: Sequence[VerifierKey]) -> list[str]:
    """The text of a note that one of the keys has signed, in lines."""
    parsed = parse_note(note.encode())
    (line,) = parsed.signatures
    (key,) = (key for key in keys if (key.name, key.key_hash) == (line.name, line.key_hash))
    assert ed25519_verify(key.public_key, parsed.body, line.payload)
    return parsed.body.decode().splitlines()
