"""proof chains: each chain's node, wallet, trees and cost."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import typer

from proof.cli.arguments import Data
from proof.cli.installation import Opener, ServerOptions
from proof.cli.output import Json, out, print_json, printable, stated_errors, time_text
from proof.db import Database

if TYPE_CHECKING:
    from proof.timestamps.anchors.overview import ChainOverview, EnabledChain


_STATUS = ("waits to be sent", "waits for a block", "in a block", "verified")


def register(app: typer.Typer, open_installation: Opener) -> None:
    """Add the command."""

    @app.command(name="chains")
    def chains(data: Data = None, as_json: Json = False) -> None:
        """Show each chain: node, wallet, open tree, last and next anchor, cost.

        What keeps a tree waiting is said in words. Amounts are in the chain's smallest unit.
        """
        with stated_errors():
            found = open_installation(ServerOptions(data)).with_chains(_overviews)
        if as_json:
            print_json(list(map(_wire, found)))
            return
        if not found:
            out.print("no chain beside the log is enabled; PROOF_CHAINS_FILE names them")
        for number, chain in enumerate(found):
            if number:
                out.print()
            _print(chain)


async def _overviews(database: Database, chains: "Sequence[EnabledChain]") -> "list[ChainOverview]":
    from proof.timestamps.anchors.overview import overview

    return [await overview(database, chain) for chain in chains]


def _print(found: "ChainOverview") -> None:
    out.print(f"{found.environment} {found.currency.name}", style="bold", markup=False)
    for name, text in _lines(found):
        out.print(f"  {name:12}{printable(text)}", markup=False)
    if found.trouble:
        since = f" (since {time_text(found.trouble_since)})" if found.trouble_since else ""
        out.print(f"  waits       {printable(found.trouble)}{since}", markup=False, style="red")


def _lines(found: "ChainOverview") -> list[tuple[str, str]]:
    unit, standing, spent = found.unit, found.standing, found.spent
    lines = [(found.other_side, "no answer")]
    if standing is not None and not unit:
        lines = [(found.other_side, standing.network)]
    elif standing is not None:
        price = f"{standing.pays_for} anchors of {standing.anchor_cost} {unit}"
        lines = [
            (found.other_side, f"{standing.network}, height {standing.height}"),
            ("wallet", f"{standing.balance} {unit}: pays for {price}"),
        ]
        if standing.address:
            lines.append(("fund it at", standing.address))
    lines += [("open tree", _open(found)), ("last anchor", _last(found))]
    if found.waiting:
        lines.append(("under way", f"{found.waiting} closed trees are not verified yet"))
    taken = f"{spent.cost} {unit}" if unit else "nothing"
    cost = f"{taken} for {spent.anchors} anchors of {spent.hashes} hashes"
    if unit and spent.per_hash is not None:
        cost += f", {spent.per_hash:.3g} {unit} per hash"
    return [*lines, ("cost so far", cost)]


def _open(found: "ChainOverview") -> str:
    tree = found.open_tree
    if tree is None:
        return "none before the first hash"
    following = (
        f"next anchor {time_text(tree.next_anchor_at)}"
        if tree.next_anchor_at
        else "next anchor once a hash comes"
    )
    return f"{tree.id}, {tree.rounds} rounds since {time_text(tree.opened_at)}; {following}"


def _last(found: "ChainOverview") -> str:
    last = found.last_anchor
    if last is None:
        return "none yet"
    transaction = f", transaction {last.transaction}" if last.transaction else ""
    return (
        f"{last.tree_id}, closed {time_text(last.closed_at)}: {_STATUS[last.status]}{transaction}"
    )


def _wire(found: "ChainOverview") -> dict[str, Any]:
    standing, tree, last, spent = (
        found.standing,
        found.open_tree,
        found.last_anchor,
        found.spent,
    )
    return {
        "environment": found.environment,
        "currency_id": int(found.currency),
        "currency": found.currency.name,
        "unit": found.unit,
        "node": standing
        and {"network": standing.network, "height": standing.height if found.unit else None},
        "wallet": {
            "address": standing.address or None,
            "balance": standing.balance,
            "anchor_cost": standing.anchor_cost,
            "pays_for": standing.pays_for,
        }
        if standing and found.unit
        else None,
        "trouble": found.trouble,
        "trouble_since": time_text(found.trouble_since),
        "waiting": found.waiting,
        "open_tree": tree
        and {
            "tree_id": str(tree.id),
            "opened_at": time_text(tree.opened_at),
            "rounds": tree.rounds,
            "next_anchor_at": time_text(tree.next_anchor_at),
        },
        "last_anchor": last
        and {
            "tree_id": str(last.tree_id),
            "closed_at": time_text(last.closed_at),
            "submit_status": int(last.status),
            "transaction": last.transaction,
        },
        "spent": {
            "anchors": spent.anchors,
            "cost": spent.cost,
            "hashes": spent.hashes,
            "per_hash": None if spent.per_hash is None else f"{spent.per_hash:.6g}",
        },
    }
