"""The JSON bodies of the timestamp API."""

from typing import Annotated

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from proof.timestamps.submissions.service import MAX_HASHES

_Sha256 = Annotated[str, Meta(description="a SHA-256 hash, 64 hexadecimal digits")]
_TreeId = Annotated[str, Meta(description="a tree's UUID")]


class _Request(Struct, forbid_unknown_fields=True, rename="camel"):
    pass


class _Answer(Struct, rename="camel"):
    pass


class Message(_Answer):
    """Every error's body."""

    message: str


class TimestampRequest(_Request):
    sha256: Annotated[
        list[str], Meta(description=f"1 to {MAX_HASHES:,} hashes of 64 hexadecimal digits")
    ]


class TreeRefBody(_Answer):
    tree_id: _TreeId
    currency_id: int
    currency: str


class TimestampAnswer(_Answer, omit_defaults=True):
    sha256: list[str]
    date_created: Annotated[int, Meta(description="milliseconds since 1970 UTC")]
    trees: list[TreeRefBody]
    existing: list[str] = []


class TimestampData(_Answer):
    """The last three are there once `submitStatus` is 3."""

    tree_id: _TreeId
    currency_id: int
    currency: str
    submit_status: Annotated[int, Meta(ge=0, le=3)]
    timestamp: int | UnsetType = UNSET
    root_sha256: str | UnsetType = UNSET
    transaction: str | UnsetType = UNSET


class HashStatusAnswer(_Answer):
    date_created: int
    trees: list[TimestampData]


class TreeStatusRequest(_Request):
    tree_id: _TreeId


class ProofRequest(_Request):
    currency_id: int
    sha256: _Sha256


class Target(_Request):
    target: str | UnsetType = UNSET


class TreeTarget(_Request):
    target: str | UnsetType = UNSET
    currency_ids: list[int] | UnsetType = UNSET


class Notification(_Request):
    proof: Target | UnsetType = UNSET
    tree: TreeTarget | UnsetType = UNSET


class SettingRequest(_Request):
    notification: Notification | UnsetType = UNSET


class TargetBody(_Answer):
    target: str


class TreeTargetBody(_Answer):
    target: str
    currency_ids: list[int]


class NotificationBody(_Answer):
    proof: TargetBody
    tree: TreeTargetBody


class SettingAnswer(_Answer):
    notification: NotificationBody


class UsageRequest(_Request):
    year: Annotated[int, Meta(ge=1970, le=9999)]
    month: Annotated[int, Meta(ge=1, le=12)] | None = None


class UsageReport(_Answer):
    year: int
    month: int
    used_timestamps: int
    used_proofs: int
    used_status: int


class UsageAnswer(_Answer):
    limit_timestamps: int
    limit_proofs: int
    limit_status: int
    reports: list[UsageReport]


class ExampleRequest(_Request):
    target: str


class ProofPayload(_Answer):
    """The proof: `branch` nests nodes down to the leaf; `evidence` ties the root to its chain."""

    sha256: str
    tree: TimestampData
    branch: dict[str, msgspec.Raw]
    evidence: dict[str, msgspec.Raw]


class Health(_Answer):
    status: str


class PartStatus(_Answer):
    part: str
    ok: bool
    reason: str | None
    note: str | None


class StatusAnswer(_Answer):
    """What works and what is stopped, part by part."""

    ok: bool
    parts: list[PartStatus]


class RetiredLog(_Answer):
    """A log that is closed: its final checkpoint has `size` entries, of which the first `keptSize` are
    shown."""

    number: int
    origin: str
    vkey: Annotated[str, Meta(description="the log's verifier key")]
    size: int
    root_sha256: str
    kept_size: int
    reason: str
    retired_at: Annotated[str, Meta(description="date and time in UTC, ISO 8601")]
    successor: Annotated[str, Meta(description="the origin of the log that follows")]
