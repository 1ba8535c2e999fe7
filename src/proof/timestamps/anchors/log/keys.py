"""The two keys of a log: one signs checkpoints, the other cosigns them with the time."""

from dataclasses import dataclass, field

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from proof.core.secrets import Vault
from proof.db import Connection
from proof.timestamps.anchors.log.queries import Head
from proof.verify.evidence.log.note import (
    COSIGNER_KEY,
    LOG_KEY,
    checkpoint_body,
    cosignature_message,
    cosignature_payload,
    key_hash,
    signature_line,
    signed_note,
    verifier_key,
)

ROLES = ("log", "cosigner")
# What a record of log_keys is sealed for; the columns are the table's.
IDENTITY = "{role} key of the {label} log"
_TYPES = {"log": LOG_KEY, "cosigner": COSIGNER_KEY}


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A named Ed25519 key of one type (c2sp.org/signed-note)."""

    name: str
    key_type: int
    private: Ed25519PrivateKey = field(repr=False)

    def line(self, message: bytes, time_s: int | None = None) -> bytes:
        """The signature line over `message`; with a time, in the form of a cosignature."""
        signature = self.private.sign(message)
        payload = signature if time_s is None else cosignature_payload(time_s, signature)
        hashed = key_hash(self.name, self.key_type, self.private.public_key().public_bytes_raw())
        return signature_line(self.name, hashed, payload)


@dataclass(frozen=True, slots=True)
class CheckpointSigner:
    """Signs what a log says."""

    origin: str
    log: SigningKey
    cosigner: SigningKey

    def sign(self, size: int, root: bytes, time_s: int) -> bytes:
        """A checkpoint with the log's signature and the cosignature of that POSIX time."""
        body = checkpoint_body(self.origin, size, root)
        cosigned = self.cosigner.line(cosignature_message(time_s, body), time_s)
        return signed_note(body, [self.log.line(body), cosigned])


async def ensure(tx: Connection, vault: Vault, log: Head) -> None:
    """Make the keys of a log unless it has them."""
    names = {"log": log.origin, "cosigner": f"{log.origin}/cosigner"}
    for role in ROLES:
        private = Ed25519PrivateKey.generate()
        await tx.execute(
            "INSERT INTO log_keys (log_id, label, role, name, public_key, sealed)"
            " VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING",
            log.log_id,
            log.label,
            role,
            names[role],
            private.public_key().public_bytes_raw(),
            vault.seal(private.private_bytes_raw(), _identity(log.label, role)),
        )


async def signer(connection: Connection, vault: Vault, log_id: int) -> CheckpointSigner:
    """The keys of a log, opened."""
    rows = await connection.fetch(
        "SELECT label, role, name, sealed FROM log_keys WHERE log_id = $1", log_id
    )
    keys = {
        row["role"]: SigningKey(
            row["name"],
            _TYPES[row["role"]],
            Ed25519PrivateKey.from_private_bytes(
                vault.open(row["sealed"], _identity(row["label"], row["role"]))
            ),
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
