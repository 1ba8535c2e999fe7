"""What an `.ots` file establishes about the file it is about, and what it does not.

Source: the calendar contract; the timestamp API contract, "What verifying says".
"""

from collections.abc import Iterator
from dataclasses import dataclass

from proof.verify.errors import OtherHeaderError, quoted
from proof.verify.evidence.bitcoin.evidence import untied_reason
from proof.verify.evidence.bitcoin.networks import MAIN
from proof.verify.evidence.ots import format as ots
from proof.verify.evidence.ots.format import Attestation, Timestamp
from proof.verify.trust import NO_CHAINS, ChainTrust


@dataclass(frozen=True, slots=True)
class BitcoinAttestation:
    """`merkle_root`, 32 bytes, is said to be that of the block at `height`.

    `network` and `time_s` are those of the trusted header with that root, or None.
    """

    height: int
    merkle_root: bytes
    network: str | None
    time_s: int | None


@dataclass(frozen=True, slots=True)
class PendingAttestation:
    """The calendar at `uri` has promised to attest to `message`."""

    uri: str
    message: bytes


@dataclass(frozen=True, slots=True)
class EstablishedOts:
    """What an `.ots` file that was not refused establishes.

    `operation` names the hash the file's `digest` was made with; the other members are its
    attestations, in the file's order. `timestamp_ms`: milliseconds since 1970 UTC of the earliest
    trusted block that holds the digest, or None. `remaining`: sentences, one for each thing that is
    not established; empty when `tied`.
    """

    operation: str
    digest: bytes
    bitcoin: tuple[BitcoinAttestation, ...]
    pending: tuple[PendingAttestation, ...]
    unknown: tuple[Attestation, ...]
    timestamp_ms: int | None
    remaining: tuple[str, ...]

    @property
    def tied(self) -> bool:
        """Whether a block the caller trusts holds the digest."""
        return self.timestamp_ms is not None


def verify_ots(raw: bytes, *, chains: ChainTrust = NO_CHAINS) -> EstablishedOts:
    """Verify an `.ots` file of anybody's and return what it establishes, tied to a block or not.

    1. The file is well-formed, complete and bounded.
    2. Every operation is recomputed from the file's digest on.
    3. Each Bitcoin attestation's message is the Merkle root of the trusted header at its height.

    Raises a subclass of RefusedError for each malformation, and OtherHeaderError when the trusted
    headers have another Merkle root at that height. Trusted block hashes tie nothing here: an `.ots`
    file holds no header. Not checked: attestations other than Bitcoin's, which are named as they are.
    """
    file = ots.parse_ots(raw)  # 1, 2
    bitcoin: list[BitcoinAttestation] = []
    pending: list[PendingAttestation] = []
    unknown: list[Attestation] = []
    for message, attestation in attestations(file.timestamp):
        if attestation.height is not None:
            bitcoin.append(_checked(attestation.height, message, chains))  # 3
        elif attestation.uri is not None:
            pending.append(PendingAttestation(attestation.uri, message))
        else:
            unknown.append(attestation)
    times_s = [found.time_s for found in bitcoin if found.time_s is not None]
    return EstablishedOts(
        operation=ots.FILE_HASHES[file.operation][0],
        digest=file.timestamp.message,
        bitcoin=tuple(bitcoin),
        pending=tuple(pending),
        unknown=tuple(unknown),
        timestamp_ms=min(times_s) * 1000 if times_s else None,
        remaining=() if times_s else tuple(_remaining(bitcoin, pending, chains)),
    )


def attestations(timestamp: Timestamp) -> Iterator[tuple[bytes, Attestation]]:
    """Every attestation with the message it is about, in the file's order."""
    waiting = [timestamp]
    while waiting:
        found = waiting.pop()
        for attestation in found.attestations:
            yield found.message, attestation
        waiting += [branch.end for branch in reversed(found.branches)]


def _checked(height: int, merkle_root: bytes, chains: ChainTrust) -> BitcoinAttestation:
    headers = chains.headers
    header = headers.at(height) if headers is not None and headers.tie else None
    if headers is None or header is None:
        return BitcoinAttestation(height, merkle_root, None, None)
    if header[36:68] != merkle_root:
        raise OtherHeaderError(
            f"the trusted headers have another Merkle root at height {height} of"
            f" {headers.network.name}"
        )
    time_s = int.from_bytes(header[68:72], "little")
    return BitcoinAttestation(height, merkle_root, headers.network.name, time_s)


def _remaining(
    bitcoin: list[BitcoinAttestation], pending: list[PendingAttestation], chains: ChainTrust
) -> Iterator[str]:
    network = MAIN if chains.headers is None else chains.headers.network.name
    for found in bitcoin:
        reason = untied_reason(network, found.height, chains.headers)
        yield f"{reason} Merkle root {found.merkle_root[::-1].hex()}."
    for promise in pending:
        yield (
            f"The calendar {quoted(promise.uri)} has only promised an attestation; ask it for the"
            " rest with `proof ots upgrade`."
        )
    if not bitcoin and not pending:
        yield "The file has no attestation that this verifier knows."
