"""Transactions that carry two roots as data, signed here: the node never has the key.

Sources: EIP-1559 and EIP-2718 (the transaction), EIP-2 (low s), RFC 6979 (the nonce of a signature).
"""

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed, decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from proof.core.errors import ProofError
from proof.partners.wallets.networks import with_checksum
from proof.timestamps.anchors.chain import Candidate
from proof.verify.evidence.ethereum import rlp
from proof.verify.evidence.ethereum.keccak import keccak_256

_CURVE = ec.SECP256K1()

# The order of its group (SEC 2, 2.4.1).
_ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141

# Keccak-256 made the digest; of SHA-256 this takes the length, and the HMAC that RFC 6979 draws from.
_ALGORITHM = ec.ECDSA(Prehashed(SHA256()), deterministic_signing=True)

_FEE_MARKET = b"\x02"

_NONCE, _TIP, _HIGHEST = 1, 2, 3

_KEY_TEXT = re.compile(r"(?:0x)?([0-9a-fA-F]{64})")


class KeyFileError(ProofError):
    """The file does not hold a key; the message never holds what it does hold."""

    code = "key_unusable"


class Fees(NamedTuple):
    """Per unit of gas, in wei (EIP-1559)."""

    highest: int
    tip: int


class TransactionFields(NamedTuple):
    """What a signed transaction says."""

    nonce: int
    fees: Fees


class Signature(NamedTuple):
    """`y_parity`: 1 where the point whose x is `r` has an odd y, so that the key can be recovered."""

    y_parity: int
    r: int
    s: int


@dataclass(frozen=True, slots=True)
class Signer:
    """One account of one chain. `address`: EIP-55 text."""

    chain_id: int
    address: str
    _key: ec.EllipticCurvePrivateKey = field(repr=False)

    def candidate(self, data: bytes, nonce: int, fees: Fees, gas: int) -> Candidate:
        """A signed transaction to oneself, without value."""
        value, access_list = b"", list[rlp.Item]()
        said: list[rlp.Item] = [
            *map(rlp.integer_bytes, (self.chain_id, nonce, fees.tip, fees.highest, gas)),
            bytes.fromhex(self.address.removeprefix("0x")),
            value,
            data,
            access_list,
        ]
        signature = _signature(self._key, keccak_256(_FEE_MARKET + rlp.encode(said)))
        raw = _FEE_MARKET + rlp.encode([*said, *map(rlp.integer_bytes, signature)])
        return Candidate("0x" + keccak_256(raw).hex(), raw, gas * fees.highest)


def carried(candidate: Candidate) -> TransactionFields:
    """What a candidate of `Signer` says."""
    said = rlp.decode_list(candidate.raw.removeprefix(_FEE_MARKET))
    tip, highest = (rlp.integer(said[at], "a fee", max_bytes=32) for at in (_TIP, _HIGHEST))
    return TransactionFields(rlp.integer(said[_NONCE], "the nonce"), Fees(highest, tip))


def load_signer(path: Path, chain_id: int) -> Signer:
    """The account of a file with a private key as 64 hexadecimal digits. Raises KeyFileError."""
    try:
        text = path.read_bytes().decode("ascii", "replace")
    except OSError as error:
        raise KeyFileError(f"the Ethereum key {path}: {error.strerror}") from None
    digits = _KEY_TEXT.fullmatch(text.strip())
    secret = int(digits[1], 16) if digits else 0
    if not 0 < secret < _ORDER:
        raise KeyFileError(f"{path} does not hold a private key as 64 hexadecimal digits")
    key = ec.derive_private_key(secret, _CURVE)
    return Signer(chain_id, _address(key.public_key()), key)


def _address(key: ec.EllipticCurvePublicKey) -> str:
    point = key.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    return with_checksum(keccak_256(point[1:])[-20:].hex())


def _signature(key: ec.EllipticCurvePrivateKey, digest: bytes) -> Signature:
    """Over a Keccak-256 digest, with the smaller of the two possible `s`, as EIP-2 demands."""
    r, s = decode_dss_signature(key.sign(digest, _ALGORITHM))
    s = min(s, _ORDER - s)
    # s = (digest + r·secret) / k, so that the point k·G behind the signature is found again from s.
    secret = key.private_numbers().private_value
    k = (int.from_bytes(digest, "big") + r * secret) * pow(s, -1, _ORDER) % _ORDER
    point = ec.derive_private_key(k, _CURVE).public_key().public_numbers()
    return Signature(point.y & 1, r, s)
