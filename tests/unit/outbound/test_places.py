"""What one owner may have under way."""

import asyncio
from ipaddress import ip_network

import pytest

from proof.core.errors import BusyError
from proof.outbound import OutboundClient, OutboundPolicy, Places, on_behalf_of

LOOPBACK = OutboundPolicy((ip_network("127.0.0.0/8"),))


def test_an_owner_has_its_places_and_no_more() -> None:
    places = Places(most=3, each=2)
    with on_behalf_of(1), places.taken(), places.taken():
        with pytest.raises(BusyError, match="2 such calls"), places.taken():
            pass
        with on_behalf_of(2), places.taken():
            pass
    with on_behalf_of(1), places.taken(), places.taken():
        pass


def test_all_owners_together_have_no_more_than_all_places() -> None:
    places = Places(most=2, each=2)
    with (
        on_behalf_of(1),
        places.taken(),
        on_behalf_of(2),
        places.taken(),
        pytest.raises(BusyError, match="too many"),
        on_behalf_of(3),
        places.taken(),
    ):
        pass


def test_nobodys_calls_have_one_owners_places() -> None:
    places = Places(most=9, each=1)
    with places.taken(), pytest.raises(BusyError), places.taken():
        pass


def test_a_receiver_that_hangs_holds_its_owners_places_alone() -> None:
    async def run() -> None:
        asked, hangs = asyncio.Semaphore(0), asyncio.Event()

        async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            head = await reader.readuntil(b"\r\n\r\n")
            asked.release()
            if b"/hangs" in head:
                await hangs.wait()
            writer.write(b"HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n")
            writer.close()

        async def post(owner: int, path: str) -> int:
            with on_behalf_of(owner):
                return (await client.post(f"http://127.0.0.1:{port}{path}", b"", {})).status

        server = await asyncio.start_server(talk, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        client = OutboundClient(LOOPBACK, timeout_s=120, places=Places(most=8, each=2))
        try:
            under_way = [asyncio.create_task(post(1, "/hangs")) for _ in range(2)]
            for _ in under_way:
                await asked.acquire()
            with pytest.raises(BusyError):
                await post(1, "/")
            assert await post(2, "/") == 204
            hangs.set()
            assert await asyncio.gather(*under_way) == [204, 204]
            assert await post(1, "/") == 204
        finally:
            await client.aclose()
            server.close()
            await server.wait_closed()

    asyncio.run(run())
