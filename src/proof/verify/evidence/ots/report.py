"""What the verifier tells of an `.ots` file, in the manner of `proof.verify.report`."""

import json
from typing import Any

from proof.verify.errors import quoted
from proof.verify.established import utc_text
from proof.verify.evidence.ots.evidence import BitcoinAttestation, EstablishedOts
from proof.verify.report import Subject, subject_step


def text(established: EstablishedOts, subject: Subject) -> str:
    """The numbered account: what was checked, what is established, what remains."""
    lines = [f" {number}. {line}" for number, line in enumerate(_steps(established, subject), 1)]
    lines += ["", f"Established: {_sentence(established, subject)}"]
    lines += [f"Not established: {sentence}" for sentence in established.remaining]
    return "\n".join(lines)


def as_json(established: EstablishedOts, subject: Subject, exit_code: int) -> str:
    """The same facts as one JSON object; hashes in hex, times in milliseconds since 1970 UTC.

    Merkle roots are reversed, as Bitcoin's programs print them.
    """
    attestations: list[dict[str, Any]] = [
        _bitcoin_facts(attestation) for attestation in established.bitcoin
    ]
    attestations += [
        {"type": "pending", "uri": item.uri, "message": item.message.hex()}
        for item in established.pending
    ]
    attestations += [
        {"type": "unknown", "tag": attestation.tag.hex(), "payload": attestation.payload.hex()}
        for attestation in established.unknown
    ]
    facts = {
        "result": "tied" if established.tied else "untied",
        "exitCode": exit_code,
        "format": "ots",
        "operation": established.operation,
        "digest": established.digest.hex(),
        "sha256": established.digest.hex() if established.operation == "sha256" else None,
        "attestations": attestations,
        "timestamp": established.timestamp_ms,
        "compared": subject.sha256 is not None,
        "remaining": list(established.remaining),
    }
    return json.dumps(facts, indent=2)


def _bitcoin_facts(attestation: BitcoinAttestation) -> dict[str, Any]:
    return {
        "type": "bitcoin",
        "height": attestation.height,
        "merkleRoot": attestation.merkle_root[::-1].hex(),
        "tied": attestation.time_s is not None,
        "network": attestation.network,
        "timestamp": None if attestation.time_s is None else attestation.time_s * 1000,
    }


def _steps(established: EstablishedOts, subject: Subject) -> list[str]:
    return [
        "ok  The proof is an OpenTimestamps file, complete and bounded.",
        (
            f"ok  Every operation from the {established.operation}\n"
            f"             {established.digest.hex()} on was recomputed."
        ),
        *map(_bitcoin_step, established.bitcoin),
        *(
            f"--  The calendar {quoted(item.uri)} has promised an attestation."
            for item in established.pending
        ),
        *(
            f"--  An attestation of the unknown kind {attestation.tag.hex()} was kept and not checked."
            for attestation in established.unknown
        ),
        subject_step(subject),
    ]


def _bitcoin_step(attestation: BitcoinAttestation) -> str:
    root = attestation.merkle_root[::-1].hex()
    if attestation.time_s is None:
        return (
            f"--  They lead to {root},\n             said to be the Merkle root of Bitcoin block"
            f" {attestation.height}."
        )
    return (
        f"ok  They lead to {root},\n             the Merkle root of block {attestation.height} of the"
        f" {attestation.network} headers you gave, of {utc_text(attestation.time_s * 1000)}."
    )


def _sentence(established: EstablishedOts, subject: Subject) -> str:
    hashed = f"{established.operation} {established.digest.hex()}"
    name = "what has " + hashed if subject.path is None else f"{quoted(subject.path)} ({hashed})"
    if established.timestamp_ms is None:
        return f"{name} is under the attestations above."
    earliest = min(
        (attestation for attestation in established.bitcoin if attestation.time_s is not None),
        key=lambda item: item.time_s or 0,
    )
    return (
        f"{name} existed by {utc_text(established.timestamp_ms)}, the time of block"
        f" {earliest.height} of Bitcoin's {earliest.network} network."
    )
