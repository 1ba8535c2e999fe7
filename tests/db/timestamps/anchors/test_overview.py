"""What an operator is shown of a chain."""

from tests.support.anchors import Anchorage, digest_of
from tests.support.fake_chain import FakeChain, FakeNetwork

from proof.timestamps.anchors.overview import EnabledChain, overview
from proof.timestamps.types import SubmitStatus


async def test_what_the_operator_is_shown(
    anchorage: Anchorage, network: FakeNetwork, chain: FakeChain
) -> None:
    enabled = EnabledChain("production", chain, anchorage.schedule)
    shown = await overview(anchorage.database, enabled)
    assert (shown.open_tree, shown.last_anchor, shown.spent.per_hash) == (None, None, None)
    for n in range(4):
        await anchorage.submit(digest_of(("shown", n)))
    shown = await overview(anchorage.database, enabled)
    assert shown.open_tree
    assert shown.open_tree.rounds == 1
    due = shown.open_tree.opened_at + anchorage.schedule.every
    assert shown.open_tree.next_anchor_at == due
    await anchorage.turn()
    shown = await overview(anchorage.database, enabled)
    assert shown.last_anchor
    assert shown.last_anchor.status is SubmitStatus.SUBMITTED
    assert (shown.waiting, shown.spent.anchors) == (1, 0)
    network.mine(3)
    await anchorage.anchorer.step()
    shown = await overview(anchorage.database, enabled)
    assert shown.open_tree
    assert shown.open_tree.next_anchor_at is None
    assert shown.standing == await chain.standing()
    assert (shown.spent.anchors, shown.spent.cost, shown.spent.hashes) == (1, 1_000, 4)
    assert shown.spent.per_hash == 250
    network.up = False
    await anchorage.submit(digest_of("unreachable"))
    await anchorage.turn()
    shown = await overview(anchorage.database, enabled)
    assert shown.standing is None
    assert "start it" in (shown.trouble or "")
    assert shown.trouble_since == anchorage.clock.now()
