"""Asking calendars for what they promised. What they send is recomputed before it is kept."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from typing import Final

from proof.outbound import InvalidTargetError, OutboundClient, OutboundError, OutboundPolicy
from proof.verify import RefusedError
from proof.verify.evidence.ots.evidence import PendingAttestation, attestations
from proof.verify.evidence.ots.format import OtsFile, Timestamp, parse_ots, parse_timestamp
from proof.verify.evidence.ots.writing import graft, write_ots

MAX_ANSWER_BYTES: Final = 10_000
"""What the Python client takes from a calendar."""


_MAX_ROUNDS: Final = 4  # a calendar may answer with a promise of another one's


_MAX_CALENDARS: Final = 32


_HEADERS: Final = {"accept": "application/vnd.opentimestamps.v1", "user-agent": "proof"}


_OK, _NOT_FOUND = 200, 404


class CalendarFailure(Enum):
    """Why a calendar gave nothing, when it should have."""

    UNREACHABLE = "unreachable"
    WRONG = "wrong"


@dataclass(frozen=True, slots=True)
class Failure:
    """One calendar that failed; the message is for people."""

    uri: str
    failure: CalendarFailure
    message: str


@dataclass(frozen=True, slots=True)
class UpgradeResult:
    """The file as it is now, the Bitcoin blocks it names, and what became of its calendars.

    `pending`: those that said they have nothing yet. `unasked`: those that the file names beyond what is
    asked in one go.
    """

    raw: bytes
    heights: tuple[int, ...]
    pending: tuple[str, ...]
    unasked: tuple[str, ...]
    failures: tuple[Failure, ...]


async def upgraded(raw: bytes, policy: OutboundPolicy) -> UpgradeResult:
    """The `.ots` file with all that its calendars have for it; nothing in it is dropped.

    Each pending attestation is asked for with `GET {uri}/timestamp/{message}`, at most 32 of them. A
    file that names a Bitcoin block already is asked about too, unless nothing is pending. Raises
    RefusedError when the file, or what it would become, is refused.
    """
    file = parse_ots(raw)
    unchanged = written = write_ots(file)
    client = OutboundClient(policy, max_response_bytes=MAX_ANSWER_BYTES)
    failures: dict[PendingAttestation, Failure] = {}
    answered: dict[PendingAttestation, Timestamp | None] = {}
    try:
        for _ in range(_MAX_ROUNDS):
            waiting = [
                attestation
                for attestation in _pending(file)
                if attestation not in answered.keys() | failures
            ]
            before = written
            for promise in waiting[: _MAX_CALENDARS - len(answered)]:
                found = await _ask(client, promise)
                if isinstance(found, Failure):
                    failures[promise] = found
                    continue
                answered[promise] = found
                if found is not None:
                    written = write_ots(OtsFile(file.operation, graft(file.timestamp, found)))
                    # Each time, or what grows beyond the format's limits would overflow the stack.
                    file = parse_ots(written)
            # Bytes: two files of 256 forks are nested too deep to be compared.
            if written == before:
                break
    finally:
        await client.aclose()
    return UpgradeResult(
        raw if written == unchanged else written,
        tuple(sorted(_heights(file))),
        _uris(attestation for attestation, found in answered.items() if found is None),
        _uris(
            attestation
            for attestation in _pending(file)
            if attestation not in answered.keys() | failures
        ),
        tuple(failures.values()),
    )


async def _ask(client: OutboundClient, promise: PendingAttestation) -> Timestamp | Failure | None:
    """What the calendar has; None while it has nothing."""
    url = f"{promise.uri.rstrip('/')}/timestamp/{promise.message.hex()}"
    try:
        reply = await client.get(url, _HEADERS)
    except (InvalidTargetError, OutboundError) as error:
        return Failure(promise.uri, CalendarFailure.UNREACHABLE, error.message)
    if reply.status == _NOT_FOUND:
        return None
    if reply.status != _OK or reply.truncated:
        what = "more than a timestamp" if reply.truncated else f"status {reply.status}"
        return Failure(promise.uri, CalendarFailure.WRONG, f"the calendar answered with {what}")
    try:
        return parse_timestamp(reply.body, promise.message)
    except RefusedError as error:
        return Failure(
            promise.uri, CalendarFailure.WRONG, f"the calendar's answer is wrong: {error}"
        )


def _pending(file: OtsFile) -> list[PendingAttestation]:
    return [
        PendingAttestation(attestation.uri, message)
        for message, attestation in attestations(file.timestamp)
        if attestation.uri is not None
    ]


def _uris(promises: Iterable[PendingAttestation]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(promise.uri for promise in promises))


def _heights(file: OtsFile) -> set[int]:
    return {
        attestation.height
        for _, attestation in attestations(file.timestamp)
        if attestation.height is not None
    }
