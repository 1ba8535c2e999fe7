"""What a proof that was not refused establishes, and what its sender only claims."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import ClassVar

from proof.verify.evidence.log.checkpoint import Checkpoint
from proof.verify.merkle import Branch


@dataclass(frozen=True, slots=True)
class ClaimedTree:
    """The payload's `tree` as it stands: well-formed, and only its sender's word.

    What of it was checked against evidence is said by `Established`; `tree_id` never is.
    """

    tree_id: str
    currency_id: int
    currency: str
    timestamp_ms: int
    transaction: str


@dataclass(frozen=True, slots=True)
class LogInclusion:
    """The round's root is the first half of entry `index` of a log of `size` entries whose root is `root`.

    `plain_root`: the entry's second half, 32 bytes. Nothing here rests on it.
    """

    origin: str
    index: int
    size: int
    root: bytes
    plain_root: bytes


@dataclass(frozen=True, slots=True)
class Inclusion:
    """What evidence of one kind ties the root to, whoever made it. `kind`: the evidence's `type`.

    `plain_root`: the 32 bytes behind the root where a kind can carry them.
    """

    kind: ClassVar[str]

    @property
    def plain_root(self) -> bytes | None:
        """None: this kind carries the root alone."""
        return None


@dataclass(frozen=True, slots=True)
class BitcoinInclusion(Inclusion):
    """The root is in the transaction `txid`, which is under the Merkle root of that block header.

    `block_hash` and `txid` are 32 bytes in the order SHA-256 gives them; people write them reversed.
    `work`: hashes that the header alone took on average. `height` is the proof's word unless `tied_by`
    is `headers`. `tied_by`: `headers` (the block is in the trusted headers), `block` (its hash is one
    the caller trusts) or None. `chain_work`: hashes that the trusted headers took altogether.
    `plain_root`: the 32 bytes that the transaction carries behind the root, or None; `plain_path`: the
    proof's plain path leads from the leaf to them.
    """

    kind = "bitcoin"

    network: str
    height: int
    block_hash: bytes
    txid: bytes
    time_s: int
    work: int
    tied_by: str | None
    chain_work: int | None = None
    plain_root: bytes | None = None
    plain_path: bool = False


@dataclass(frozen=True, slots=True)
class EthereumInclusion(Inclusion):
    """The root is the data of the transaction at `index` of the block with that header, or begins it.

    Hashes are 32 bytes; `number` and `time_s` are the header's. `tied`: the caller trusts the hash.
    `plain_root`: the 32 bytes of data behind the root, or None.
    """

    kind = "ethereum"

    chain_id: int
    number: int
    block_hash: bytes
    transaction_hash: bytes
    index: int
    time_s: int
    tied: bool
    plain_root: bytes | None = None


@dataclass(frozen=True, slots=True)
class TokenInclusion(Inclusion):
    """The root is what an RFC 3161 token is over.

    `serial`, `policy` (an object identifier), `time_ms` (since 1970 UTC, rounded up) and `accuracy_us`
    (None: not said) are the token's. `certificate`: SHA-256 of the certificate it is signed with.
    `signature_checked`: the signature is that certificate's; False where its kind is not known here.
    `tied`: it was checked, and the caller trusts the certificate.
    """

    kind = "rfc3161"

    serial: int
    policy: str
    time_ms: int
    accuracy_us: int | None
    certificate: bytes
    signature_checked: bool
    tied: bool


@dataclass(frozen=True, slots=True)
class UpstreamInclusion(Inclusion):
    """The root is the hash that another Proof's proof is about.

    `proof`: what that proof establishes by itself. `named`: the caller trusts that very proof.
    """

    kind = "upstream"

    proof: "Established"
    named: bool = False


@dataclass(frozen=True, slots=True)
class Established:
    """What a payload that was not refused establishes.

    `leaf`, `root` (32 bytes) and `levels`: the leaf is in the tree under that root. Nothing is said
    about the kind of thing the leaf is the hash of, nor about the tree's size.

    `inclusion`: arithmetic ties the root to that log root, whoever made it.
    `found`: arithmetic ties the root to that block header, or the root is what that token is over or that
    upstream's proof is about, whoever made it; `bitcoin`, `ethereum`, `token` and `upstream` are the same,
    by its kind.
    `signed_by`: name of the caller's trusted log key that signed the log root, or None.
    `timestamp_ms`: milliseconds since 1970 UTC, or None: the end of the earliest second by which a quorum
    of cosigners that the caller trusts had signed, the time of a token under a certificate, or of a block,
    that the caller trusts. The log's may be another than `claimed.timestamp_ms`; only this one is
    established.
    `remaining`: sentences, one for each thing that is not established; empty when `tied`.
    `checkpoint`: the log's, with who signed it, where the evidence is of a log, or an upstream's is.
    """

    leaf: bytes
    root: bytes
    levels: int
    claimed: ClaimedTree
    inclusion: LogInclusion | None
    signed_by: str | None
    timestamp_ms: int | None
    remaining: tuple[str, ...]
    found: Inclusion | None = None
    checkpoint: Checkpoint | None = None

    @classmethod
    def of(
        cls,
        branch: Branch,
        claimed: ClaimedTree,
        timestamp_ms: int | None,
        remaining: tuple[str, ...],
        *,
        inclusion: LogInclusion | None = None,
        signed_by: str | None = None,
        found: Inclusion | None = None,
        checkpoint: Checkpoint | None = None,
    ) -> "Established":
        """What evidence for the root of a branch adds to it."""
        return cls(
            leaf=branch.leaf,
            root=branch.root,
            levels=branch.levels,
            claimed=claimed,
            inclusion=inclusion,
            signed_by=signed_by,
            timestamp_ms=timestamp_ms,
            remaining=remaining,
            found=found,
            checkpoint=checkpoint,
        )

    @property
    def bitcoin(self) -> BitcoinInclusion | None:
        """Where the evidence is Bitcoin's."""
        return self.found if isinstance(self.found, BitcoinInclusion) else None

    @property
    def ethereum(self) -> EthereumInclusion | None:
        """Where the evidence is Ethereum's own."""
        # A chain whose blocks are made as Ethereum's has a subclass of it.
        return self.found if type(self.found) is EthereumInclusion else None

    @property
    def token(self) -> TokenInclusion | None:
        """Where the evidence is an authority's."""
        return self.found if isinstance(self.found, TokenInclusion) else None

    @property
    def upstream(self) -> UpstreamInclusion | None:
        """Where the evidence is an upstream's proof."""
        return self.found if isinstance(self.found, UpstreamInclusion) else None

    @property
    def tied(self) -> bool:
        """Whether root and time are tied to keys, certificates or blocks the caller trusts."""
        return self.timestamp_ms is not None

    @property
    def plain_root(self) -> bytes | None:
        """What the entry or the transaction carries behind the root, or None."""
        carrier = self.inclusion or self.found
        return carrier.plain_root if carrier else None


def plain_root_text(plain_root: bytes) -> str:
    """What the second half of an entry or of a transaction's data is, in words, where no path led to it."""
    return (
        f"{plain_root.hex()},"
        "\n             in the place of the plain root (RFC 9162), by which .ots files go;"
        "\n             it was not checked, and nothing above rests on it"
    )


def utc_text(timestamp_ms: int) -> str:
    """Milliseconds since 1970 as ISO 8601 in UTC; whole seconds carry no fraction."""
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=timestamp_ms)
    precision = "milliseconds" if timestamp_ms % 1000 else "seconds"
    return moment.isoformat(timespec=precision).replace("+00:00", "Z")
