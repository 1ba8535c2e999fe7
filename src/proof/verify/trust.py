"""What the caller trusts of chains. Nothing in a proof adds to it."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Final

from proof.verify.evidence.bitcoin.headers import TrustedHeaders
from proof.verify.evidence.bitcoin.networks import MAIN, TEST_NETWORKS


class TrustError(ValueError):
    """What the caller says it trusts contradicts itself."""


@dataclass(frozen=True, slots=True)
class ChainTrust:
    """Headers, block hashes, certificates and test networks that count.

    `headers`: one network's, from `load_headers`. `bitcoin_blocks` and `ethereum_blocks`: 32-byte
    hashes; Bitcoin's in the order SHA-256 gives them, which is the reverse of how people write them.
    `tsa_certificates`: SHA-256 of the certificates that time-stamping authorities sign with.
    `networks`: Bitcoin's test networks that count beside the main one. `blocks`: hashes of blocks that
    evidence of any other kind may name, by the evidence's `type`; of an upstream's proof, those of proofs.

    Raises TrustError for an unknown network and for headers of a test network that is not named.
    """

    headers: TrustedHeaders | None = None
    bitcoin_blocks: Collection[bytes] = field(default=frozenset())
    ethereum_blocks: Collection[bytes] = field(default=frozenset())
    networks: Collection[str] = field(default=frozenset())
    tsa_certificates: Collection[bytes] = field(default=frozenset())
    blocks: Mapping[str, Collection[bytes]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        unknown = sorted(set(self.networks) - TEST_NETWORKS - {MAIN})
        if unknown:
            known = ", ".join(sorted(TEST_NETWORKS))
            raise TrustError(f"there is no network {unknown[0]!r}; test networks are {known}")
        if self.headers is not None and not self.counts(self.headers.network.name):
            name = self.headers.network.name
            raise TrustError(f"the headers are of {name}, which counts only when it is named")

    def counts(self, network: str) -> bool:
        """Whether blocks of that network say anything to the caller."""
        return network == MAIN or network in self.networks


NO_CHAINS: Final = ChainTrust()
