"""The two keys of a log: one signs checkpoints, the other cosigns them with the time."""

from dataclasses import dataclass

from proof.core.note_keys import SigningKey
from proof.core.secrets import Vault
from proof.db import Connection
from proof.timestamps.anchors.log.queries import Head
from proof.verify.evidence.log.note import (
    COSIGNER_KEY,
    LOG_KEY,
    checkpoint_body,
    signed_note,
    verifier_key,
)

ROLES = ("log", "cosigner")
# What a record of log_keys is sealed for; the columns are the table's.
IDENTITY = "{role} key of the {label} log"
_TYPES = {"log": LOG_KEY, "cosigner": COSIGNER_KEY}


@dataclass(frozen=True, slots=True)
class CheckpointSigner:
    """Signs what a log says."""

    origin: str
    log: SigningKey
    cosigner: SigningKey

    def sign(self, size: int, root: bytes, time_s: int) -> bytes:
        """A checkpoint with the log's signature and the cosignature of that POSIX time."""
        body = checkpoint_body(self.origin, size, root)
        return signed_note(body, [self.log.sign(body), self.cosigner.cosign(body, time_s)])


async def ensure(tx: Connection, vault: Vault, log: Head) -> None:
    """Make the keys of a log unless it has them."""
    names = {"log": log.origin, "cosigner": f"{log.origin}/cosigner"}
    for role in ROLES:
        key = SigningKey.generate(names[role], _TYPES[role])
        await tx.execute(
            "INSERT INTO log_keys (log_id, label, role, name, public_key, sealed)"
            " VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING",
            log.log_id,
            log.label,
            role,
            key.name,
            key.public.public_key,
            vault.seal(key.seed, _identity(log.label, role)),
        )


async def signer(connection: Connection, vault: Vault, log_id: int) -> CheckpointSigner:
    """The keys of a log, opened."""
    rows = await connection.fetch(
        "SELECT label, role, name, sealed FROM log_keys WHERE log_id = $1", log_id
    )
    keys = {
        row["role"]: SigningKey.from_seed(
            row["name"],
            _TYPES[row["role"]],
            vault.open(row["sealed"], _identity(row["label"], row["role"])),
        )
        for row in rows
    }
    return CheckpointSigner(keys["log"].name, keys["log"], keys["cosigner"])


async def verifier_keys(connection: Connection, log_id: int) -> list[str]:
    """The public keys by which a verifier trusts a log, in text, the log's own first."""
    rows = await connection.fetch(
        "SELECT role, name, public_key FROM log_keys WHERE log_id = $1 ORDER BY role = 'log' DESC",
        log_id,
    )
    return [verifier_key(row["name"], _TYPES[row["role"]], row["public_key"]) for row in rows]


def _identity(label: str, role: str) -> str:
    return IDENTITY.format(role=role, label=label)
