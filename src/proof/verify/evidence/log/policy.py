"""Policies: whose cosignatures make a checkpoint valid.

Source: c2sp.org/tlog-policy, as of 13027eee7f3f824e464e803373c774ab37fcc43e.
"""

import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Final, TypeVar

from proof.verify.errors import quoted
from proof.verify.evidence.log.note import (
    COSIGNER_KEYS,
    LOG_KEY,
    VerifierKey,
    VerifierKeyError,
    parse_verifier_key,
    verifier_key,
)

MAX_POLICY_BYTES: Final = 1024 * 1024  # all that the numbers below allow, with ML-DSA-44 keys

MAX_LOGS: Final = 256

MAX_WITNESSES: Final = 256

MAX_GROUPS: Final = 256

NO_QUORUM: Final = "none"

_Value = TypeVar("_Value")

_ALLOWED: Final = bytes([0x09, 0x0A, *range(0x20, 0x7F), *range(0x80, 0x100)])

_words = re.compile(rb"[^ \t]+").findall

_threshold = re.compile(r"[1-9][0-9]{0,2}").fullmatch


class PolicyError(ValueError):
    """A policy is malformed: which line, and what is wrong there. This faults the caller's policy, not a
    proof."""


@dataclass(frozen=True, slots=True)
class Log:
    """A log whose checkpoints count. `url` is as the policy has it, or None."""

    key: VerifierKey
    url: str | None = None


@dataclass(frozen=True, slots=True)
class Witness:
    """A witness by the policy's own name for it; `key.name` is the name that it signs under."""

    name: str
    key: VerifierKey
    url: str | None = None


@dataclass(frozen=True, slots=True)
class Group:
    """Has witnessed what at least `threshold` of its members, witnesses or earlier groups, have."""

    name: str
    threshold: int
    members: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Policy:
    """Logs, witnesses, groups (each after its members) and a quorum: the name of a witness or a group, or
    None where no cosignature is needed.

    Names and URLs are the octets of the policy in UTF-8, others as lone surrogates (`surrogateescape`).
    A policy made here, not by `parse_policy`, is checked when `parse_policy` reads its `text`. `signers`:
    whose a signature line is, by its name and key hash.
    """

    logs: tuple[Log, ...]
    witnesses: tuple[Witness, ...]
    groups: tuple[Group, ...]
    quorum: str | None
    signers: Mapping[tuple[str, bytes], Log | Witness] = field(
        init=False, repr=False, compare=False
    )

    def __post_init__(self) -> None:
        everyone: tuple[Log | Witness, ...] = (*self.logs, *self.witnesses)
        signers = {(signer.key.name, signer.key.key_hash): signer for signer in everyone}
        object.__setattr__(self, "signers", signers)

    @classmethod
    def of_keys(cls, keys: Iterable[VerifierKey]) -> "Policy":
        """Every log key counts, with one cosigner of those given; without any cosigner `quorum` is None.

        A witness's name is that of its key and the key hash.
        """
        distinct = list(dict.fromkeys(keys))
        logs = tuple(Log(key) for key in distinct if key.key_type == LOG_KEY)
        cosigners = [key for key in distinct if key.key_type in COSIGNER_KEYS]
        witnesses = tuple(Witness(f"{key.name}+{key.key_hash.hex()}", key) for key in cosigners)
        if not witnesses:
            return cls(logs, (), (), None)
        group = Group("any-key", 1, tuple(witness.name for witness in witnesses))
        return cls(logs, witnesses, (group,), group.name)

    def with_logs(self, keys: Iterable[VerifierKey]) -> "Policy":
        """The same with the log keys among `keys` beside its own; keys of cosigners are left out."""
        known = {log.key.public_key for log in self.logs}
        more = [log for log in Policy.of_keys(keys).logs if log.key.public_key not in known]
        return replace(self, logs=(*self.logs, *more))

    def satisfied(self, names: Collection[str]) -> bool:
        """Whether these witnesses, by the policy's names, are a quorum."""
        return self.quorum is None or self._evaluated(
            {witness.name: witness.name in names for witness in self.witnesses},
            lambda group, found: sum(found) >= group.threshold,
        )

    def splits(self) -> bool:
        """Whether two quorums may have no party in common, so that each half of a split world has one.

        A party is one memory of what was signed: a witness, or a group of the keys of one cosigner, which
        all sign under one name. Where one cosigner's keys stand in different groups they are taken for
        different parties.
        """
        if self.quorum is None:
            return True
        parties = {witness.name: frozenset({witness.key.name}) for witness in self.witnesses}
        for group in self.groups:
            parties[group.name] = frozenset().union(*(parties[name] for name in group.members))
        return self._evaluated(
            dict.fromkeys((witness.name for witness in self.witnesses), False),
            lambda group, split: (
                len(parties[group.name]) > 1 and 2 * group.threshold <= len(split) + sum(split)
            ),
        )

    def counted(self) -> tuple[Witness, ...]:
        """The witnesses that can contribute to the quorum, in the policy's order."""
        reached = {self.quorum}
        for group in reversed(self.groups):
            if group.name in reached:
                reached.update(group.members)
        return tuple(witness for witness in self.witnesses if witness.name in reached)

    def text(self) -> bytes:
        """The policy as a file, which `parse_policy` reads to an equal one."""
        lines = [_line("log", _key_text(log.key), log.url) for log in self.logs]
        lines += [
            _line("witness", witness.name, _key_text(witness.key), witness.url)
            for witness in self.witnesses
        ]
        lines += [_line("group", group.name, _rule(group), *group.members) for group in self.groups]
        lines.append(_line("quorum", NO_QUORUM if self.quorum is None else self.quorum))
        return "".join(lines).encode(errors="surrogateescape")

    def _evaluated(
        self, values: dict[str, bool], of_group: Callable[[Group, Sequence[bool]], bool]
    ) -> bool:
        for group in self.groups:
            values[group.name] = of_group(group, [values[name] for name in group.members])
        return values[self.quorum or ""]


@lru_cache(maxsize=16)
def policy_of_keys(keys: tuple[VerifierKey, ...]) -> Policy:
    """`Policy.of_keys`, once for the same keys: whoever verifies many proofs gives them each time."""
    return Policy.of_keys(keys)


def parse_policy(raw: bytes) -> Policy:
    """Read a policy file, within `MAX_POLICY_BYTES` and the greatest numbers of logs, witnesses and groups.

    Raises PolicyError.
    """
    if len(raw) > MAX_POLICY_BYTES:
        raise PolicyError(f"the policy is longer than {MAX_POLICY_BYTES} bytes")
    *lines, rest = raw.split(b"\n")
    if rest:
        raise PolicyError(f"line {len(lines) + 1} of the policy has no newline: it may be cut off")
    reader = _Reader()
    for number, line in enumerate(lines, 1):
        try:
            reader.read(line)
        except (PolicyError, VerifierKeyError) as error:
            raise PolicyError(f"line {number} of the policy: {error}") from error
    return reader.policy()


class _Reader:
    """What the lines read so far define."""

    def __init__(self) -> None:
        self._logs: dict[bytes, Log] = {}
        self._witnesses: dict[bytes, Witness] = {}
        self._groups: list[Group] = []
        self._quorums: list[str | None] = []
        self._free: dict[str, bool] = {}  # each name, and whether no group has it as a member yet
        self._signers: Counter[tuple[str, bytes]] = Counter()

    def policy(self) -> Policy:
        if not self._quorums:
            raise PolicyError(
                "the policy has no quorum line; `quorum none` asks for no cosignature"
            )
        return Policy(
            tuple(self._logs.values()),
            tuple(self._witnesses.values()),
            tuple(self._groups),
            self._quorums[0],
        )

    def read(self, line: bytes) -> None:
        refused = line.translate(None, _ALLOWED)
        if refused:
            raise PolicyError(f"it holds the control character 0x{refused[0]:02x}")
        words = _words(line)
        if not words or words[0].startswith(b"#"):
            return
        keyword, *items = (word.decode(errors="surrogateescape") for word in words)
        match keyword:
            case "log":
                self._log(items)
            case "witness":
                self._witness(items)
            case "group":
                self._group(items)
            case "quorum":
                self._quorum(items)
            case _:
                raise PolicyError(
                    f"{quoted(keyword)} is none of `log`, `witness`, `group` and `quorum`"
                )

    def _log(self, items: list[str]) -> None:
        if not 1 <= len(items) <= 2:
            raise PolicyError("a log line reads `log <vkey> [<url>]`")
        log = Log(_key(items[0]), *items[1:])
        if log.key.key_type != LOG_KEY:
            raise PolicyError(f"the key of {quoted(log.key.name)} is a cosigner's, not a log's")
        self._define_key(self._logs, log.key, log, MAX_LOGS, "logs")

    def _witness(self, items: list[str]) -> None:
        if not 2 <= len(items) <= 3:
            raise PolicyError("a witness line reads `witness <name> <vkey> [<url>]`")
        witness = Witness(items[0], _key(items[1]), *items[2:])
        if witness.key.key_type not in COSIGNER_KEYS:
            raise PolicyError(f"the key of {quoted(witness.key.name)} is a log's, not a cosigner's")
        self._define_key(self._witnesses, witness.key, witness, MAX_WITNESSES, "witnesses")
        self._define_name(witness.name)

    def _group(self, items: list[str]) -> None:
        if len(items) < 3:
            raise PolicyError("a group line reads `group <name> all|any|<k> <name>...`")
        name, rule, *members = items
        if len(self._groups) == MAX_GROUPS:
            raise PolicyError(f"there are more than {MAX_GROUPS} groups")
        for member in members:
            self._join(member)
        self._groups.append(Group(name, _threshold_of(rule, len(members)), tuple(members)))
        self._define_name(name)

    def _quorum(self, items: list[str]) -> None:
        if len(items) != 1:
            raise PolicyError("a quorum line reads `quorum <name>`")
        if self._quorums:
            raise PolicyError("it is the second quorum line, and a policy has one")
        (name,) = items
        if name != NO_QUORUM:
            self._require_defined(name)
        self._quorums.append(None if name == NO_QUORUM else name)

    def _define_key(
        self, of: dict[bytes, _Value], key: VerifierKey, value: _Value, most: int, what: str
    ) -> None:
        if key.public_key in of:
            raise PolicyError(f"the public key of {quoted(key.name)} is given twice")
        if len(of) == most:
            raise PolicyError(f"there are more than {most} {what}")
        signer = (key.name, key.key_hash)
        if self._signers[signer]:
            raise PolicyError(
                f"another key signs as {quoted(key.name)} with the key hash {key.key_hash.hex()}"
            )
        self._signers[signer] += 1
        of[key.public_key] = value

    def _define_name(self, name: str) -> None:
        if name == NO_QUORUM:
            raise PolicyError("the name `none` has a meaning of its own")
        if name in self._free:
            raise PolicyError(f"the name {quoted(name)} is defined twice")
        self._free[name] = True

    def _join(self, member: str) -> None:
        if member == NO_QUORUM:
            raise PolicyError("`none` is no member of a group")
        self._require_defined(member)
        if not self._free[member]:
            raise PolicyError(f"{quoted(member)} is already a member of a group")
        self._free[member] = False

    def _require_defined(self, name: str) -> None:
        if name not in self._free:
            raise PolicyError(f"{quoted(name)} is defined on no line before")


def _key(item: str) -> VerifierKey:
    try:
        item.encode()
    except UnicodeEncodeError as error:
        raise PolicyError("the key is not UTF-8") from error
    return parse_verifier_key(item)


def _threshold_of(rule: str, members: int) -> int:
    if rule in {"all", "any"}:
        return members if rule == "all" else 1
    if not _threshold(rule) or int(rule) > members:
        raise PolicyError(
            f"{quoted(rule)} is neither `all`, `any` nor a number from 1 to {members}, the group's members"
        )
    return int(rule)


def _rule(group: Group) -> str:
    """`any` for a single member, which `all` means too."""
    words = {len(group.members): "all", 1: "any"}
    return words.get(group.threshold, str(group.threshold))


def _key_text(key: VerifierKey) -> str:
    return verifier_key(key.name, key.key_type, key.public_key)


def _line(*items: str | None) -> str:
    return " ".join(item for item in items if item is not None) + "\n"
