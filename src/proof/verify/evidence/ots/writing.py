"""Writing `.ots` files: the canonical bytes of a timestamp, and two timestamps made into one."""

from collections.abc import Iterator

from proof.verify.errors import OtsMergeError, OtsTooLargeError
from proof.verify.evidence.ots.format import (
    APPEND,
    MAGIC,
    MAX_ATTESTATIONS,
    PREPEND,
    Attestation,
    Branch,
    Operation,
    OtsFile,
    Timestamp,
    apply_operation,
    number_bytes,
)

_ATTESTATION, _MORE = b"\x00", b"\xff"


def write_ots(file: OtsFile) -> bytes:
    """The bytes of a whole file."""
    head = MAGIC + bytes([1, file.operation]) + file.timestamp.message
    return head + write_timestamp(file.timestamp)


def write_timestamp(timestamp: Timestamp) -> bytes:
    """The bytes of a timestamp without its message, in the format's order.

    Attestations by tag, then height, address or payload as the Python library compares them, then
    operations by byte and argument. Raises ValueError for one without any item, which the format
    cannot express.
    """
    items = [
        _ATTESTATION
        + attestation.tag
        + number_bytes(len(attestation.payload))
        + attestation.payload
        for attestation in sorted(timestamp.attestations, key=_order)
    ]
    for branch in sorted(timestamp.branches, key=lambda branch: branch.operations):
        written = b"".join(map(_operation_bytes, branch.operations))
        items.append(written + write_timestamp(branch.end))
    if not items:
        raise ValueError("a timestamp has at least one item")
    return b"".join(_MORE + item for item in items[:-1]) + items[-1]


def merge(timestamp: Timestamp, other: Timestamp) -> Timestamp:
    """What either of two timestamps of one message says. Raises OtsMergeError for two messages."""
    if timestamp.message != other.message:
        raise OtsMergeError("two timestamps of different messages cannot become one")
    attestations = dict.fromkeys((*timestamp.attestations, *other.attestations))
    branches = list(timestamp.branches)
    for branch in other.branches:
        _add(branches, branch, timestamp.message)
    return Timestamp(timestamp.message, tuple(attestations), tuple(branches))


def graft(timestamp: Timestamp, addition: Timestamp) -> Timestamp:
    """The timestamp with `addition` merged in wherever it comes to that message.

    Only messages that carry an attestation or a fork are looked at, as a calendar's answer needs. Raises
    OtsTooLargeError when there are so many of them that no file could hold what it would become.
    """
    places = sum(1 for each in _timestamps(timestamp) if each.message == addition.message)
    added = sum(len(each.attestations) for each in _timestamps(addition))
    if places * added > MAX_ATTESTATIONS:
        raise OtsTooLargeError(
            f"{added} attestations in {places} places are more than the {MAX_ATTESTATIONS} of a file"
        )
    return _grafted(timestamp, addition)


def _grafted(timestamp: Timestamp, addition: Timestamp) -> Timestamp:
    branches = tuple(
        Branch(branch.operations, _grafted(branch.end, addition)) for branch in timestamp.branches
    )
    found = Timestamp(timestamp.message, timestamp.attestations, branches)
    return merge(found, addition) if found.message == addition.message else found


def _timestamps(timestamp: Timestamp) -> Iterator[Timestamp]:
    waiting = [timestamp]
    while waiting:
        found = waiting.pop()
        yield found
        waiting += [branch.end for branch in found.branches]


def _order(attestation: Attestation) -> tuple[bytes, int, str, bytes]:
    return attestation.tag, attestation.height or 0, attestation.uri or "", attestation.payload


def _add(branches: list[Branch], added: Branch, message: bytes) -> None:
    for at, branch in enumerate(branches):
        shared = _shared(branch.operations, added.operations)
        if shared:
            fork = message
            for operation in branch.operations[:shared]:
                fork = apply_operation(operation, fork)
            ends = (_rest(branch, shared, fork), _rest(added, shared, fork))
            branches[at] = Branch(branch.operations[:shared], merge(*ends))
            return
    branches.append(added)


def _rest(branch: Branch, shared: int, message: bytes) -> Timestamp:
    """The timestamp of `message`, which the branch's first `shared` operations lead to."""
    left = branch.operations[shared:]
    return Timestamp(message, (), (Branch(left, branch.end),)) if left else branch.end


def _shared(item: tuple[Operation, ...], other: tuple[Operation, ...]) -> int:
    count = 0
    for mine, theirs in zip(item, other, strict=False):
        if mine != theirs:
            break
        count += 1
    return count


def _operation_bytes(operation: Operation) -> bytes:
    tag, argument = operation
    if tag in (APPEND, PREPEND):
        return bytes([tag]) + number_bytes(len(argument)) + argument
    return bytes([tag])
