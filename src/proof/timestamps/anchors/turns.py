"""One tree at a time for each wallet, whichever environments it pays for.

Two transactions that are built before either is broadcast spend the same coin or take the same nonce, and
one that spends the change of another, or takes a later nonce, is stuck with it. So a tree's first candidate
is built once the tree that the wallet paid for last is in a block; its successors compete with it alone.
The turn is taken by storing that candidate, so whoever has it has a transaction that can be sent.
"""

from uuid import UUID

from proof.db import Database
from proof.timestamps.anchors import queries
from proof.timestamps.anchors.chain import Chain, WalletBusyError, answered
from proof.timestamps.types import SubmitStatus


async def await_turn(database: Database, chain: Chain) -> UUID | None:
    """The tree that the chain's wallet paid for last, which is in a block; None if there was none.

    One that the network does not know is broadcast: its own environment may no longer be in the chains
    file. Raises WalletBusyError and what the chain's calls raise.
    """
    async with database.connection() as connection:
        held = await queries.turn(connection, chain.wallet)
        if held is None:
            return None
        if held.status >= SubmitStatus.INCLUDED:
            return held.tree_id
        stored = await queries.candidates(connection, held.tree_id)
    candidates = [each.candidate for each in stored]
    sighting = await answered(chain.poll(candidates))
    if sighting.status >= SubmitStatus.INCLUDED:
        return held.tree_id
    if sighting.status is SubmitStatus.UNSUBMITTED:
        await answered(chain.broadcast(candidates[-1]))
    raise WalletBusyError(
        f"the wallet pays for one tree at a time, and {held.environment}'s tree {held.tree_id} is in no"
        " block yet: wait, or give each environment a wallet or key of its own"
    )
