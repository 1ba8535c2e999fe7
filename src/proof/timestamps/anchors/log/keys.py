"""The keys of a log: one signs checkpoints, two cosign them with the time.

The second cosigner key is ML-DSA-44, so that a proof outlives Ed25519.
"""

from dataclasses import dataclass

from proof.core.errors import ProofError
from proof.core.note_keys import SigningKey
from proof.core.secrets import Vault
from proof.db import Connection
from proof.timestamps.anchors.log.queries import Head
from proof.verify.evidence.log.note import (
    COSIGNER_KEY,
    LOG_KEY,
    MLDSA_COSIGNER_KEY,
    PUBLIC_KEY_BYTES,
    VerifierKey,
    VerifierKeyError,
    checkpoint_body,
    parse_verifier_key,
    signed_note,
    verifier_key,
)

ROLES = ("log", "cosigner", "mldsa44_cosigner")
# What a record of log_keys is sealed for; the columns are the table's.
IDENTITY = "{role} key of the {label} log"
_TYPES = {"log": LOG_KEY, "cosigner": COSIGNER_KEY, "mldsa44_cosigner": MLDSA_COSIGNER_KEY}


@dataclass(frozen=True, slots=True)
class Proposal:
    """A checkpoint to be cosigned: `note` is its body and the log's own line."""

    origin: str
    size: int
    root: bytes
    body: bytes
    note: bytes


@dataclass(frozen=True, slots=True)
class CheckpointSigner:
    """Signs what a log says."""

    log: SigningKey
    cosigners: tuple[SigningKey, ...]

    def propose(self, size: int, root: bytes) -> Proposal:
        """A checkpoint with the log's signature alone."""
        body = checkpoint_body(self.log.name, size, root)
        return Proposal(self.log.name, size, root, body, signed_note(body, [self.log.sign(body)]))

    def cosign(self, body: bytes, time_s: int) -> list[bytes]:
        """Our own cosignatures of that POSIX time over a checkpoint's body."""
        return [key.cosign(body, time_s) for key in self.cosigners]

    def sign(self, size: int, root: bytes, time_s: int) -> bytes:
        """A checkpoint with the log's signature and our own cosignatures of that POSIX time."""
        proposal = self.propose(size, root)
        return proposal.note + b"".join(self.cosign(proposal.body, time_s))


class LogClosedError(ProofError):
    """A log that is closed signs nothing any more."""


def require_name(origin: str) -> None:
    """Raises VerifierKeyError for an origin that the keys of a log cannot sign under, or that does not
    read as what it is."""
    if not origin.isprintable():
        raise VerifierKeyError("an origin has printable characters alone")
    for role in ROLES:
        key_type = _TYPES[role]
        verifier_key(_name(origin, role), key_type, bytes(PUBLIC_KEY_BYTES[key_type]))


async def ensure(tx: Connection, vault: Vault, log: Head) -> None:
    """Make the keys of a log unless it has them."""
    for role in ROLES:
        key = SigningKey.generate(_name(log.origin, role), _TYPES[role])
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
    """The keys of a log, opened. Raises LogClosedError."""
    rows = await connection.fetch(
        "SELECT label, role, name, sealed FROM log_keys WHERE log_id = $1", log_id
    )
    if any(row["sealed"] is None for row in rows):
        raise LogClosedError("the log is closed, and the private halves of its keys are destroyed")
    keys = {
        row["role"]: SigningKey.from_seed(
            row["name"],
            _TYPES[row["role"]],
            vault.open(row["sealed"], _identity(row["label"], row["role"])),
        )
        for row in rows
    }
    return CheckpointSigner(keys["log"], tuple(keys[role] for role in ROLES[1:] if role in keys))


async def destroy(tx: Connection, log_id: int) -> None:
    """Remove the private halves of a log's keys."""
    await tx.execute("UPDATE log_keys SET sealed = NULL WHERE log_id = $1", log_id)


async def verifier_keys(connection: Connection, log_id: int) -> list[str]:
    """The Ed25519 keys by which a verifier trusts a log, in text, the log's own first."""
    keys = await public_keys(connection, log_id)
    return [
        verifier_key(key.name, key.key_type, key.public_key)
        for key in keys
        if key.key_type != MLDSA_COSIGNER_KEY
    ]


async def public_keys(connection: Connection, log_id: int) -> list[VerifierKey]:
    """All keys of a log, its own first."""
    rows = await connection.fetch(
        "SELECT role, name, public_key FROM log_keys WHERE log_id = $1", log_id
    )
    by_role = {row["role"]: row for row in rows}
    return [
        parse_verifier_key(verifier_key(row["name"], _TYPES[role], row["public_key"]))
        for role in ROLES
        if (row := by_role.get(role))
    ]


def _name(origin: str, role: str) -> str:
    return origin if role == "log" else f"{origin}/cosigner"


def _identity(label: str, role: str) -> str:
    return IDENTITY.format(role=role, label=label)
