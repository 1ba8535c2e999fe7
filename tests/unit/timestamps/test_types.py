"""What the API and events say of a tree, and in which order chains are named."""

from typing import cast
from uuid import UUID

import pytest

from proof.core.clock import SystemClock
from proof.db import Database
from proof.partners.types import Environment
from proof.timestamps.proofs.service import Proofs
from proof.timestamps.types import Chains, Currency, SubmitStatus, Tree

TREE = UUID(int=7)


@pytest.mark.parametrize("status", SubmitStatus)
def test_only_a_verified_tree_tells_its_root(status: SubmitStatus) -> None:
    told = Tree(TREE, Currency.LOG, status, 1, bytes(32), "tx").wire()
    named = {"treeId": str(TREE), "currencyId": 900, "currency": "LOG", "submitStatus": int(status)}
    proved = {"timestamp": 1, "rootSha256": "00" * 32, "transaction": "tx"}
    assert told == named | (proved if status is SubmitStatus.VERIFIED else {})


def test_chains_are_named_in_the_order_of_their_numbers() -> None:
    chains: Chains = {Environment.PRODUCTION: list(reversed(Currency))}
    proofs = Proofs(cast("Database", None), SystemClock(), chains)
    assert proofs.chains(Environment.PRODUCTION) == tuple(sorted(Currency, key=int))
    assert proofs.chains(Environment.SANDBOX) == (Currency.LOG,)
