"""What a kind of evidence tells of itself, and the kinds there are.

The log is apart: its keys are what is trusted of it, and it is always there. How to add another kind:
`docs/howto/add-a-chain.md`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from typing import Any, Literal

from proof.verify.established import ClaimedTree, Established
from proof.verify.merkle import Branch
from proof.verify.trust import ChainTrust

# Folders beside this file. The module `kind` of each has its EvidenceKind as `KIND`.
_FOLDERS = (
    "bitcoin",
    "ethereum",
    "rfc3161",
    "upstream",
)


@dataclass(frozen=True, slots=True)
class Caller:
    """Whoever wants evidence checked. `chains`: what it trusts of chains. `verify` checks a parsed payload
    that stands inside evidence under all that it trusts, and raises RefusedError."""

    chains: ChainTrust
    verify: Callable[[dict[str, object]], Established]


@dataclass(frozen=True, slots=True)
class TrustOption:
    """The command line's option for what the caller trusts of one kind: hashes of blocks, as they are
    written, or certificates of authorities. `trusted`: what is trusted, with these hashes."""

    name: str
    metavar: Literal["HASH", "SHA256|FILE"]
    about: str
    trusted: Callable[[ChainTrust, frozenset[bytes]], ChainTrust]


@dataclass(frozen=True, slots=True)
class EvidenceKind:
    """All that the verifier knows of one kind of evidence.

    `type`: as the evidence has it. `verify`: steps 5 to 7 of `verify_payload`; raises RefusedError.
    `option`: None where other options name what there is to trust. Of what was established, `facts` is an
    object of JSON values, `steps` the lines of the account, and `witness` what makes the time true, at the
    end of a sentence.
    """

    type: str
    verify: Callable[[Branch, ClaimedTree, dict[str, object], Caller], Established]
    facts: Callable[[Any], dict[str, object]]
    steps: Callable[[Any], list[str]]
    witness: Callable[[Any], str]
    option: TrustOption | None = None


@cache
def kinds() -> Mapping[str, EvidenceKind]:
    """Every kind but the log's, by its type."""
    return {each.type: each for each in map(_kind, _FOLDERS)}


def trust_options() -> Sequence[TrustOption]:
    """Those of every kind that has one."""
    return [kind.option for kind in kinds().values() if kind.option is not None]


def _kind(folder: str) -> EvidenceKind:
    module = import_module(f"{__package__}.{folder}.kind")
    found: object = module.KIND
    if not isinstance(found, EvidenceKind):
        raise TypeError(f"KIND of {module.__name__} is no EvidenceKind")
    return found
