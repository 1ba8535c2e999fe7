"""Transactions that carry a root as data, signed here: the node never has the key."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from eth_account import Account
from eth_account.signers.local import LocalAccount
from eth_account.typed_transactions.typed_transaction import TypedTransaction
from hexbytes import HexBytes

from proof.core.errors import ProofError
from proof.timestamps.anchors.chain import Candidate


class KeyFileError(ProofError):
    """The file does not hold a key; the message never holds what it does hold."""

    code = "key_unusable"


class Fees(NamedTuple):
    """Per unit of gas, in wei (EIP-1559)."""

    highest: int
    tip: int


class Carried(NamedTuple):
    """What a signed transaction says."""

    nonce: int
    fees: Fees


@dataclass(frozen=True, slots=True)
class Signer:
    """One account of one chain."""

    chain_id: int
    _account: LocalAccount = field(repr=False)

    @property
    def address(self) -> str:
        """EIP-55 text."""
        return str(self._account.address)

    def candidate(self, root: bytes, nonce: int, fees: Fees, gas: int) -> Candidate:
        """A signed transaction to oneself, without value, whose data is `root`."""
        signed = self._account.sign_transaction(
            {
                "type": 2,
                "chainId": self.chain_id,
                "nonce": nonce,
                "to": HexBytes(self.address),
                "value": 0,
                "data": root,
                "gas": gas,
                "maxFeePerGas": fees.highest,
                "maxPriorityFeePerGas": fees.tip,
            }
        )
        raw = bytes(signed.raw_transaction)
        return Candidate("0x" + bytes(signed.hash).hex(), raw, gas * fees.highest)


def carried(candidate: Candidate) -> Carried:
    """What a candidate of `Signer` says."""
    said = TypedTransaction.from_bytes(HexBytes(candidate.raw)).as_dict()
    return Carried(said["nonce"], Fees(said["maxFeePerGas"], said["maxPriorityFeePerGas"]))


def load_signer(path: Path, chain_id: int) -> Signer:
    """The account of a file with a private key as 64 hexadecimal digits. Raises KeyFileError."""
    try:
        account = Account.from_key(path.read_text().strip())
    except OSError as error:
        raise KeyFileError(f"the Ethereum key {path}: {error.strerror}") from None
    except Exception:  # noqa: BLE001 - the libraries below raise many kinds, some of which tell the key
        raise KeyFileError(f"{path} does not hold a private key as 64 hexadecimal digits") from None
    return Signer(chain_id, account)
