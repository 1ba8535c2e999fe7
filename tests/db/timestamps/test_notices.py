"""Who is told when a tree is verified: those who asked, in the transaction that signs."""

import json

from tests.support.application import Platform
from tests.support.partners import issued

from proof.core.canonical import canonical_json


async def test_only_who_chose_the_log_hears_of_its_trees(platform: Platform) -> None:
    asking, silent = await platform.onboard("Asking"), await platform.onboard("Silent")
    chosen = {"notification": {"tree": {"currencyIds": [900]}}}
    token = issued(asking).api_key
    await platform.call("PATCH", "/v1/api-key/setting", chosen, token=token)
    trees = {}
    for partner in (asking, silent):
        body = {"sha256": ["ab" * 32]}
        answer = await platform.call("POST", "/v1/timestamp", body, token=issued(partner).api_key)
        trees[issued(partner).partner_environment_id] = answer.json["trees"][0]["treeId"]
    await platform.seal()
    rows = await platform.fetch("SELECT * FROM outbox WHERE type = 'timestamp.tree'")
    (event,) = rows
    asked = issued(asking).partner_environment_id
    assert (event["partner_environment_id"], event["subject"]) == (asked, trees[asked])
    answer = await platform.call("GET", f"/v1/tree/{trees[asked]}", token=token)
    assert json.loads(event["body"]) == answer.json
    assert canonical_json(answer.json) == event["body"]
