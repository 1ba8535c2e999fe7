"""Anchoring into a real bitcoind: mining, reorganisation, eviction, fee bump, and death in between."""

import asyncio
import json
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from tests.support.anchors import SCHEDULE, Anchorage, digest_of
from tests.support.bitcoin import WALLET, Regtest, regtest
from tests.support.bitcoin_lab import BitcoinLab
from tests.support.chain_suite import opened
from tests.support.pipeline import owner, work

from proof.db import Database
from proof.timestamps.anchors.chain import WalletError
from proof.timestamps.proofs.errors import ProofNotYetError
from proof.timestamps.types import Currency, Roots, SubmitStatus

Run = Callable[[Any], Any]
PROGRAM = Path(__file__).with_name("anchor_until_killed.py")
CHECKOUT = Path(__file__).parents[4]


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Regtest]:
    with regtest(tmp_path_factory.mktemp("bitcoin") / "node") as found:
        yield found


@pytest.fixture
def harbour(run: Run, database: Database, node: Regtest, tmp_path: Path) -> Iterator[Anchorage]:
    while node.mempool():
        node.mine()
    chain = BitcoinLab(node).chain()
    found = Anchorage(database, tmp_path, chain)
    run(found.start())
    yield found
    run(found.stop())
    run(chain.close())


async def afloat(anchorage: Anchorage, node: Regtest, label: object) -> tuple[bytes, str]:
    """A digest and the transaction that carries its tree, which waits for a block."""
    digest = digest_of(label)
    await anchorage.submit(digest)
    await anchorage.turn()
    assert await anchorage.trouble() is None
    (transaction,) = node.mempool()
    return digest, transaction


def step_until_killed(arguments: dict[str, Any], moment: str) -> "subprocess.CompletedProcess[str]":
    """One step in a process that dies right before or after its broadcast."""
    return subprocess.run(
        [sys.executable, str(PROGRAM), json.dumps(arguments), moment],
        cwd=CHECKOUT,
        env={"PYTHONPATH": f"{CHECKOUT}:{CHECKOUT}/src", "PATH": ""},
        capture_output=True,
        text=True,
    )


def carriers(node: Regtest, root: bytes) -> int:
    """How many transactions of the newest blocks carry a root."""
    height = node.call("getblockcount")
    blocks = [node.call("getblock", node.call("getblockhash", height - n), 2) for n in range(15)]
    return json.dumps(blocks, default=str).count(f"OP_RETURN {root.hex()}")


async def test_mined_reorganised_and_mined_again(harbour: Anchorage, node: Regtest) -> None:
    digest, transaction = await afloat(harbour, node, "reorganised")
    blocks = node.mine()
    await harbour.anchorer.step()
    assert await harbour.status(digest) is SubmitStatus.INCLUDED
    blocks += node.mine(2)
    await harbour.anchorer.step()
    first = await harbour.proven(digest, blocks)
    node.reorganise(3)
    await harbour.anchorer.step()
    assert await harbour.status(digest) is SubmitStatus.SUBMITTED
    with pytest.raises(ProofNotYetError):
        await harbour.proofs.proof(owner(), digest, Currency.BTC)
    blocks = node.mine(3)
    await harbour.anchorer.step()
    again = await harbour.proven(digest, blocks)
    assert (again.root, again.claimed.transaction) == (first.root, transaction)
    block = node.call("getblock", blocks[0])
    assert again.timestamp_ms == block["time"] * 1000
    assert again.bitcoin
    assert again.bitcoin.height == block["height"]


async def test_a_tree_of_many_rounds_is_proved_in_a_block_of_many_transactions(
    harbour: Anchorage, node: Regtest
) -> None:
    digests = [digest_of(("many", n)) for n in range(9)]
    for identity, digest in enumerate(digests, 1):
        await harbour.submit(digest, identity=identity)
    await harbour.turn()
    node.own(coins=7)
    for _ in range(6):
        node.call("sendtoaddress", node.address(), Decimal(1), wallet=WALLET)
    for transaction in node.call("listtransactions", "*", 6, wallet=WALLET):
        raw = node.call("gettransaction", transaction["txid"], wallet=WALLET)["hex"]
        node.call("sendrawtransaction", raw)
    blocks = node.mine(3)
    assert len(node.call("getblock", blocks[0])["tx"]) > 4
    await harbour.anchorer.step()
    for identity, digest in enumerate(digests, 1):
        await harbour.proven(digest, blocks, identity)


async def test_what_lingers_is_replaced_by_a_dearer_one(harbour: Anchorage, node: Regtest) -> None:
    digest, first = await afloat(harbour, node, "lingers")
    paid = node.call("getmempoolentry", first)["fees"]["base"]
    for _ in range(2):
        harbour.clock.pass_(harbour.schedule.replace_after)
        await harbour.anchorer.step()
        assert await harbour.trouble() is None
        (newest,) = node.mempool()
        dearer = node.call("getmempoolentry", newest)["fees"]["base"]
        assert dearer > paid
        paid = dearer
    blocks = node.mine(3)
    await harbour.anchorer.step()
    established = await harbour.proven(digest, blocks)
    assert established.claimed.transaction == newest
    assert carriers(node, established.root) == 1


async def test_evicted_by_a_floor_it_comes_back_above_it(harbour: Anchorage, node: Regtest) -> None:
    digest, first = await afloat(harbour, node, "evicted")
    node.restart("-minrelaytxfee=0.0002")
    try:
        assert node.mempool() == []
        await harbour.anchorer.step()
        assert await harbour.status(digest) is SubmitStatus.UNSUBMITTED
        assert "min relay fee not met" in (await harbour.trouble() or "")
        harbour.clock.pass_(timedelta(minutes=1))
        await harbour.anchorer.step()
        (second,) = node.mempool()
        assert second != first
        blocks = node.mine(3)
        await harbour.anchorer.step()
        assert await harbour.trouble() is None
        assert carriers(node, (await harbour.proven(digest, blocks)).root) == 1
    finally:
        node.restart()


async def test_forgotten_by_the_network_it_is_sent_again(harbour: Anchorage, node: Regtest) -> None:
    digest, transaction = await afloat(harbour, node, "forgotten")
    node.restart("-persistmempool=0")
    assert node.mempool() == []
    await harbour.anchorer.step()
    assert node.mempool() == [transaction]
    blocks = node.mine(3)
    await harbour.anchorer.step()
    await harbour.proven(digest, blocks)


@pytest.mark.parametrize("moment", ["before", "after"])
async def test_killed_around_its_broadcast_the_stored_transaction_is_the_one(
    harbour: Anchorage, node: Regtest, database: Database, moment: str
) -> None:
    digest = digest_of(("killed", moment))
    await harbour.submit(digest)
    await work(harbour.database, harbour.folder)
    harbour.clock.pass_(SCHEDULE.every)
    arguments = {
        "database": database._arguments,
        "url": node.url,
        "wallet": WALLET,
        "cookie": str(node.cookie),
        "now": harbour.clock.now().isoformat(),
    }
    ended = await asyncio.to_thread(step_until_killed, arguments, moment)
    assert ended.returncode == -signal.SIGKILL, ended.stderr
    (stored,) = await harbour.fetch("SELECT transaction, broadcast_at FROM anchor_transactions")
    assert stored["broadcast_at"] is None
    assert node.mempool() == ([stored["transaction"]] if moment == "after" else [])
    await harbour.anchorer.step()
    await harbour.anchorer.step()
    assert node.mempool() == [stored["transaction"]]
    blocks = node.mine(3)
    await harbour.anchorer.step()
    established = await harbour.proven(digest, blocks)
    assert established.claimed.transaction == stored["transaction"]
    assert carriers(node, established.root) == 1
    assert len(await harbour.fetch("SELECT FROM anchor_transactions")) == 1


async def test_coins_spent_elsewhere_meanwhile_are_replaced_by_others(
    harbour: Anchorage, node: Regtest, database: Database
) -> None:
    digest = digest_of("coins gone")
    await harbour.submit(digest)
    node.stop()
    await harbour.turn()
    assert "is not running" in (await harbour.trouble() or "")
    node.start()
    await harbour.anchorer.step()
    (first,) = node.mempool()
    node.restart("-persistmempool=0")
    # A wallet restored from a backup knows nothing of it and spends the same coin.
    details = node.call("gettransaction", first, wallet=WALLET)["hex"]
    spent = node.call("decoderawtransaction", details)["vin"]
    coins = [{"txid": coin["txid"], "vout": coin["vout"]} for coin in spent]
    raw = node.call("createrawtransaction", coins, [{node.address(): Decimal("0.5")}])
    signed = node.call("signrawtransactionwithwallet", raw, wallet=WALLET)["hex"]
    node.call("sendrawtransaction", signed, 0)
    node.mine()
    await harbour.anchorer.step()
    assert await harbour.status(digest) is SubmitStatus.UNSUBMITTED
    harbour.clock.pass_(timedelta(minutes=1))
    await harbour.anchorer.step()
    assert len(node.mempool()) == 1
    blocks = node.mine(3)
    await harbour.anchorer.step()
    await harbour.proven(digest, blocks)


async def test_a_wallet_of_small_coins_builds_no_anchor_that_an_ots_file_cannot_hold(
    node: Regtest,
) -> None:
    node.call("createwallet", "dust")
    for _ in range(4):
        addresses = [node.call("getnewaddress", "", "legacy", wallet="dust") for _ in range(35)]
        outputs = [{address: "0.00000597"} for address in addresses]
        options = {"fee_rate": 5}
        made = node.call("walletcreatefundedpsbt", [], outputs, 0, options, wallet=WALLET)["psbt"]
        signed = node.call("walletprocesspsbt", made, wallet=WALLET)["psbt"]
        node.call("sendrawtransaction", node.call("finalizepsbt", signed)["hex"])
        node.mine()
    # At twice this floor spending such a coin takes all but five satoshi of it.
    node.restart("-minrelaytxfee=0.00002")
    node.call("loadwallet", "dust")

    try:
        async with opened(BitcoinLab(node).chain(wallet="dust")) as chain:
            with pytest.raises(WalletError, match="join them beforehand"):
                await chain.build(Roots(bytes(32), bytes(32)), [])
    finally:
        node.restart()


async def test_the_wallet_is_funded_where_the_operator_is_told(node: Regtest) -> None:
    async with opened(BitcoinLab(node).chain()) as chain:
        addresses = {(await chain.standing()).address for _ in range(3)}
        (address,) = addresses
        told = node.call("getaddressinfo", address, wallet=WALLET)
        assert (told["ismine"], told["labels"]) == (True, ["proof"])
        node.call("sendtoaddress", address, 1, wallet=WALLET)
        assert (await chain.standing()).address == address
