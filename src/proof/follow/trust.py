"""Whom a follower believes: a policy, or keys alone."""

from collections.abc import Iterable

from proof.core.errors import InvalidInputError
from proof.follow.faults import Fault, LogFaultError
from proof.follow.trusted import SignedCheckpoint
from proof.verify import RefusedError, VerifierKeyError, parse_verifier_key, verify_checkpoint
from proof.verify.errors import (
    CheckpointFormatError,
    NoteFormatError,
    NoteTooLargeError,
    SignatureLineError,
    quoted,
)
from proof.verify.evidence.log.policy import Policy, PolicyError, parse_policy

_NO_NOTE = (CheckpointFormatError, NoteFormatError, NoteTooLargeError, SignatureLineError)


class Trust:
    """Verifies checkpoints by a policy."""

    def __init__(self, policy: Policy) -> None:
        """Raises InvalidInputError for a policy without a log."""
        if not policy.logs:
            raise InvalidInputError(
                "no log is named that could be followed; the policy needs a line `log VKEY`, a key file"
                " the log's own key"
            )
        self._policy = policy

    def verify(self, note: bytes) -> SignedCheckpoint:
        """Raises LogFaultError: BROKEN for what is no checkpoint, KEY, QUORUM."""
        evidence = {"checkpoint": note.decode(errors="replace")}
        try:
            checkpoint = verify_checkpoint(note, self._policy)
        except _NO_NOTE as error:
            raise LogFaultError(
                Fault.BROKEN, f"what is served as checkpoint is none: {error}", evidence
            ) from None
        except RefusedError as error:
            raise LogFaultError(Fault.KEY, f"key: {error}", evidence) from None
        if checkpoint.log_key is None:
            known = ", ".join(quoted(log.key.name) for log in self._policy.logs)
            raise LogFaultError(
                Fault.KEY,
                f"key: the checkpoint is of the log {quoted(checkpoint.origin)}, and the trusted keys"
                f" are those of {known}; if that log was closed, get the new policy over a way you trust",
                evidence,
            )
        if not checkpoint.quorum_reached:
            missing = ", ".join(quoted(witness.name) for witness in checkpoint.missing)
            raise LogFaultError(
                Fault.QUORUM,
                "quorum: the log signed this checkpoint, but the policy's quorum did not cosign it;"
                f" missing: {missing}",
                evidence,
            )
        return SignedCheckpoint(note, checkpoint)


def trust_of(policy: bytes | None, key_files: Iterable[bytes]) -> Trust:
    """By a policy file, or by key files, of one key a line. Raises InvalidInputError."""
    try:
        if policy is not None:
            return Trust(parse_policy(policy))
        lines = [line for raw in key_files for line in raw.decode().splitlines() if line.strip()]
        return Trust(Policy.of_keys(parse_verifier_key(line.strip()) for line in lines))
    except (PolicyError, VerifierKeyError, UnicodeDecodeError) as error:
        raise InvalidInputError(f"the trusted keys cannot be read: {error}") from None
