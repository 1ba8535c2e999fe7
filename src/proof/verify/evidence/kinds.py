"""What a kind of evidence tells of itself, and the kinds there are.

The log is apart: its keys are what is trusted of it, and it is always there. How to add another kind:
`docs/howto/add-a-chain.md`.
"""

from collections.abc import Callable, Mapping
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
)


@dataclass(frozen=True, slots=True)
class TrustOption:
    """The command line's option for what the caller trusts of one kind: hashes of blocks, as they are
    written, or certificates of authorities."""

    name: str
    metavar: Literal["HASH", "SHA256|FILE"]
    about: str


@dataclass(frozen=True, slots=True)
class EvidenceKind:
    """All that the verifier knows of one kind of evidence.

    `type`: as the evidence has it. `verify`: steps 5 to 7 of `verify_payload`; raises RefusedError.
    `trusted`: what is trusted, with these hashes that `option` gave. Of what was established, `facts` is an
    object of JSON values, `steps` the lines of the account, and `witness` what makes the time true, at the
    end of a sentence.
    """

    type: str
    option: TrustOption
    trusted: Callable[[ChainTrust, frozenset[bytes]], ChainTrust]
    verify: Callable[[Branch, ClaimedTree, dict[str, object], ChainTrust], Established]
    facts: Callable[[Any], dict[str, object]]
    steps: Callable[[Any], list[str]]
    witness: Callable[[Any], str]


@cache
def kinds() -> Mapping[str, EvidenceKind]:
    """Every kind but the log's, by its type."""
    return {each.type: each for each in map(_kind, _FOLDERS)}


def _kind(folder: str) -> EvidenceKind:
    module = import_module(f"{__package__}.{folder}.kind")
    found: object = module.KIND
    if not isinstance(found, EvidenceKind):
        raise TypeError(f"KIND of {module.__name__} is no EvidenceKind")
    return found
