"""What the verifier tells: an account in steps for people, facts in JSON for programs."""

import json
from contextlib import suppress
from dataclasses import dataclass
from typing import TextIO

from proof.verify.errors import RefusedError, quoted
from proof.verify.established import Established, utc_text
from proof.verify.evidence.account import (
    claimed_facts,
    evidence_facts,
    evidence_steps,
    time_witness,
)
from proof.verify.evidence.log.report import log_sentence


@dataclass(frozen=True, slots=True)
class Subject:
    """What the proof was compared with: a file's path, a SHA-256 in hex, or nothing."""

    path: str | None
    sha256: str | None


def write(stream: TextIO, text: str) -> None:
    """Print a line, escaping what the stream's encoding lacks instead of failing on it.

    A stream that cannot be written to is left: the exit code still tells the result.
    """
    encoding = stream.encoding or "utf-8"
    with suppress(OSError):
        stream.write(text.encode(encoding, "backslashreplace").decode(encoding) + "\n")


def text(established: Established, subject: Subject) -> str:
    """The numbered account: what was checked, what is established, what remains."""
    lines = [f" {number}. {line}" for number, line in enumerate(_steps(established, subject), 1)]
    lines += ["", f"Established: {_sentence(established, subject)}"]
    lines += [f"Claimed: {sentence}" for sentence in _other_claim(established)]
    lines += [f"Not established: {sentence}" for sentence in established.remaining]
    return "\n".join(lines)


def as_json(established: Established, subject: Subject, exit_code: int) -> str:
    """The same facts as one JSON object; hashes in hex, times in milliseconds since 1970 UTC.

    `timestamp` is what is established, `claimed.timestamp` what the proof's publisher says.
    Bitcoin's hashes are reversed, as its programs print them. Serial numbers are decimal text.
    Bitcoin's `height` is the proof's word unless `tiedBy` is `headers`, Ethereum's `chainId` while the
    result is untied.
    """
    facts = {
        "result": "tied" if established.tied else "untied",
        "exitCode": exit_code,
        "sha256": established.leaf.hex(),
        "rootSha256": established.root.hex(),
        "levels": established.levels,
        **evidence_facts(established),
        "signedBy": established.signed_by,
        "timestamp": established.timestamp_ms,
        "compared": subject.sha256 is not None,
        "remaining": list(established.remaining),
        "claimed": claimed_facts(established.claimed),
    }
    return json.dumps(facts, indent=2)


def refused(error: RefusedError, exit_code: int, *, as_json: bool) -> str:
    """The refusal: its kind is the error's class name, its reason one sentence."""
    if not as_json:
        return f"Refused: {error}."
    kind = type(error).__name__
    facts = {"result": "refused", "exitCode": exit_code, "error": kind, "reason": str(error)}
    return json.dumps(facts, indent=2)


def _steps(established: Established, subject: Subject) -> list[str]:
    root, leaf = established.root.hex(), established.leaf.hex()
    return [
        "ok  The proof is strict JSON.",
        "ok  It names a hash, a branch and a tree that is verified (submitStatus 3).",
        f"ok  Every hash of its {established.levels} levels, recomputed, is right.",
        f"ok  They lead from the root {root}\n             down to the leaf {leaf}.",
        *evidence_steps(established),
        subject_step(subject),
    ]


def subject_step(subject: Subject) -> str:
    """Whether a file or a hash was compared with the proof."""
    if subject.sha256 is None:
        return "--  No file was compared with the proof."
    name = quoted(subject.path) if subject.path is not None else "The hash you gave"
    return f"ok  {name} is what the proof is about."


def subject_name(leaf: bytes, subject: Subject) -> str:
    """What the proof is about: by its path, if one was given, and its SHA-256."""
    hashed = f"SHA-256 {leaf.hex()}"
    return "what has " + hashed if subject.path is None else f"{quoted(subject.path)} ({hashed})"


def _sentence(established: Established, subject: Subject) -> str:
    name = subject_name(established.leaf, subject)
    if established.timestamp_ms is not None:
        when = utc_text(established.timestamp_ms)
        return f"{name} existed by {when}, {time_witness(established)}."
    if established.signed_by is not None:
        return log_sentence(name, established.signed_by, established.checkpoint, None)
    return f"{name} is in the tree under the root above."


def _other_claim(established: Established) -> list[str]:
    """The publisher's time, where it is another than what is established."""
    claimed, found = established.claimed.timestamp_ms, established.timestamp_ms
    if found is None or claimed == found:
        return []
    return [
        f"the proof's publisher names the time {utc_text(claimed)}; what counts is {utc_text(found)}."
    ]
