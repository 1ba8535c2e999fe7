"""What those who verify proofs should trust of a log."""

from collections.abc import Iterable, Sequence

from proof.db import Connection
from proof.timestamps.anchors.log import queries
from proof.timestamps.anchors.log.keys import public_keys
from proof.verify.evidence.log.note import COSIGNER_KEYS, LOG_KEY, VerifierKey
from proof.verify.evidence.log.policy import Group, Log, Policy, Witness, parse_policy

_OWN = "own-cosigner"


def policy_for(logs: Iterable[Sequence[VerifierKey]], published_by: bytes | None) -> Policy:
    """The logs by all their keys, and the quorum that they are published by: that of the witnesses, or any
    key of our own cosigner where there are none."""
    keys = [key for each in logs for key in each]
    listed = tuple(Log(key) for key in keys if key.key_type == LOG_KEY)
    published = parse_policy(published_by) if published_by else None
    if published is not None and published.quorum is not None:
        return Policy(listed, published.witnesses, published.groups, published.quorum)
    own = [key for key in keys if key.key_type in COSIGNER_KEYS]
    witnesses = tuple(Witness(f"{_OWN}-{n}", key) for n, key in enumerate(own, 1))
    group = Group(_OWN, 1, tuple(witness.name for witness in witnesses))
    return Policy(listed, witnesses, (group,), group.name)


async def served_policy(connection: Connection, environment: str) -> Policy:
    """By which a verifier should verify what an environment's logs publish now: the current log, then the
    retired ones, and the quorum of the newest checkpoint."""
    *retired, current = await queries.logs(connection, environment)
    keys = [await public_keys(connection, log.log_id) for log in (current, *reversed(retired))]
    published_by = await queries.policy_at(connection, current.log_id, current.size)
    return policy_for(keys, published_by)


async def policy_of_checkpoint(connection: Connection, log_id: int, size: int) -> Policy:
    """By which a log's checkpoint of that size was published."""
    keys = await public_keys(connection, log_id)
    return policy_for([keys], await queries.policy_at(connection, log_id, size))
