"""fsck beside the memory of others: what witnesses hold of our logs, and whether we still hold it."""

import asyncio
from contextlib import suppress
from dataclasses import dataclass

from proof.db import Database
from proof.partners.types import Environment
from proof.timestamps.anchors.log import queries
from proof.timestamps.anchors.log.cosigning import WitnessClient
from proof.timestamps.anchors.log.keys import public_keys
from proof.timestamps.anchors.log.quorum import contradiction
from proof.timestamps.anchors.log.service import StoredHistory
from proof.verify.evidence.log.note import VerifierKey


@dataclass(frozen=True, slots=True)
class WitnessMemory:
    """What a witness shows of a log: `size` entries by our own signature, or None where it shows nothing.
    `problem`: that our log is no continuation of it."""

    log: str
    url: str
    size: int | None
    problem: str | None


async def witness_memories(database: Database) -> list[WitnessMemory]:
    """Of every witness of every current log, as the newest publisher knew them. All are asked at once."""
    logs = []
    async with database.connection() as connection:
        for environment in Environment:
            # One whose first start is still to come has no log.
            with suppress(LookupError):
                log = await queries.head(connection, environment)
                key = (await public_keys(connection, log.log_id))[0]
                logs.append((log, key, await queries.witnesses(connection, log.log_id)))
    return await asyncio.gather(
        *(
            _memory(database, log, key, witness.url)
            for log, key, witnesses in logs
            for witness in witnesses
        )
    )


async def _memory(
    database: Database, log: queries.Head, key: VerifierKey, url: str
) -> WitnessMemory:
    client = WitnessClient(url)
    try:
        held = await client.newest(log.origin, key)
    finally:
        await client.close()
    if held is None:
        return WitnessMemory(log.label, url, None, None)
    problem = await contradiction(StoredHistory(database, log.log_id), held)
    return WitnessMemory(log.label, url, held.size, problem)
