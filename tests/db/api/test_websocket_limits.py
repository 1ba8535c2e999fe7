"""/ws under strain: who does not read, two API processes, many connections on one that listens."""

import asyncio
import socket
from contextlib import AsyncExitStack
from typing import Any
from uuid import UUID

import pytest
from tests.db.api.websocket_scene import Party, Scene, open_watches
from tests.db.webhooks.scene import until
from tests.support.application import Platform
from tests.support.listening import listeners
from tests.support.websockets import refusal, relaying, serving, watching
from websockets.exceptions import ConnectionClosed

from proof.api.ramp.watches import OPEN_AT_MOST, Watches
from proof.core.canonical import canonical_json
from proof.db import Database
from proof.events import Event, publish
from proof.main.server import websocket
from proof.ramp.providers.protocols import ProviderStatus
from proof.ramp.transactions import updates
from proof.ramp.transactions.events import EVENT_TYPE


async def _flood(database: Database, transaction: UUID, count: int) -> None:
    """More changes than any transaction has."""
    record = {
        "merchant_transaction_id": str(transaction),
        "type": "buy",
        "status": "processing",
        "currency": "USDT",
        "fiat_currency": "EUR",
        "fiat_amount": "1",
        "crypto_amount": "1",
        "occurred_at": "2026-05-04T03:02:01.000Z",
        "updated_at": "2026-05-04T03:02:01.000Z",
        "payment_method": "card " * 2_000,
    }
    async with database.transaction() as tx:
        await tx.execute(
            "INSERT INTO ramp_records (transaction_id, sequence, kind, record)"
            " SELECT $1, n, 'transaction.status', $2 FROM generate_series(1, $3::integer) AS n",
            transaction,
            canonical_json(record),
            count,
        )
        await publish(tx, [Event(1, EVENT_TYPE, str(transaction), b"{}")])


async def _silent(port: int, transaction: UUID, party: Party) -> socket.socket:
    """A client that opens a WebSocket and then reads nothing more."""
    raw = socket.socket()
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2_048)
    raw.setblocking(False)
    loop = asyncio.get_running_loop()
    await loop.sock_connect(raw, ("127.0.0.1", port))
    head = (
        f"GET /ws?tx_id={transaction} HTTP/1.1\r\nhost: h\r\nauthorization: Bearer {party.token}\r\n"
        "connection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n"
        "sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
    await loop.sock_sendall(raw, head.encode())
    assert (await loop.sock_recv(raw, 300)).startswith(b"HTTP/1.1 101 ")
    return raw


async def test_who_does_not_read_is_dropped_and_delays_nobody(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(websocket, "STALLED_S", 0.5)

    async with Scene(platform) as served:
        party = await served.partner()
        flooded, other = await party.transaction(), await party.transaction()
        with await _silent(served.port, flooded, party):
            async with watching(served.port, other, party.token) as watcher:
                await watcher.next()
                await until(lambda: open_watches(platform) == 2)
                await _flood(platform.database, flooded, updates.WAITING_AT_MOST)
                await party.hear(other, ProviderStatus.PROCESSING)
                assert (await watcher.next())["status"] == "processing"
                await until(lambda: open_watches(platform) == 1)


async def test_who_is_too_slow_is_told_to_connect_again(platform: Platform) -> None:
    async with Scene(platform) as served:
        async with served.watched() as (party, transaction, watcher):
            await watcher.next()
            count = updates.WAITING_AT_MOST + 1
            await _flood(platform.database, transaction, count)
            assert await watcher.closed() == 1013
        async with watching(served.port, transaction, party.token) as watcher:
            assert (await watcher.next())["status"] == "processing"


async def test_a_refused_websocket_is_no_line_in_the_log(
    platform: Platform, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    """Anybody can be refused, as often as they like."""

    async with Scene(platform) as served:
        assert (await refusal(served.port, "/ws"))[0] == 401
        assert (await refusal(served.port, "/else/ws"))[0] == 404
    assert not caplog.records
    assert capfd.readouterr().err == ""


async def test_who_answers_no_ping_is_dropped(platform: Platform) -> None:
    """And who answers outlives it, unless the machine gave it no time to: then it may try again."""

    async def outlived(port: int, party: Party) -> bool:
        transaction = await party.transaction()
        with await _silent(port, transaction, party):
            async with watching(port, transaction, party.token, ping_interval=None) as alive:
                await until(lambda: open_watches(platform) < 2)
                try:
                    await (await alive.connection.ping())
                except ConnectionClosed:
                    return False
                return open_watches(platform) == 1

    async def scene() -> None:
        party = await Scene(platform).partner()

        async def tried() -> bool:
            await until(lambda: open_watches(platform) == 0)
            return await outlived(port, party)

        async with serving(platform.client.app, ws_ping_interval=0.2, ws_ping_timeout=0.2) as port:
            await until(tried)

    await scene()


async def test_two_api_processes_on_one_database(platform: Platform) -> None:
    second = Platform(platform.database, platform.vault, platform.folder)
    await second.start()
    try:
        async with (
            relaying(platform.database),
            serving(platform.client.app) as item,
            serving(second.client.app) as two,
        ):
            party = await Scene(platform).partner()
            await second.poll()
            transaction = await party.transaction()
            async with (
                watching(item, transaction, party.token) as here,
                watching(two, transaction, party.token) as there,
            ):
                await here.next()
                await there.next()
                await party.hear(transaction, ProviderStatus.COMPLETED)
                told = [await item.statuses() for item in (here, there)]
                assert told == [["processing", "completed"]] * 2
    finally:
        await second.stop()


async def test_many_connections_share_one_that_listens(platform: Platform) -> None:
    async with Scene(platform) as served, AsyncExitStack() as stack:
        party = await served.partner()
        transactions = [await party.transaction() for _ in range(60)]
        watchers = [
            await stack.enter_async_context(watching(served.port, transaction, party.token))
            for transaction in transactions
        ]
        for watcher in watchers:
            await watcher.next()
        # That one, and the relay's.
        assert await listeners(platform.database) == 2
        for transaction in transactions:
            await party.hear(transaction, ProviderStatus.PROCESSING)
            await party.hear(transaction, ProviderStatus.COMPLETED)
        for watcher in watchers:
            assert await watcher.statuses() == ["processing", "completed"]


@pytest.mark.parametrize("seed", range(3))
async def test_whoever_connects_while_it_changes_misses_nothing(
    platform: Platform, seed: int
) -> None:
    """Connecting at any moment of a transaction's life: the states told are the rest of its path."""

    async with Scene(platform) as served:
        party = await served.partner()
        transactions = [await party.transaction() for _ in range(12)]
        path = ["pending", "processing", "completed"]

        async def live(item: UUID, number: int) -> None:
            await asyncio.sleep(0.002 * ((number * 7 + seed) % 12))
            await party.hear(item, ProviderStatus.PROCESSING)
            await party.hear(item, ProviderStatus.COMPLETED)

        async def watch(item: UUID) -> None:
            async with watching(served.port, item, party.token) as watcher:
                found = await watcher.statuses()
                assert found
                assert found == path[-len(found) :]

        async with asyncio.TaskGroup() as group:
            for number, transaction in enumerate(transactions):
                group.create_task(live(transaction, number))
                group.create_task(watch(transaction))


async def test_no_partner_takes_all_the_sockets(platform: Platform) -> None:
    share = platform.watches._share
    try:
        async with Scene(platform) as served, AsyncExitStack() as stack:
            party, other = await served.partner(), await served.partner()
            transaction = await party.transaction()
            platform.watches._share = 2
            for _ in range(2):
                opened = watching(served.port, transaction, party.token)
                await stack.enter_async_context(opened)
            path, bearer = f"/ws?tx_id={transaction}", ("Authorization", f"Bearer {party.token}")
            status, headers, body = await refusal(served.port, path, bearer)
            assert (status, body["code"]) == (429, "rate_limited")
            assert "retry-after" in headers
            async with watching(served.port, await other.transaction(), other.token) as watcher:
                assert (await watcher.next())["status"] == "pending"
            # Neither who was refused nor who asked for nothing of theirs is counted.
            await stack.aclose()
            await until(lambda: open_watches(platform) == 0)
            for _ in range(3):
                nothing = f"/ws?tx_id={UUID(int=1)}"
                assert (await refusal(served.port, nothing, bearer))[0] == 404
            async with watching(served.port, transaction, party.token) as watcher:
                assert (await watcher.next())["status"] == "pending"
    finally:
        platform.watches._share = share


async def test_a_full_process_tells_the_next_to_come_again(platform: Platform) -> None:
    """Its files are for requests and the database as well."""

    places = platform.watches._places
    try:
        async with Scene(platform) as served:
            party, other = await served.partner(), await served.partner()
            platform.watches._places = 1
            async with watching(served.port, await party.transaction(), party.token) as watcher:
                assert (await watcher.next())["status"] == "pending"
                path = f"/ws?tx_id={await other.transaction()}"
                bearer = ("Authorization", f"Bearer {other.token}")
                status, headers, body = await refusal(served.port, path, bearer)
                assert (status, body["code"]) == (503, "busy")
                assert "retry-after" in headers
    finally:
        platform.watches._places = places


def test_a_partner_has_half_of_the_places_of_a_process() -> None:
    nothing: Any = None
    for places, share in ((1_024, 512), (1_000_000, OPEN_AT_MOST)):
        assert Watches(nothing, nothing, places)._share == share


async def test_who_says_endless_pieces_of_nothing_is_dropped(platform: Platform) -> None:
    """Frames without payload count against no limit of a message's size."""

    async with Scene(platform) as served:
        party = await served.partner()
        with await _silent(served.port, await party.transaction(), party) as raw:
            await until(lambda: open_watches(platform) == 1)
            begun, continued = b"\x01\x80" + bytes(4), b"\x00\x80" + bytes(4)
            loop = asyncio.get_running_loop()
            await loop.sock_sendall(raw, begun + continued * 2 * websocket.MAX_FRAMES)
            await until(lambda: open_watches(platform) == 0)


async def test_what_a_client_says_is_no_line_in_the_log(
    platform: Platform, caplog: pytest.LogCaptureFixture
) -> None:
    async with Scene(platform) as served:
        party = await served.partner()
        transaction = await party.transaction()
        with await _silent(served.port, transaction, party) as raw:
            no_utf8, ping = b"\x81\x81" + bytes(4) + b"\xff", b"\x89\x80" + bytes(4)
            await asyncio.get_running_loop().sock_sendall(raw, no_utf8 + ping)
            heard = b""
            while not heard.endswith(b"\x8a\x00"):
                some = await asyncio.get_running_loop().sock_recv(raw, 1_000)
                assert some, "the server closed the connection"
                heard += some
    assert not [record for record in caplog.records if record.levelname == "ERROR"]
