"""Accept hashes from a partner."""

from binascii import Error as HexError
from binascii import unhexlify
from collections.abc import Sequence
from datetime import datetime

from proof.core.errors import InvalidInputError, QuotaExceededError
from proof.db import Database
from proof.partners.types import PartnerEnvironment
from proof.timestamps.submissions import queries
from proof.timestamps.submissions.committer import Committer
from proof.timestamps.submissions.types import CommitResult
from proof.timestamps.submissions.usage import UsageKind, left_exactly
from proof.timestamps.types import Currency, Receipt, TreeRef

MAX_HASHES = 10_000


def parse_digests(hexes: Sequence[str]) -> list[bytes]:
    """The distinct digests of a request, in its order. Upper case is accepted.

    Raises InvalidInputError naming the index of the first bad entry, or the count.
    """
    if not 1 <= len(hexes) <= MAX_HASHES:
        raise InvalidInputError(f"sha256: 1 to {MAX_HASHES} hashes are required, not {len(hexes)}")
    try:
        # One conversion of the joined text is ten times cheaper than one for each entry.
        joined = unhexlify("".join(hexes))
    except (HexError, ValueError):
        joined = b""
    if len(joined) != 32 * len(hexes) or any(len(text) != 64 for text in hexes):
        raise _bad_entry(hexes)
    digests = [joined[i : i + 32] for i in range(0, len(joined), 32)]
    return digests if len(digests) == 1 else list(dict.fromkeys(digests))


def parse_digest(text: str, name: str = "sha256") -> bytes:
    """One digest from 64 hexadecimal digits. Raises InvalidInputError naming the field."""
    try:
        digest = unhexlify(text)
    except (HexError, ValueError):
        digest = b""
    if len(digest) != 32 or len(text) != 64:
        raise InvalidInputError(f"{name}: 64 hexadecimal digits are required")
    return digest


def _bad_entry(hexes: Sequence[str]) -> InvalidInputError:
    for index, text in enumerate(hexes):
        try:
            parse_digest(text, f"sha256[{index}]")
        except InvalidInputError as error:
            return error
    raise AssertionError("entries that convert one by one convert together")


class Submissions:
    """Takes hashes for rounds of the partner they come from."""

    def __init__(self, database: Database, committer: Committer) -> None:
        self._database = database
        self._committer = committer

    async def submit(self, owner: PartnerEnvironment, digests: list[bytes]) -> Receipt:
        """Make distinct digests durable; what is already known to this owner is told apart.

        Raises QuotaExceededError when the month's limit is reached, and what
        `Committer.commit` raises. Returning means the hashes are on disk.
        """
        if owner.limits.timestamps is None:
            done = await self._committer.commit(owner.id, owner.environment, digests)
        else:
            done = await self._commit_within_limit(owner, digests)
        if not done.known:
            return Receipt(tuple(digests), (), done.created_at, done.round.trees)
        new = tuple(digest for digest in digests if digest not in done.known)
        existing = tuple(digest for digest in digests if digest in done.known)
        if new:
            return Receipt(new, existing, done.created_at, done.round.trees)
        created_at, trees = await self._earliest(owner, existing)
        return Receipt(new, existing, created_at, trees)

    async def _commit_within_limit(
        self, owner: PartnerEnvironment, digests: list[bytes]
    ) -> CommitResult:
        committed = None
        while committed is None:
            current = await self._committer.open_round(owner.id, owner.environment)
            async with self._database.transaction() as tx:
                left = await left_exactly(tx, owner, UsageKind.TIMESTAMPS)
                new = len(digests) - await queries.count_known(tx, owner.id, digests)
                if new > left:
                    raise QuotaExceededError(
                        f"the month's limit of {owner.limits.timestamps} timestamps leaves {left}"
                    )
                committed = await self._committer.commit_within(
                    tx, current, (owner.id, owner.environment), digests
                )
        return committed

    async def _earliest(
        self, owner: PartnerEnvironment, digests: Sequence[bytes]
    ) -> tuple[datetime, tuple[TreeRef, ...]]:
        async with self._database.connection() as connection:
            rows = await queries.earliest(connection, owner.id, digests)
        trees = tuple(TreeRef(row["tree_id"], Currency(row["currency_id"])) for row in rows)
        return rows[0]["created_at"], trees
