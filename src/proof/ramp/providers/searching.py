"""Finding callbacks that name a person, among those that could not be told to be about a transaction."""

import json
from collections.abc import Collection
from contextlib import suppress

from proof.core.secrets import Vault
from proof.db import Connection
from proof.ramp.providers.accounts import account_ids
from proof.ramp.providers.callbacks import forget_bodies, lock_refused, lock_unattributed


async def forget_naming(
    tx: Connection, vault: Vault, partner_environment_id: int, words: Collection[str]
) -> int:
    """Erase the bodies of an environment's callbacks that were refused or not understood and hold any of
    these words; how many. Letter case does not matter. Raises SealError."""
    lowered = [word.lower() for word in words]
    accounts = await account_ids(tx, partner_environment_id)
    unattributed = await lock_unattributed(tx, vault, accounts)
    named = [name for name, body in unattributed.items() if _holds(body, lowered)]
    kept = await lock_refused(tx, vault, accounts)
    refused = [name for name, body in kept.items() if _holds(body, lowered)]
    await forget_bodies(tx, named, refused)
    return len(named) + len(refused)


def _holds(body: bytes, words: Collection[str]) -> bool:
    """As it stands, and as JSON reads it: an @ may be written in six characters there."""
    text = body.decode(errors="replace")
    with suppress(ValueError, RecursionError):
        text += json.dumps(json.loads(body), ensure_ascii=False)
    lowered = text.lower()
    return any(word in lowered for word in words)
