"""One witness: what it is asked, and what of its answer counts.

Sources: c2sp.org/tlog-witness as of 055270b5928827a49ee84620903e141c2e97d79f,
c2sp.org/tlog-cosignature@v1.1.0-rc.1.

A witness may answer with anything. Of a 200 the lines of the keys that the policy has for it count, each
once its signature is verified and its time is near ours: one dated far back would make a proof too old,
and one dated ahead says that nobody looks after that clock. A 409 is either the size that it holds, or
says that it holds another root at the size we named (which other revisions say with a 422).
"""

from base64 import b64encode
from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import Final

from proof.core.errors import OtherSideError
from proof.core.note_keys import ed25519_verify, mldsa44_verify
from proof.timestamps.anchors.chain import NodeDownError
from proof.timestamps.anchors.log.keys import Proposal
from proof.timestamps.anchors.node_client import NodeClient
from proof.verify import RefusedError, verify_checkpoint
from proof.verify.errors import quoted
from proof.verify.evidence.log.checkpoint import CheckpointBody, parse_checkpoint_body
from proof.verify.evidence.log.note import (
    COSIGNER_KEY,
    MAX_TIME_S,
    SIGNATURE_BYTES,
    TIME_BYTES,
    SignatureLine,
    VerifierKey,
    cosignature_message,
    cosigned_message,
    parse_note,
    signature_line,
)

ASK_S: Final = 3.0
"""How long one witness has for all that it is asked about one checkpoint."""

MAX_CLOCK_DIFFERENCE_S: Final = 60

_MAX_ANSWER_BYTES: Final = 64 * 1024
_MAX_SIZE_DIGITS: Final = 19
_MAX_PATH: Final = 63

# Longer than the second between two checkpoints of a busy log, and shorter than what servers commonly wait.
_KEEP_ALIVE_S: Final = 4.0

_SETTING: Final = "the log's policy file"


class WitnessError(OtherSideError):
    """A witness did not cosign; asked again later it may."""


class ContradictionError(WitnessError):
    """A witness says that it holds more than it was offered, or another history of it.

    `size` is what it says it holds; None where it only says that it is another history.
    """

    def __init__(self, message: str, size: int | None) -> None:
        super().__init__(message)
        self.size = size


class WitnessClient:
    """The way to one witness. Made and closed on one running event loop."""

    def __init__(self, url: str, timeout_s: float = ASK_S) -> None:
        self._client = NodeClient(
            f"the witness {url}",
            url,
            _MAX_ANSWER_BYTES,
            timeout_s,
            setting=_SETTING,
            keep_alive_s=_KEEP_ALIVE_S,
        )
        self._url = url

    async def add_checkpoint(
        self, old: int, path: Sequence[bytes], proposal: Proposal
    ) -> int | bytes:
        """Ask for cosignatures: the answer's signature lines, or the size that the witness holds instead.

        `path` shows that the proposal extends `old` entries. Raises WitnessError, and ContradictionError
        where the witness holds another history of what it was offered.
        """
        body = request(old, path, proposal.note)
        try:
            status, answer = await self._client.post(body, {}, "/add-checkpoint")
        except NodeDownError as error:
            raise WitnessError(error.message) from None
        if status == 200:
            return answer
        held = _size(answer) if status == 409 else None
        if status == 422 or (held == old == proposal.size):
            raise ContradictionError(
                f"the witness {self._url} refuses {proposal.size} entries as no continuation of what it"
                " holds",
                held,
            )
        if held is None or held == old:
            raise WitnessError(
                f"the witness {self._url} answers with HTTP status {status}: {_said(answer)}"
            )
        return held

    async def newest(self, origin: str, log_key: VerifierKey) -> CheckpointBody | None:
        """What it holds of the log by a checkpoint that the log's own key signed; None without one."""
        try:
            note = await self.checkpoint(origin)
            if note is None or verify_checkpoint(note, [log_key]).log_key is None:
                return None
            return parse_checkpoint_body(parse_note(note).body)
        except (WitnessError, RefusedError):
            return None

    async def checkpoint(self, origin: str) -> bytes | None:
        """The newest checkpoint that it holds of a log, as it sent it; None where it holds none.

        Raises WitnessError.
        """
        try:
            status, note = await self._client.get(
                f"/{sha256(origin.encode()).hexdigest()}/checkpoint"
            )
        except NodeDownError as error:
            raise WitnessError(error.message) from None
        if status not in {200, 404}:
            raise WitnessError(
                f"the witness {self._url} answers with HTTP status {status}: {_said(note)}"
            )
        return note if status == 200 else None

    async def reach(self) -> None:
        """Raises WitnessError where nothing answers."""
        try:
            await self._client.get("/")
        except NodeDownError as error:
            raise WitnessError(error.message) from None

    async def close(self) -> None:
        """Close its connections."""
        await self._client.close()


def request(old: int, path: Sequence[bytes], note: bytes) -> bytes:
    """The body of `POST /add-checkpoint`."""
    if len(path) > _MAX_PATH:
        raise ValueError("a consistency path has at most 63 hashes")
    lines = [f"old {old}", *(b64encode(node).decode() for node in path), "", ""]
    return "\n".join(lines).encode() + note


def cosignatures(
    answer: bytes, proposal: Proposal, keys: Mapping[str, VerifierKey], now_s: int
) -> dict[str, bytes]:
    """The signature lines of an answer that count, by the policy's names of their keys.

    Lines of other keys do not, nor do those that do not verify or are dated more than
    MAX_CLOCK_DIFFERENCE_S from `now_s`. Raises WitnessError where nothing counts.
    """
    try:
        note = parse_note(proposal.body + b"\n" + answer)
    except RefusedError as error:
        raise WitnessError(f"its answer is no list of signature lines: {error}") from None
    if note.body != proposal.body:
        raise WitnessError("its answer is no list of signature lines: it has an empty line")
    names = {(key.name, key.key_hash): name for name, key in keys.items()}
    found: dict[str, bytes] = {}
    problems: list[str] = []
    for line in note.signatures:
        name = names.get((line.name, line.key_hash))
        if name is None:
            continue
        try:
            _require_valid(line, keys[name], proposal, now_s)
        except WitnessError as error:
            problems.append(error.message)
        else:
            found[name] = signature_line(line.name, line.key_hash, line.payload)
    if not found:
        raise WitnessError(
            "; ".join(problems[:2]) or "it signed with none of the keys that the policy has for it"
        )
    return found


def _require_valid(line: SignatureLine, key: VerifierKey, proposal: Proposal, now_s: int) -> None:
    if len(line.payload) != TIME_BYTES + SIGNATURE_BYTES[key.key_type]:
        raise WitnessError(f"the cosignature of {quoted(key.name)} has the wrong length")
    time_s = int.from_bytes(line.payload[:TIME_BYTES], "big")
    if time_s > MAX_TIME_S:
        raise WitnessError(f"the cosignature of {quoted(key.name)} has an impossible time")
    signature = line.payload[TIME_BYTES:]
    if key.key_type == COSIGNER_KEY:
        message = cosignature_message(time_s, proposal.body)
        valid = ed25519_verify(key.public_key, message, signature)
    else:
        message = cosigned_message(key.name, time_s, proposal.origin, proposal.size, proposal.root)
        valid = mldsa44_verify(key.public_key, message, signature)
    if not valid:
        raise WitnessError(f"the cosignature of {quoted(key.name)} does not verify")
    if abs(time_s - now_s) > MAX_CLOCK_DIFFERENCE_S:
        raise WitnessError(
            f"the cosignature of {quoted(key.name)} is dated {time_s - now_s:+d} s from our clock;"
            " set the one that is wrong"
        )


def _size(answer: bytes) -> int | None:
    text = answer.removesuffix(b"\n")
    if not text.isdigit() or len(text) > _MAX_SIZE_DIGITS or (text[:1] == b"0" and text != b"0"):
        return None
    return int(text)


def _said(answer: bytes) -> str:
    return quoted(answer[:200].decode(errors="replace").strip())
