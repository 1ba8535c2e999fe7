"""Receipts of transactions, and disclosing what records have of a person as hashes alone."""

import asyncio
from typing import Any
from uuid import UUID

import msgspec

from proof.core.clock import Clock
from proof.core.errors import ProofError
from proof.core.note_keys import SigningKey, ed25519_verify, mldsa44_verify
from proof.core.secrets import Vault
from proof.db import Connection, Database
from proof.partners import audit
from proof.partners.audit import Actor
from proof.ramp.transactions.chains import disclose, owner_of, read_chain
from proof.receipts.keys import ReceiptKeys
from proof.receipts.receipt import Receipt, digests_of, disclosure_file
from proof.receipts.stamping import OWNERS
from proof.receipts.statements import StatementLeaf, newest_with, signature
from proof.timestamps.proofs.service import ProofBundle, Proofs
from proof.verify import RefusedError
from proof.verify.receipts.receipt import EstablishedReceipt, verify_receipt


class UnsoundReceiptError(ProofError):
    """Our own verifier refuses the receipt; nobody gets it."""


class Receipts:
    """The receipts of one process."""

    def __init__(self, database: Database, vault: Vault, clock: Clock, proofs: Proofs) -> None:
        self._database = database
        self._vault = vault
        self._clock = clock
        self._proofs = proofs
        self._keys = ReceiptKeys(vault)

    async def receipt(self, partner_environment_id: int, transaction_id: UUID) -> bytes:
        """The receipt of a transaction as it is now. Raises NotFoundError for one that this partner
        environment does not have, and for one without a record."""
        async with self._database.connection() as connection:
            # Before the chain, which then holds whatever the statement counts.
            stated = await newest_with(connection, partner_environment_id, transaction_id)
            chain = await read_chain(connection, partner_environment_id, transaction_id)
            key = await self._keys.signer(connection, chain.environment)
        # What is said of the chain is said as of a moment before the proofs are looked for.
        as_of, digests = self._clock.now(), digests_of(chain)
        also = () if stated is None else (stated.sha256,)
        bundle = await self._proofs.bundle(OWNERS[chain.environment], (*digests, *also))
        statement = None if stated is None else _part(stated, key, bundle)
        receipt = Receipt(chain, digests, bundle.payloads, as_of, statement)
        # A receipt with proofs in blocks takes milliseconds that other calls need not wait for.
        return await asyncio.to_thread(_sound, receipt, key, bundle)

    async def receipt_of(self, transaction_id: UUID) -> bytes:
        """The same, for whoever may read everybody's."""
        async with self._database.connection() as connection:
            owner = await owner_of(connection, transaction_id)
        return await self.receipt(owner, transaction_id)

    async def disclosure(
        self, transaction_id: UUID, fields: tuple[str, ...], actor: Actor
    ) -> bytes:
        """A file that shows these fields of a transaction's records. Audited: it is given to nobody before
        that is durable. Raises NotFoundError, ErasedError."""
        async with self._database.transaction() as tx:
            return await self._disclosure(tx, transaction_id, fields, actor)

    async def _disclosure(
        self, tx: Connection, transaction_id: UUID, fields: tuple[str, ...], actor: Actor
    ) -> bytes:
        chain = await read_chain(tx, await owner_of(tx, transaction_id), transaction_id)
        found = await disclose(tx, self._vault, chain, fields)
        after = {"merchant_transaction_id": str(transaction_id), "fields": list(fields)}
        await audit.record(tx, actor, "transaction.disclose", chain.partner_id, after=after)
        return disclosure_file(chain, found)


def _part(stated: StatementLeaf, key: SigningKey, bundle: ProofBundle) -> dict[str, Any]:
    """What ties a receipt to the newest statement that its transaction is in."""
    return {
        "statement": msgspec.Raw(stated.statement),
        "signature": signature(key, stated.statement, stated.sha256),
        "leaf": stated.leaf,
        "index": stated.position,
        "path": [node.hex() for node in stated.path],
        "proofs": bundle.payloads.get(stated.sha256, ()),
    }


def _sound(receipt: Receipt, key: SigningKey, bundle: ProofBundle) -> bytes:
    """The file, once our own verifier has accepted it by our own keys and the blocks our nodes saw. Raises
    UnsoundReceiptError."""
    raw, name = receipt.file(key), receipt.chain.transaction_id
    try:
        established = verify_receipt(
            raw,
            receipt_keys=[key.public],
            log_keys=bundle.log_keys,
            chains=bundle.chains,
            ed25519_verify=ed25519_verify,
            mldsa44_verify=mldsa44_verify,
        )
    except RefusedError as error:
        raise UnsoundReceiptError(f"the receipt of {name} is refused: {error}") from error
    if established.signed_by is None:
        raise UnsoundReceiptError(f"the receipt of {name} is not signed by the key that signed it")
    _require_times(established)
    return raw


def _require_times(established: EstablishedReceipt) -> None:
    stamps = [each.stamp for each in established.records]
    if established.statement is not None:
        stamps.append(established.statement.stamp)
    for proof in (proof for stamp in stamps for proof in stamp.proofs):
        if proof.timestamp_ms != proof.claimed.timestamp_ms:
            raise UnsoundReceiptError(
                f"the {proof.claimed.currency} proof of {proof.leaf.hex()} claims the time"
                f" {proof.claimed.timestamp_ms}, but establishes {proof.timestamp_ms}"
            )
