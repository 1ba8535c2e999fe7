"""The policy that a log is published by, as an operator wrote it.

Source: c2sp.org/tlog-policy as of 13027eee7f3f824e464e803373c774ab37fcc43e.
"""

from collections.abc import Iterable
from typing import Final
from urllib.parse import urlsplit

from proof.core.errors import ProofError
from proof.verify.errors import quoted
from proof.verify.evidence.log.note import (
    MAX_NOTE_BYTES,
    MAX_SIGNATURES,
    SIGNATURE_BYTES,
    TIME_BYTES,
    signature_line,
)
from proof.verify.evidence.log.policy import (
    Group,
    Policy,
    PolicyError,
    Witness,
    parse_policy,
)

NO_WITNESSES: Final = Policy((), (), (), None)
"""Every checkpoint is published as soon as the log has signed it."""

# The log's own line and those of its two cosigner keys, and the text that they sign.
_OWN_LINES: Final = 3
_OWN_BYTES: Final = 8 * 1024

_MAX_LINES: Final = MAX_SIGNATURES - _OWN_LINES
_MAX_LINE_BYTES: Final = MAX_NOTE_BYTES - _OWN_BYTES


class LogPolicyError(ProofError):
    """A log cannot be published by this policy."""


def read_policy(raw: bytes) -> Policy:
    """A policy file whose witnesses can be asked, whose quorums all overlap, and whose cosignatures fit
    into one checkpoint. Its logs are left out, and a URL has no slash at its end.

    Raises LogPolicyError.
    """
    try:
        found = parse_policy(raw)
    except PolicyError as error:
        raise LogPolicyError(str(error)) from None
    if found.quorum is None:
        return NO_WITNESSES
    counted = {witness.name for witness in found.counted()}
    witnesses = tuple(
        Witness(each.name, each.key, _url(each)) for each in found.witnesses if each.name in counted
    )
    groups = tuple(group for group in found.groups if _reaches(found, group))
    policy = Policy((), witnesses, groups, found.quorum)
    _require_one_place(witnesses)
    if policy.splits():
        one, other = (", ".join(quorum) for quorum in disjoint_quorums(policy))
        raise LogPolicyError(
            f"it has two quorums without a witness in common, {one} and {other}: each could publish a"
            " history of its own. A quorum must be more than half of its group; the two keys of one witness"
            " are a group of their own, for they have one memory"
        )
    _require_room(policy)
    return policy


def _require_one_place(witnesses: Iterable[Witness]) -> None:
    """Keys of one name are taken for one memory, which whoever signs under another's name has not."""
    urls: dict[str, str | None] = {}
    for each in witnesses:
        if urls.setdefault(each.key.name, each.url) != each.url:
            raise LogPolicyError(
                f"keys that sign as {quoted(each.key.name)} have two URLs, and keys of one name are one"
                " witness, with one memory; give them one URL, or ask one witness to take another name"
            )


def _require_room(policy: Policy) -> None:
    """All may answer together, and a checkpoint with more lines than verifiers read is none to them."""
    keys = [each.key for each in policy.witnesses]
    lines = [
        signature_line(key.name, key.key_hash, bytes(TIME_BYTES + SIGNATURE_BYTES[key.key_type]))
        for key in keys
    ]
    if len(lines) > _MAX_LINES or sum(map(len, lines)) > _MAX_LINE_BYTES:
        raise LogPolicyError(
            f"its quorum counts {len(lines)} keys, whose lines have {sum(map(len, lines))} bytes; a"
            f" checkpoint has room for {_MAX_LINES} keys and {_MAX_LINE_BYTES} bytes beside the log's own:"
            " name fewer witnesses, or only one of the two keys of some"
        )


def without_urls(policy: Policy) -> Policy:
    """What verifiers need of a policy: who is asked where is the log's own business."""
    witnesses = tuple(Witness(each.name, each.key) for each in policy.witnesses)
    return Policy(policy.logs, witnesses, policy.groups, policy.quorum)


def disjoint_quorums(policy: Policy) -> tuple[list[str], list[str]]:
    """Two quorums, by the names of their witnesses, that share none. The policy must split."""
    pairs: dict[str, tuple[list[str], list[str]] | None] = dict.fromkeys(
        (witness.name for witness in policy.witnesses), None
    )
    least = {witness.name: [witness.name] for witness in policy.witnesses}
    parties = {witness.name: {witness.key.name} for witness in policy.witnesses}
    for group in policy.groups:
        least[group.name] = [
            name for member in group.members[: group.threshold] for name in least[member]
        ]
        parties[group.name] = set().union(*(parties[member] for member in group.members))
        # The keys of one witness have one memory.
        several = len(parties[group.name]) > 1
        pairs[group.name] = _pair(group, pairs, least) if several else None
    pair = pairs[policy.quorum or ""]
    assert pair is not None
    return pair


def _pair(
    group: Group,
    pairs: dict[str, tuple[list[str], list[str]] | None],
    least: dict[str, list[str]],
) -> tuple[list[str], list[str]] | None:
    """Members that split count on both sides, the others on one."""
    one: list[str] = []
    other: list[str] = []
    both = [pair for member in group.members if (pair := pairs[member])][: group.threshold]
    for left, right in both:
        one += left
        other += right
    needed = group.threshold - len(both)
    whole = [member for member in group.members if not pairs[member]]
    if 2 * needed > len(whole):
        return None
    one += [name for member in whole[:needed] for name in least[member]]
    other += [name for member in whole[needed : 2 * needed] for name in least[member]]
    return one, other


def _reaches(policy: Policy, group: Group) -> bool:
    above = {policy.quorum}
    for each in reversed(policy.groups):
        if each.name in above:
            above.update(each.members)
    return group.name in above


def _url(witness: Witness) -> str:
    said = f"the witness {quoted(witness.name)}"
    if witness.url is None:
        raise LogPolicyError(
            f"{said} has no URL; write the one it is asked for cosignatures at behind its key"
        )
    try:
        witness.url.encode()
        parts = urlsplit(witness.url)
        whole = parts.scheme in {"http", "https"} and parts.hostname and parts.port != 0
    except (UnicodeEncodeError, ValueError):
        whole = False
    if not whole or parts.query or parts.fragment or "@" in parts.netloc:
        raise LogPolicyError(
            f"{said}: {quoted(witness.url)} is not an http(s) URL of host and path"
        )
    return witness.url.rstrip("/")
