"""Two environments, or two trees of one, that are paid from one wallet: each root is in a block once."""

import json
from asyncio import gather
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from tests.support.anchors import SCHEDULE, HandClock, digest_of
from tests.support.anvil import Anvil, running
from tests.support.anvil_lab import AnvilLab
from tests.support.bitcoin import WALLET, Regtest, regtest
from tests.support.bitcoin_lab import BitcoinLab

from proof.db import Database
from proof.partners.types import Environment
from proof.timestamps.anchors.anchoring import Anchorer
from proof.timestamps.anchors.chain import Candidate, Chain, NodeDownError
from proof.timestamps.anchors.ethereum.signer import carried
from proof.timestamps.types import SubmitStatus

Run = Callable[[Any], Any]
PRODUCTION, SANDBOX = Environment.PRODUCTION, Environment.SANDBOX


class Deaf:
    """A chain's node that is gone before each broadcast: where a crash right before it leaves us."""

    def __init__(self, chain: Chain) -> None:
        self._chain = chain

    def __getattr__(self, name: str) -> Any:
        return getattr(self._chain, name)

    async def broadcast(self, candidate: Candidate) -> None:
        raise NodeDownError(f"{candidate.transaction} was not sent; start the node")


@dataclass
class Purse:
    """One wallet, and whoever is paid from it. `chains` are closed at the end."""

    database: Database
    lab: BitcoinLab | AnvilLab
    wallet: str = ""
    clock: HandClock = field(default_factory=HandClock)
    chains: list[Chain] = field(default_factory=list)

    def chain(self, **options: Any) -> Chain:
        if isinstance(self.lab, BitcoinLab):
            found: Chain = self.lab.chain(wallet=self.wallet, **options)
        else:
            found = self.lab.node.chain(confirmations=self.lab.confirmations)
        self.chains.append(found)
        return found

    def anchorer(self, environment: Environment, chain: Chain | None = None) -> Anchorer:
        """A worker's, with connections of its own."""
        return Anchorer(self.database, self.clock, environment, chain or self.chain(), SCHEDULE)

    async def tree(self, environment: Environment, label: object) -> tuple[UUID, bytes]:
        """A sealed tree that waits for its transaction, and its root."""
        tree_id, root = uuid4(), digest_of((self.wallet, label))
        async with self.database.connection() as connection:
            await connection.execute(
                "INSERT INTO trees (id, environment, currency_id, root, plain_root, opened_at, closed_at)"
                " VALUES ($1, $2, $3, $4, sha256($4), $5, $5)",
                *(tree_id, environment, self.chain().currency, root, self.clock.now()),
            )
        return tree_id, root

    async def fetch(self, query: str, *values: Any) -> list[Any]:
        async with self.database.connection() as connection:
            return await connection.fetch(query, *values)

    async def status(self, tree: tuple[UUID, bytes]) -> SubmitStatus:
        (row,) = await self.fetch("SELECT status FROM trees WHERE id = $1", tree[0])
        return SubmitStatus(row["status"])

    async def anchored(self, trees: list[tuple[UUID, bytes]], *anchorers: Anchorer) -> None:
        """Blocks come and workers step until every tree is verified, and each root is in one block."""
        everywhere = [SubmitStatus.VERIFIED] * len(trees)
        for _ in range(20):
            for anchorer in anchorers:
                await anchorer.step()
            if [await self.status(tree) for tree in trees] == everywhere:
                break
            self.lab.mine()
            self.clock.pass_(timedelta(minutes=2))
        assert [await self.status(tree) for tree in trees] == everywhere
        assert [self.in_blocks(root) for _, root in trees] == [1] * len(trees)

    def in_blocks(self, root: bytes) -> int:
        """How often a root was paid for."""
        return sum(json.dumps(block, default=str).count(root.hex()) for block in self._blocks())

    def waiting(self) -> list[str]:
        if isinstance(self.lab, BitcoinLab):
            return self.lab.node.mempool()
        pool = self.lab.node.ask("txpool_content")
        return [
            item["hash"]
            for kind in ("pending", "queued")
            for account in pool[kind].values()
            for item in account.values()
        ]

    def _blocks(self) -> Iterator[Any]:
        if isinstance(self.lab, BitcoinLab):
            call = self.lab.node.call
            for height in range(call("getblockcount") - 30, call("getblockcount") + 1):
                for item in call("getblock", call("getblockhash", height), 2)["tx"]:
                    yield [output["scriptPubKey"]["asm"] for output in item["vout"]]
            return
        ask = self.lab.node.ask
        for number in range(int(ask("eth_blockNumber"), 16) + 1):
            block = ask("eth_getBlockByNumber", hex(number), True)
            yield [item["input"] for item in block["transactions"]]


@pytest.fixture(scope="module")
def bitcoin(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Regtest]:
    with regtest(tmp_path_factory.mktemp("bitcoin") / "node") as found:
        yield found


@pytest.fixture(scope="module")
def ethereum(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Anvil]:
    with running(tmp_path_factory.mktemp("anvil")) as found:
        yield found


@pytest.fixture(params=["one coin", "account"])
def purse(
    request: pytest.FixtureRequest, run: Run, database: Database, tmp_path: Path
) -> Iterator[Purse]:
    if request.param == "account":
        node: Anvil = request.getfixturevalue("ethereum")
        node.forget()
        found = Purse(database, AnvilLab(node))
    else:
        bitcoin: Regtest = request.getfixturevalue("bitcoin")
        wallet = f"purse-{tmp_path.name}"
        bitcoin.call("createwallet", wallet)
        outputs = {bitcoin.call("getnewaddress", wallet=wallet): Decimal("0.01")}
        rate = {"fee_rate": 5}
        made = bitcoin.call("walletcreatefundedpsbt", [], outputs, 0, rate, wallet=WALLET)["psbt"]
        signed = bitcoin.call("walletprocesspsbt", made, wallet=WALLET)["psbt"]
        bitcoin.call("sendrawtransaction", bitcoin.call("finalizepsbt", signed)["hex"])
        bitcoin.mine()
        found = Purse(database, BitcoinLab(bitcoin), wallet)
    yield found
    for chain in found.chains:
        run(chain.close())


async def test_both_environments_at_once_from_two_workers_each(purse: Purse) -> None:
    trees = [await purse.tree(each, f"at once, {each}") for each in Environment]
    anchorers = [purse.anchorer(each) for each in Environment for _ in range(2)]
    for _ in range(3):
        await gather(*(anchorer.step() for anchorer in anchorers))
    await purse.anchored(trees, *anchorers)
    assert len(await purse.fetch("SELECT FROM anchor_transactions")) == 2
    assert await purse.fetch("SELECT FROM chain_troubles") == []


async def test_stored_and_not_broadcast_while_the_other_environment_goes_on(purse: Purse) -> None:
    trees = [await purse.tree(each, f"stored, {each}") for each in Environment]
    await purse.anchorer(PRODUCTION, Deaf(purse.chain())).step()
    assert purse.waiting() == []
    sandbox = purse.anchorer(SANDBOX)
    await sandbox.step()
    await purse.anchored(trees, purse.anchorer(PRODUCTION), sandbox)
    assert len(await purse.fetch("SELECT FROM anchor_transactions")) == 2


async def test_an_environment_that_left_the_file_with_a_transaction_stored_holds_nobody_up(
    purse: Purse,
) -> None:
    left = await purse.tree(PRODUCTION, "left")
    await purse.anchorer(PRODUCTION, Deaf(purse.chain())).step()
    tree = await purse.tree(SANDBOX, "stays")
    await purse.anchored([tree], purse.anchorer(SANDBOX))
    assert purse.in_blocks(left[1]) == 1
    await purse.anchored([left, tree], purse.anchorer(PRODUCTION))
    assert len(await purse.fetch("SELECT FROM anchor_transactions")) == 2


async def test_one_is_replaced_by_a_dearer_one_while_the_other_is_due(purse: Purse) -> None:
    trees = [await purse.tree(each, f"dearer, {each}") for each in Environment]
    production, sandbox = map(purse.anchorer, Environment)
    for _ in range(3):
        await production.step()
        await sandbox.step()
        purse.clock.pass_(SCHEDULE.replace_after)
    (told,) = await purse.fetch("SELECT environment, message FROM chain_troubles")
    assert told["environment"] == "sandbox"
    assert f"production's tree {trees[0][0]} is in no block yet" in told["message"]
    assert "127.0.0.1" not in told["message"]
    numbers = await purse.fetch(
        "SELECT count(*) AS of, tree_id FROM anchor_transactions GROUP BY tree_id"
    )
    assert {row["tree_id"]: row["of"] for row in numbers} == {trees[0][0]: 3}
    assert len(purse.waiting()) == 1
    await purse.anchored(trees, production, sandbox)


async def test_a_reorganisation_brings_both_back_to_wait_together(purse: Purse) -> None:
    trees = [await purse.tree(each, f"reorganised, {each}") for each in Environment]
    production, sandbox = map(purse.anchorer, Environment)
    for _ in range(2):
        await production.step()
        await sandbox.step()
        purse.lab.mine()
    await production.step()
    await sandbox.step()
    purse.lab.reorganise(2)
    for anchorer in (sandbox, production):
        await anchorer.step()
    assert len(purse.waiting()) == 2
    purse.clock.pass_(SCHEDULE.replace_after)
    for anchorer in (sandbox, production):
        await anchorer.step()
    await purse.anchored(trees, sandbox, production)


async def test_two_trees_of_one_environment_go_one_at_a_time(purse: Purse) -> None:
    trees = [await purse.tree(PRODUCTION, f"tree {number}") for number in range(3)]
    anchorers = [purse.anchorer(PRODUCTION) for _ in range(2)]
    await gather(*(anchorer.step() for anchorer in anchorers))
    assert len(purse.waiting()) == 1
    await purse.anchored(trees, *anchorers)
    assert len(await purse.fetch("SELECT FROM anchor_transactions")) == 3


async def test_a_stored_successor_found_too_late_takes_no_second_nonce(
    database: Database, ethereum: Anvil
) -> None:
    ethereum.forget()
    purse = Purse(database, AnvilLab(ethereum))
    tree = await purse.tree(PRODUCTION, "late successor")
    production = purse.anchorer(PRODUCTION)
    await production.step()
    purse.clock.pass_(SCHEDULE.replace_after)
    await purse.anchorer(PRODUCTION, Deaf(purse.chain())).step()
    purse.clock.pass_(SCHEDULE.replace_after)
    await production.step()
    rows = await purse.fetch("SELECT transaction, raw, fee FROM anchor_transactions")
    nonces = {carried(Candidate(row["transaction"], row["raw"], 0)).nonce for row in rows}
    assert (len(rows), len(nonces), len(purse.waiting())) == (3, 1, 1)
    await purse.anchored([tree], production)
    for chain in purse.chains:
        await chain.close()
