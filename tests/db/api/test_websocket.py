"""/ws: what a backend that watches a transaction sees, over a real server and a real client."""

from decimal import Decimal
from ipaddress import ip_network
from uuid import uuid4

import pytest
from tests.db.api.websocket_scene import Party, Scene, open_watches
from tests.db.webhooks.scene import until
from tests.support.application import Platform
from tests.support.listening import end_listeners, listeners
from tests.support.partners import issued, revoke, suspend
from tests.support.ramp import BEGUN
from tests.support.websockets import refusal, watching

from proof.core.clock import moment_text
from proof.main.server import websocket
from proof.partners.access import allowlists
from proof.partners.access.allowlists import Place
from proof.partners.audit import Actor
from proof.partners.types import CredentialKind, Environment
from proof.ramp.providers.protocols import ProviderStatus

FIELDS = [
    "event",
    "merchant_transaction_id",
    "type",
    "status",
    "currency",
    "fiat_currency",
    "fiat_amount",
    "fiat_fee",
    "rate",
    "crypto_amount",
    "failure_reason",
    "chain_transaction",
    "chain_transaction_url",
    "occurred_at",
]


async def test_every_change_from_the_present_state_to_the_end(platform: Platform) -> None:
    async with Scene(platform) as served, served.watched() as (party, transaction, watcher):
        assert watcher.connection.response is not None
        assert "x-request-id" in watcher.connection.response.headers
        first = await watcher.next()
        assert list(first) == FIELDS
        assert first == {
            "event": "tx.update",
            "merchant_transaction_id": str(transaction),
            "type": "buy",
            "status": "pending",
            "currency": "USDT",
            "fiat_currency": "",
            "fiat_amount": "",
            "fiat_fee": "",
            "rate": "",
            "failure_reason": "",
            "chain_transaction": "",
            "chain_transaction_url": "",
            "crypto_amount": "50.000000000000000001",
            "occurred_at": moment_text(BEGUN),
        }
        paid = {
            "fiat_currency": "EUR",
            "fiat_amount": Decimal(47),
            "payment_method": "card",
        }
        await party.hear(transaction, ProviderStatus.PROCESSING, **paid)
        second = await watcher.next()
        assert second["fiat_amount"] == "47.00"
        assert list(second) == [*FIELDS[:4], "payment_method", *FIELDS[4:]]
        changed = {"status": "processing", "payment_method": "card", "fiat_currency": "EUR"}
        assert {name: second[name] for name in changed} == changed
        await party.hear(transaction, ProviderStatus.COMPLETED)
        assert await watcher.statuses() == ["completed"]
        assert watcher.connection.close_code == 1000


async def test_two_changes_at_once_are_two_messages(platform: Platform) -> None:
    async with Scene(platform) as served:
        party = await served.partner(Environment.SANDBOX)
        transaction = await party.transaction("sell")
        prefix = party.prefix
        async with watching(served.port, transaction, party.token, prefix=prefix) as watcher:
            await watcher.next()
            await party.hear(transaction, ProviderStatus.COMPLETED)
            assert await watcher.statuses() == ["processing", "completed"]


async def test_the_present_state_is_that_of_the_last_message(platform: Platform) -> None:
    """Whoever connects later is told the same, and after the end nothing more."""

    async with Scene(platform) as served:
        async with served.watched() as (party, transaction, watcher):
            await watcher.next()
            await party.hear(transaction, ProviderStatus.PROCESSING)
            told = await watcher.next()
            async with watching(served.port, transaction, party.token) as later:
                assert await later.next() == told
                await party.hear(transaction, ProviderStatus.FAILED)
                assert await watcher.statuses() == await later.statuses() == ["failed"]
        async with watching(served.port, transaction, party.token) as after:
            assert await after.statuses() == ["failed"]
            assert after.connection.close_code == 1000


async def test_what_the_client_says_means_nothing(platform: Platform) -> None:
    async with Scene(platform) as served:
        async with served.watched() as (party, transaction, watcher):
            for said_by_client in ("ping", b"\x00", "{}"):
                await watcher.connection.send(said_by_client)
            await (await watcher.connection.ping())
            await watcher.next()
            await party.hear(transaction, ProviderStatus.CANCELLED)
            assert await watcher.statuses() == ["cancelled"]
        async with watching(served.port, await party.transaction(), party.token) as watcher:
            await watcher.connection.send("x" * (websocket.MAX_MESSAGE_BYTES + 1))
            assert await watcher.closed() == 1009


async def test_refusals_are_answers_in_the_order_of_the_gate(platform: Platform) -> None:
    async with Scene(platform) as served:
        party = await served.partner()
        sandbox = Party(platform, party.partner, Environment.SANDBOX)
        other = await served.partner()
        mine, theirs = await party.transaction(), await other.transaction()
        token = ("Authorization", f"Bearer {party.token}")
        key = ("x-api-key", issued(party.partner).api_key)
        away = await platform.onboard("Away")
        far = ("Authorization", f"Bearer {issued(away).client_token}")
        foreign = ("Origin", "https://shop.example")
        at = f"/ws?tx_id={mine}"
        cases: list[tuple[str, tuple[tuple[str, str], ...], int, str]] = [
            (at, (), 401, "missing_token"),
            ("/ws", (("Authorization", "Bearer nonsense"), foreign), 401, "invalid_token"),
            (f"/sandbox{at}", (token,), 401, "invalid_token"),
            ("/ws", (key, foreign), 403, "scope_missing"),
            ("/ws", (far, foreign), 403, "forbidden_origin"),
            ("/ws", (far,), 403, "ip_not_allowed"),
            ("/ws", (token,), 400, "missing_param"),
            ("/ws?tx_id=7", (token,), 400, "missing_param"),
            (f"/ws?tx_id={theirs}", (token,), 404, "not_found"),
            (f"/ws?tx_id={uuid4()}", (token,), 404, "not_found"),
            (f"/ws?tx_id={await sandbox.transaction()}", (token,), 404, "not_found"),
            ("/ws/ws", (), 401, "missing_token"),
            ("/ws/ws", (token,), 404, "not_found"),
            ("/widget/ws", (), 401, "missing_token"),
        ]
        for target, headers, status, code in cases:
            answer = await refusal(served.port, target, *headers)
            assert (answer[0], answer[2]["code"]) == (status, code), (target, headers)
            assert list(answer[2]) == ["error", "code", "message"]
            assert answer[1]["x-request-id"].startswith("req_")
            assert ("www-authenticate" in answer[1]) == (status == 401)
        status, _, body = await refusal(served.port, "/else/ws")
        assert (status, list(body)) == (404, ["message"])


async def test_our_own_origin_is_no_browsers(platform: Platform) -> None:
    async with Scene(platform) as served:
        party = await served.partner()
        transaction = await party.transaction()
        for origin in ("https://proof.example", "https://proof.example:443"):
            headers = [("Origin", origin)]
            async with watching(served.port, transaction, party.token, headers=headers) as watcher:
                assert (await watcher.next())["status"] == "pending"
        token = ("Authorization", f"Bearer {party.token}")
        for origin in ("http://proof.example", "https://proof.example:8443", "null", "a b"):
            target = f"/ws?tx_id={transaction}"
            answer = await refusal(served.port, target, token, ("Origin", origin))
            assert answer[2]["code"] == "forbidden_origin"


async def test_a_request_that_asks_for_no_websocket_is_told_so(platform: Platform) -> None:
    partner = await platform.onboard("Acme")
    token = issued(partner).client_token
    answer = await platform.call("GET", f"/ws?tx_id={uuid4()}", token=token)
    assert (answer.status, answer.json["code"]) == (426, "upgrade_required")
    assert answer.headers["upgrade"] == "websocket"
    assert (await platform.call("GET", "/ws", token=token)).json["code"] == "missing_param"
    assert (await platform.call("GET", "/ws")).json["code"] == "missing_token"
    assert (await platform.call("POST", "/ws", token=token)).status == 405


@pytest.mark.parametrize("how", ["token revoked", "address removed", "partner suspended"])
async def test_who_is_not_let_in_any_more_is_closed(platform: Platform, how: str) -> None:
    async with Scene(platform) as served:
        party, other = await served.partner(), await served.partner()
        mine, theirs = await party.transaction(), await other.transaction()
        async with (
            watching(served.port, mine, party.token) as watcher,
            watching(served.port, theirs, other.token) as untouched,
        ):
            await watcher.next()
            await untouched.next()
            match how:
                case "token revoked":
                    await revoke(platform.database, party.token)
                case "address removed":
                    await _remove_address(platform, party)
                case _:
                    await suspend(platform.database, party.partner)
            assert await watcher.closed() == 1008
            await other.hear(theirs, ProviderStatus.CANCELLED)
            assert await untouched.statuses() == ["cancelled"]


async def _remove_address(platform: Platform, party: Party) -> None:
    place = Place(party.partner.partner_id, Environment.PRODUCTION, CredentialKind.CLIENT_TOKEN)
    async with platform.database.transaction() as tx:
        await allowlists.remove(tx, place, ip_network("127.0.0.1"), Actor("operator"))


async def test_nothing_is_told_once_the_credential_has_ended(platform: Platform) -> None:
    """Even when the change and the revocation come at the same moment."""

    async with Scene(platform) as served, served.watched() as (party, transaction, watcher):
        await watcher.next()
        await revoke(platform.database, party.token)
        await platform.poll()
        await party.hear(transaction, ProviderStatus.COMPLETED)
        assert await watcher.statuses() == []
        assert watcher.connection.close_code == 1008


async def test_a_lost_listening_connection_loses_no_message(platform: Platform) -> None:
    async def both_listen() -> bool:
        """The stream of changes and the relay."""
        return await listeners(platform.database) == 2

    async with Scene(platform) as served, served.watched() as (party, transaction, watcher):
        await watcher.next()
        await until(both_listen)
        assert await end_listeners(platform.database) == 2
        await party.hear(transaction, ProviderStatus.PROCESSING)
        assert (await watcher.next())["status"] == "processing"
        await party.hear(transaction, ProviderStatus.COMPLETED)
        assert await watcher.statuses() == ["completed"]


async def test_a_client_that_goes_away_is_forgotten(platform: Platform) -> None:
    async with Scene(platform) as served:
        async with served.watched() as (_, _, watcher):
            await watcher.next()
            assert open_watches(platform) == 1
            watcher.connection.transport.abort()
        await until(lambda: open_watches(platform) == 0)
