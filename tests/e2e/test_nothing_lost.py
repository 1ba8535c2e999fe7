"""What was acknowledged survives SIGKILL, SIGSTOP and two processes at once."""

import asyncio
import json
import os
import random
import secrets
import signal
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from tests.support.receiver import Receiver
from tests.support.served import Server, served

from proof.db import Database
from proof.db.embedded import EmbeddedCluster
from proof.verify import parse_verifier_key, verify_payload

# A lease of a webhook lasts a minute, and everything takes longer while the machine does other things.
PATIENCE_S = 180.0
TWO_PROCESSES = {"PROOF_UNSAFE_OUTBOUND_NETWORKS": "127.0.0.0/8", "PROOF_PROCESSES": "2"}


@dataclass
class Acknowledged:
    """What the server said it has: for each hash, how often it called it new."""

    new: dict[str, int] = field(default_factory=dict)
    known: set[str] = field(default_factory=set)

    def take(self, answer: dict[str, Any]) -> None:
        for digest in answer["sha256"]:
            self.new[digest] = self.new.get(digest, 0) + 1
        self.known |= {*answer["sha256"], *answer.get("existing", [])}


class Client:
    """One partner environment's calls."""

    def __init__(self, session: aiohttp.ClientSession, base_url: str, api_key: str) -> None:
        self.session, self.base_url = session, base_url
        self.headers = {"x-api-key": api_key}

    async def stamp(self, digests: list[str], acknowledged: Acknowledged) -> None:
        async with self.session.post(
            f"{self.base_url}/v1/timestamp", json={"sha256": digests}, headers=self.headers
        ) as reply:
            reply.raise_for_status()
            acknowledged.take(await reply.json())

    async def proof(self, digest: str) -> bytes | None:
        url = f"{self.base_url}/v1/proof/{digest}"
        async with self.session.get(url, headers=self.headers) as reply:
            body = await reply.read()
            assert reply.status in {200, 425}, body
            return body if reply.status == 200 else None

    async def request_proof(self, digest: str) -> int:
        body = {"currencyId": 900, "sha256": digest}
        async with self.session.post(
            f"{self.base_url}/v1/proof", json=body, headers=self.headers
        ) as reply:
            return reply.status

    async def set_webhook(self, target: str) -> None:
        body = {"notification": {"proof": {"target": target}}}
        async with self.session.patch(
            f"{self.base_url}/v1/api-key/setting", json=body, headers=self.headers
        ) as reply:
            assert reply.status == 200, await reply.text()


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """The last test ends it, and checks what all of them have left."""
    with served(TWO_PROCESSES) as running:
        yield running


async def with_client(
    server: Server,
    partner: dict[str, Any],
    environment: str,
    action: Callable[[Client], Awaitable[Any]],
) -> Any:
    timeout = aiohttp.ClientTimeout(total=PATIENCE_S)
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(timeout=timeout, connector=connector) as session:
        part = partner[environment]
        return await action(Client(session, part["base_url"], part["api_key"]))


@pytest.mark.timeout(900)
def test_a_frozen_process_loses_nothing(server: Server) -> None:
    """An API process stops (SIGSTOP) longer than any round lives, with requests inside, and goes on."""
    partner = server.add_partner()
    acknowledged, sent = Acknowledged(), set[str]()
    frozen = next(pid for pid in descendants(server.process.pid) if command_of(pid).endswith("api"))

    async def scenario(client: Client) -> None:
        stopped, thawed = asyncio.Event(), asyncio.Event()

        async def stamping() -> None:
            while not thawed.is_set():
                await stamp_some(client, acknowledged, sent, 1)
                if stopped.is_set():
                    # Each of the other process's rounds gets some; more of them would only be work.
                    await asyncio.sleep(0.1)
            await stamp_some(client, acknowledged, sent, 5)

        await asyncio.gather(*(stamp_some(client, acknowledged, sent, 5) for _ in range(30)))
        tasks = [asyncio.create_task(stamping()) for _ in range(60)]
        await until(lambda: len(acknowledged.known) > 300)
        os.kill(frozen, signal.SIGSTOP)
        stopped.set()
        stopped_at = time.monotonic()
        try:
            # The other process goes on: its rounds and the frozen one's are sealed meanwhile.
            await until(lambda: time.monotonic() - stopped_at > 5)
        finally:
            os.kill(frozen, signal.SIGCONT)
            thawed.set()
        await asyncio.gather(*tasks)

    asyncio.run(with_client(server, partner, "production", scenario))
    assert acknowledged.known == sent
    assert set(acknowledged.new.values()) == {1}
    proved(server, partner, "production", acknowledged.known)
    check_rounds(server, set(map(bytes.fromhex, acknowledged.known)))


async def stamp_some(
    client: Client, acknowledged: Acknowledged, sent: set[str], count: int
) -> None:
    for _ in range(count):
        digest = secrets.token_hex(32)
        sent.add(digest)
        await client.stamp([digest], acknowledged)


@pytest.mark.timeout(900)
def test_two_processes_take_overlapping_sets(server: Server) -> None:
    partner = server.add_partner()
    digests = [secrets.token_hex(32) for _ in range(3_000)]
    acknowledged = Acknowledged()

    async def scenario(client: Client) -> None:
        # A session keeps a connection for each call in flight, and the kernel spreads them.
        await asyncio.gather(
            *(client.stamp(random.sample(digests, 900), acknowledged) for _ in range(60)),
            *(client.stamp([digest], acknowledged) for digest in digests[:300]),
        )
        await client.stamp(digests, acknowledged)

    asyncio.run(with_client(server, partner, "production", scenario))
    assert acknowledged.known == set(digests)
    assert set(acknowledged.new.values()) == {1}, "a hash was called new twice"
    assert set(acknowledged.new) == set(digests)
    proved(server, partner, "production", set(digests))
    check_rounds(server, set(map(bytes.fromhex, digests)))


@pytest.mark.timeout(900)
def test_sigkill_in_the_middle_of_load(server: Server) -> None:
    partner = server.add_partner()
    with Receiver() as receiver:
        load = {each: Acknowledged() for each in ("production", "sandbox")}
        asked: set[str] = set()

        killing = asyncio.Event()

        async def press(acknowledged: Acknowledged, client: Client) -> None:
            await client.set_webhook(receiver.url("/proofs"))
            workers = [
                asyncio.create_task(stamping(client, acknowledged, killing)) for _ in range(12)
            ]
            workers.append(asyncio.create_task(asking(client, acknowledged, asked)))
            await asyncio.gather(*workers)

        async def both() -> None:
            await asyncio.gather(
                kill_after(server, list(load.values()), asked, killing),
                *(
                    with_client(server, partner, each, partial(press, acknowledged))
                    for each, acknowledged in load.items()
                ),
            )

        asyncio.run(both())
        server.start()
        for environment, acknowledged in load.items():
            assert len(acknowledged.known) >= 600
            proved(server, partner, environment, acknowledged.known)
        check_rounds(server, {bytes.fromhex(d) for each in load.values() for d in each.known})
        delivered_within(receiver, asked)
    assert server.stop() == 0
    rebuilt(server)


async def stamping(client: Client, acknowledged: Acknowledged, killing: asyncio.Event) -> None:
    try:
        while True:
            count = random.choice([1, 1, 1, 40, 700])
            await client.stamp([secrets.token_hex(32) for _ in range(count)], acknowledged)
    except aiohttp.ClientError:
        # The database may be gone before the process that asks it: an honest 500, not acknowledged.
        if not killing.is_set():
            raise


async def asking(client: Client, acknowledged: Acknowledged, asked: set[str]) -> None:
    with suppress(aiohttp.ClientError):
        while True:
            for digest in random.sample(
                sorted(acknowledged.known), min(20, len(acknowledged.known))
            ):
                if await client.request_proof(digest) == 202:
                    asked.add(digest)
            await asyncio.sleep(0.05)


async def kill_after(
    server: Server, load: list[Acknowledged], asked: set[str], killing: asyncio.Event
) -> None:
    """SIGKILL every process of the server once some hashes are acknowledged, rounds are sealed and proofs
    are asked for."""
    deadline = time.monotonic() + PATIENCE_S
    started = time.monotonic()
    while (
        not asked or min(len(each.known) for each in load) < 600 or time.monotonic() - started < 2
    ):
        assert time.monotonic() < deadline, "the load never got through"
        await asyncio.sleep(0.02)
    killing.set()
    for pid in [server.process.pid, *descendants(server.process.pid)]:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    await asyncio.to_thread(server.process.wait)


def proved(server: Server, partner: dict[str, Any], environment: str, digests: set[str]) -> None:
    """These have proofs that verify under the log's keys: all of a few, or a hundred taken by chance.

    `rebuilt` and `check_rounds` speak for the others.
    """
    chosen = random.sample(sorted(digests), min(100, len(digests)))

    async def fetch_all(client: Client) -> None:
        async with client.session.get(f"{client.base_url}/log/key") as reply:
            keys = [parse_verifier_key(line) for line in (await reply.text()).splitlines()]
        limit = asyncio.Semaphore(32)
        deadline = time.monotonic() + PATIENCE_S

        async def one(digest: str) -> None:
            async with limit:
                while (body := await client.proof(digest)) is None:
                    assert time.monotonic() < deadline, f"no proof of {digest} in time"
                    await asyncio.sleep(0.2)
            # The signatures of a checkpoint are checked once for all of its proofs below.
            established = verify_payload(body)
            assert established.leaf.hex() == digest
            checkpoints.setdefault(json.loads(body)["evidence"]["checkpoint"], body)

        checkpoints: dict[str, bytes] = {}
        await asyncio.gather(*map(one, chosen))
        for body in checkpoints.values():
            assert verify_payload(body, log_keys=keys).tied

    asyncio.run(with_client(server, partner, environment, fetch_all))


def check_rounds(server: Server, digests: set[bytes]) -> None:
    """Each of these is in exactly one round, and that round is sealed."""

    async def check() -> None:
        arguments = asdict(EmbeddedCluster(server.data_dir).connection("app"))
        database = await Database.open(arguments)
        deadline = time.monotonic() + PATIENCE_S
        rows: list[Any] = []
        # The newest rounds may still be open.
        while not (rows and all(row["sealed"] for row in rows)) and time.monotonic() < deadline:
            async with database.connection() as connection:
                rows = await connection.fetch(
                    "SELECT s.digest, count(*) AS rounds, bool_and(r.sealed_at IS NOT NULL) AS sealed"
                    " FROM submissions s JOIN rounds r ON r.id = s.round_id"
                    " WHERE s.digest = ANY($1::bytea[]) GROUP BY s.digest",
                    list(digests),
                )
            await asyncio.sleep(0.1)
        await database.close()
        assert {row["digest"] for row in rows} == digests
        assert {row["rounds"] for row in rows} == {1}
        assert {row["sealed"] for row in rows} == {True}

    asyncio.run(check())


def delivered_within(receiver: Receiver, digests: set[str]) -> None:
    """A proof webhook for each of these has arrived."""
    deadline = time.monotonic() + PATIENCE_S
    missing = digests
    while missing and time.monotonic() < deadline:
        time.sleep(0.1)
        missing = digests - {json.loads(request.body)["sha256"] for request in receiver.requests}
    assert not missing, f"{len(missing)} proof webhooks never came"


def rebuilt(server: Server) -> None:
    """fsck, on the stopped server's data, finds nothing."""
    done = server.run("fsck", "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads(done.stdout)["findings"] == []


async def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.02)


def descendants(pid: int) -> list[int]:
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except (FileNotFoundError, ProcessLookupError):
        return []  # it ended meanwhile
    return [each for child in map(int, children) for each in (child, *descendants(child))]


def command_of(pid: int) -> str:
    try:
        command = Path(f"/proc/{pid}/cmdline").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return ""
    return command.decode().strip("\0").replace("\0", " ")
