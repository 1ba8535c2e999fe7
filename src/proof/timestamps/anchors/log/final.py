"""Which checkpoint of a log was the last to be published, by what is kept here and what witnesses hold.

A witness never forgets the largest size that it cosigned. So every member of the quorum that a checkpoint
was published with still holds that size or a larger one, whatever was lost here.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from proof.core.errors import ProofError
from proof.verify import RefusedError, verify_checkpoint
from proof.verify.evidence.log.checkpoint import CheckpointBody, parse_checkpoint_body
from proof.verify.evidence.log.note import (
    Note,
    VerifierKey,
    parse_note,
    signature_line,
    signed_note,
)
from proof.verify.evidence.log.policy import Policy


class FinalUnknownError(ProofError):
    """What the last published checkpoint of a log was cannot be told."""


class ForkedLogError(ProofError):
    """A log has signed two roots for one size."""


@dataclass(frozen=True, slots=True)
class Held:
    """What one witness, of these names in the policy, answered: the newest checkpoint that it holds, or
    that it holds none."""

    names: tuple[str, ...]
    note: bytes | None


@dataclass(frozen=True, slots=True)
class Final:
    """A checkpoint, with the lines of all who signed it, as the signed note."""

    body: CheckpointBody
    note: bytes


class _Source(NamedTuple):
    """A checkpoint that the log's key signed, and who has it. `names`: of a witness, in the policy."""

    body: CheckpointBody
    note: bytes
    whose: str
    names: tuple[str, ...] = ()


def last_published(
    policy: Policy,
    log_key: VerifierKey,
    own: bytes | None,
    vouched: bytes | None,
    held: Sequence[Held],
    unanswered: Mapping[str, str],
) -> Final:
    """The largest checkpoint that the log signed and published.

    `own`: the newest that was published from here; `vouched`: one that an operator says was the last,
    needed where the witnesses alone cannot tell; `unanswered`: why witnesses of these names said nothing.
    Raises ForkedLogError, and FinalUnknownError where none is known, or more may have been published.
    """
    sources, silent = _sources(log_key, own, vouched, held), dict(unanswered)
    for each in held:
        if each.note is not None and signed_body(each.note, log_key) is None:
            silent |= dict.fromkeys(each.names, "what it shows was not signed by the log's key")
    _require_no_fork(log_key, sources)
    for size in sorted({each.body.size for each in sources}, reverse=True):
        of_size = [each for each in sources if each.body.size == size]
        found, signed = _merged(policy, log_key, own, of_size)
        if any(each.note == own for each in of_size) or policy.satisfied(signed):
            if vouched is None:
                _require_last(policy, size, sources, silent)
            return found
    raise FinalUnknownError(_nothing(sources, silent))


def signed_body(note: bytes, log_key: VerifierKey) -> CheckpointBody | None:
    """What a note says if the log's key signed it, else None."""
    try:
        if verify_checkpoint(note, [log_key]).log_key is None:
            return None
        return parse_checkpoint_body(parse_note(note).body)
    except RefusedError:
        return None


def _sources(
    log_key: VerifierKey, own: bytes | None, vouched: bytes | None, held: Sequence[Held]
) -> list[_Source]:
    """Raises FinalUnknownError for a vouched checkpoint that is not the log's."""
    named = [
        (own, "kept here", ()),
        (vouched, "in the file given", ()),
        *((each.note, f"held by {', '.join(each.names)}", each.names) for each in held),
    ]
    found = []
    for note, whose, names in named:
        body = None if note is None else signed_body(note, log_key)
        if note is not None and body is not None:
            found.append(_Source(body, note, whose, names))
        elif note is not None and not names:
            raise FinalUnknownError(
                f"the checkpoint {whose} was not signed by the key of the log {log_key.name}"
            )
    return found


def _require_no_fork(log_key: VerifierKey, sources: Sequence[_Source]) -> None:
    first: dict[int, _Source] = {}
    for each in sources:
        other = first.setdefault(each.body.size, each)
        if other.body.root != each.body.root:
            raise ForkedLogError(
                f"the log {log_key.name} has signed two roots for {each.body.size} entries:"
                f" {other.body.root.hex()} is {other.whose}, {each.body.root.hex()} {each.whose}. Nothing"
                " was changed: which history is the log's is for you to say to everybody who holds proofs"
                " of either"
            )


def _merged(
    policy: Policy, log_key: VerifierKey, own: bytes | None, sources: Sequence[_Source]
) -> tuple[Final, set[str]]:
    """One note of all lines that verify, and the witnesses, by the policy's names, that signed it.

    A line that does not verify would have the whole note refused by whoever trusts its key.
    """
    note = parse_note(sources[0].note)
    trusted = {(log_key.name, log_key.key_hash)}
    lines, signed = _lines(note, trusted), set()
    for source in sources:
        parsed = parse_note(source.note)
        if source.note == own:
            lines |= _lines(parsed, {(line.name, line.key_hash) for line in parsed.signatures})
        for witness in policy.witnesses:
            if _cosigned(source.note, log_key, witness.key):
                signed.add(witness.name)
                lines |= _lines(parsed, {(witness.key.name, witness.key.key_hash)})
    return Final(sources[0].body, signed_note(note.body, lines.values())), signed


def _lines(note: Note, keys: set[tuple[str, bytes]]) -> dict[tuple[str, bytes], bytes]:
    return {
        (line.name, line.key_hash): signature_line(line.name, line.key_hash, line.payload)
        for line in note.signatures
        if (line.name, line.key_hash) in keys
    }


def _cosigned(note: bytes, log_key: VerifierKey, key: VerifierKey) -> bool:
    try:
        return bool(verify_checkpoint(note, [log_key, key]).cosignatures)
    except RefusedError:
        return False


def _require_last(
    policy: Policy, size: int, sources: Sequence[_Source], silent: Mapping[str, str]
) -> None:
    beyond = [each for each in sources if each.body.size > size]
    names = {name for each in beyond for name in each.names}
    if policy.quorum is not None and policy.satisfied({*silent, *names}):
        said = [f"{each.body.size} are {each.whose}" for each in beyond]
        raise FinalUnknownError(
            f"{size} entries were published, and it may be that more were: "
            + "; ".join([*said, *_silent(silent)])
            + ". Bring these witnesses back; or name the last published checkpoint with --checkpoint, as a"
            " mirror, a monitor or the newest proof has it"
        )


def _silent(silent: Mapping[str, str]) -> list[str]:
    return [f"{name} does not tell what it holds ({why})" for name, why in silent.items()]


def _nothing(sources: Sequence[_Source], silent: Mapping[str, str]) -> str:
    if not sources and not silent:
        return "the log has published nothing, so there is nothing to close"
    said = [f"{each.body.size} entries, {each.whose}, have no quorum" for each in sources]
    return "no published checkpoint of the log is known: " + "; ".join([*said, *_silent(silent)])
