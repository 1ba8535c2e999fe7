"""What an attacker does beside a victim: one async context manager each, over when it is left.

To add an attack, add it to `ATTACKS`. What floods runs in processes of its own, so that neither the
victim's clock nor the server is kept waiting by the one who asks.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from ipaddress import ip_network
from types import SimpleNamespace
from typing import Any, cast
from uuid import uuid4

import aiohttp
from starlette.routing import Route

from bench.flood import Flood, Flooding
from bench.hostile import ENDLESS
from bench.installation import HOST, Served
from bench.options import Options
from bench.sockets import Watchers, Watching, spread
from proof.api.operations import ANY_METHOD, Operation
from proof.api.routes import routes
from proof.api.services import Services
from proof.config import load_settings
from proof.db import Database
from proof.events import Event, publish
from proof.main.server.pages import handover_page, pages, widget_pages
from proof.outbound import OutboundPolicy
from proof.partners.handover.links import PATH as HANDOVER
from proof.partners.handover.links import TOKEN_CHARACTERS
from proof.partners.types import Environment
from proof.webhooks import set_endpoint

POLICY = OutboundPolicy((ip_network("127.0.0.0/8"),))
PURPOSES = ("timestamp.proof", "timestamp.tree")
_EVERY_S = 0.2
_NAMES = 34
_DEAD_QUEUED = 100_000
_RECEIVERS = 15
_CHANGES, _SIMULATED, _STRANGERS = 400, 200, 400
# Several subscribers' addresses, so that one's rate is not all that is met.
_STRANGERS_ADDRESSES = 40
_BULK_HASHES, _BULK_CONNECTIONS = 10_000, 4
_IDLE, _IDLE_PROCESSES = 5_000, 2

# As the relay would have left them, in one statement. `next_attempt_at` and the like have their defaults.
_QUEUE = """
WITH event AS (
    INSERT INTO outbox (id, partner_environment_id, type, version, subject, body, cursor, sequence)
    SELECT gen_random_uuid(), $1, $2, 1, gen_random_uuid()::text, '{}', nextval('outbox_cursor'), 1
    FROM generate_series(1, $3::integer) n RETURNING id, cursor
)
INSERT INTO webhook_deliveries (event_id, event_cursor, endpoint_id, due_at, next_attempt_at)
SELECT event.id, event.cursor, endpoint.id, now(), now() FROM event, webhook_endpoints endpoint
WHERE partner_environment_id = $1 AND purpose = $2 AND removed_at IS NULL
"""
_FORGET = """
DELETE FROM webhook_deliveries WHERE endpoint_id IN (
    SELECT id FROM webhook_endpoints WHERE partner_environment_id = $1 AND purpose = $2)
"""


@dataclass(frozen=True, slots=True)
class Attacker:
    """A partner who means harm: what it was handed, and its environments by their ids."""

    handed: dict[str, Any]
    owners: Sequence[int]

    @property
    def api_key(self) -> str:
        key: str = self.handed["production"]["api_key"]
        return key

    @property
    def sandbox_token(self) -> str:
        token: str = self.handed["sandbox"]["client_token"]
        return token


@dataclass(frozen=True)
class Scene:
    """The installation and who is in it. `hostile` is a port of `bench.hostile`."""

    served: Served
    database: Database
    attackers: Sequence[Attacker]
    victim_owner: int
    hostile: int
    sink: int
    options: Options

    def api(self, path: str) -> str:
        return f"http://{HOST}:{self.served.port}{path}"

    def receiver(self, path: str) -> str:
        return f"http://{HOST}:{self.hostile}/{path}"

    @property
    def endpoints(self) -> list[tuple[int, str]]:
        """Every endpoint the attackers may have: environment and purpose."""
        owners = [owner for attacker in self.attackers for owner in attacker.owners]
        return [(owner, purpose) for owner in owners for purpose in PURPOSES]

    async def aim(self, urls: Sequence[str]) -> list[tuple[int, str]]:
        """Give the attackers' first endpoints these targets, which starts their breakers anew."""
        aimed = self.endpoints[: len(urls)]
        async with self.database.transaction() as tx:
            for (owner, purpose), url in zip(aimed, urls, strict=True):
                await set_endpoint(tx, POLICY, owner, purpose, url)
        return aimed

    async def disarm(self) -> None:
        """Take the attackers' targets away, and with them what waits."""
        async with self.database.transaction() as tx:
            for owner, purpose in self.endpoints:
                await set_endpoint(tx, POLICY, owner, purpose, "")


Attack = Callable[[Scene], AbstractAsyncContextManager[None]]


def _examples(count: int) -> Attack:
    """So many example calls at a time, without pause, to a receiver of endless informational responses."""

    @asynccontextmanager
    async def attack(scene: Scene) -> AsyncIterator[None]:
        body = json.dumps({"target": scene.receiver("informational")})
        requests = [
            (_post("/v1/webhook/proof/example", attacker.api_key), body)
            for attacker in scene.attackers
        ]
        async with _flooding(scene, requests, count):
            yield

    return attack


def _deliveries(*urls: str) -> Attack:
    """Five webhooks a second for each of these receivers."""

    @asynccontextmanager
    async def attack(scene: Scene) -> AsyncIterator[None]:
        targets = [url if "://" in url else scene.receiver(url) for url in urls]
        aimed = await scene.aim(targets)

        async def publish_all() -> None:
            while True:
                events = [Event(owner, purpose, "s", b"{}") for owner, purpose in aimed]
                async with scene.database.transaction() as tx:
                    await publish(tx, events)
                await asyncio.sleep(_EVERY_S)

        async with running([publish_all()]):
            yield
        await scene.disarm()

    return attack


@asynccontextmanager
async def _dead(scene: Scene) -> AsyncIterator[None]:
    """An endpoint that never answers, with deliveries waiting for it."""
    ((owner, purpose),) = await scene.aim([scene.receiver("never")])
    queued = 5_000 if scene.options.quick else _DEAD_QUEUED
    async with scene.database.transaction() as tx:
        await tx.execute(_QUEUE, owner, purpose, queued)
    yield
    await scene.disarm()
    async with scene.database.transaction() as tx:
        await tx.execute(_FORGET, owner, purpose)


@asynccontextmanager
async def _changes(scene: Scene) -> AsyncIterator[None]:
    """Changes of one partner's settings, all of one row, as many at once."""
    key = scene.attackers[0].api_key
    bodies = [
        json.dumps({"notification": {"proof": {"target": scene.receiver(f"never/{n}")}}})
        for n in range(7)
    ]
    requests = [(_post("/v1/api-key/setting", key, "PATCH"), body) for body in bodies]
    async with _flooding(scene, requests, _CHANGES):
        yield
    await scene.disarm()


@asynccontextmanager
async def _simulations(scene: Scene) -> AsyncIterator[None]:
    """Acts of one sandbox on one transaction, as many at once."""
    token = scene.attackers[0].sandbox_token
    transaction = await _transaction(scene, token)
    head = _post(f"/sandbox/simulate/{transaction}", token)
    outcomes = ("success", "declined", "user_cancels")
    requests = [(head, json.dumps({"outcome": outcome})) for outcome in outcomes]
    async with _flooding(scene, requests, _SIMULATED):
        yield


@asynccontextmanager
async def _bulk(scene: Scene) -> AsyncIterator[None]:
    """Ten thousand new hashes a request, the next as soon as one is answered."""
    requests = [(_post("/v1/timestamp", scene.attackers[0].api_key), "")]
    async with _flooding(scene, requests, _BULK_CONNECTIONS, hashes=_BULK_HASHES):
        yield


@asynccontextmanager
async def _idle(scene: Scene) -> AsyncIterator[None]:
    """WebSockets that are opened and left open."""
    token = scene.attackers[0].sandbox_token
    transaction = await _transaction(scene, token)
    watchers = [
        Watchers(Watching(scene.served.port, f"127.0.0.{n + 2}", token, part, "/sandbox/ws", True))
        for n, part in enumerate(spread([transaction] * _IDLE, _IDLE_PROCESSES))
    ]
    opening = [asyncio.create_task(asyncio.to_thread(watcher.await_open)) for watcher in watchers]
    yield
    await asyncio.gather(*opening)
    for watcher in watchers:
        await asyncio.to_thread(watcher.finish)


def _strangers(*requests: tuple[str, str]) -> Attack:
    """Connections without a credential that ask for these in turn."""

    @asynccontextmanager
    async def attack(scene: Scene) -> AsyncIterator[None]:
        async with _flooding(scene, requests, _STRANGERS, sources=_STRANGERS_ADDRESSES):
            yield

    return attack


def open_paths() -> dict[str, tuple[str, str]]:
    """A request to each path that takes no credential, from the routes themselves, by method and path."""
    services = cast("Services", SimpleNamespace(database=None, base_urls={}))
    found = {
        f"{route.method} {route.path}": _request(route.method, route.path, route.raw_body or _JSON)
        for route in routes(services)
        if not route.gated and route.method != ANY_METHOD and _exists(route)
    }
    for page in _pages(services):
        found[f"GET {page.path}"] = _request("GET", page.path, _JSON)
    found[f"POST {HANDOVER}"] = _request("POST", HANDOVER, "text/plain", "a" * TOKEN_CHARACTERS)
    return found


def _pages(services: Services) -> list[Route]:
    return [
        *pages(load_settings({})),
        handover_page(services),
        *widget_pages(services),
    ]


def _exists(operation: Operation) -> bool:
    return Environment.PRODUCTION in operation.family.environments and operation.method != "OPTIONS"


_JSON = "application/json"
# A commitment, and a query of RFC 3161 for a token over SHA-256: bytes, one a character.
_BODIES = {
    "/digest": "\xab" * 32,
    "/tsa": bytes.fromhex("30360201013031300d060960864801650304020105000420").decode("latin-1")
    + "\xfe" * 32,
}
_PARAMETERS = {"position": "000", "level": "0", "old": "1", "new": "1", "commitment": "ab" * 32}


class _Parameters(dict[str, str]):
    def __missing__(self, name: str) -> str:
        return _PARAMETERS.get(name, str(uuid4()))


def _request(method: str, path: str, content_type: str, body: str | None = None) -> tuple[str, str]:
    target = path.replace(":path", "").format_map(_Parameters())
    if body is None:
        body = _BODIES.get(path, "{}" if method == "POST" else "")
    return f"{method} {target} HTTP/1.1\r\nContent-Type: {content_type}\r\n", body


def _post(path: str, token: str, method: str = "POST") -> str:
    return f"{method} {path} HTTP/1.1\r\nx-api-key: {token}\r\nContent-Type: {_JSON}\r\n"


async def _transaction(scene: Scene, token: str) -> str:
    """A new purchase in the sandbox of the first attacker, whose token that is."""
    body = {
        "partner_user_id": "attacker",
        "user_email": "attacker@bench.example",
        "network": "TRC20",
        "currency": "USDT",
        "amount": "25.50",
        "client_ip": "192.0.2.7",
    }
    url, headers = scene.api("/sandbox/widget/session"), {"x-api-key": token}
    async with (
        aiohttp.ClientSession(headers=headers) as session,
        session.post(url, json=body) as answer,
    ):
        opened = await answer.json()
        if answer.status not in (200, 201):
            raise RuntimeError(f"no session was opened: {opened}")
        transaction: str = opened["merchant_transaction_id"]
        return transaction


@asynccontextmanager
async def _flooding(
    scene: Scene,
    requests: Sequence[tuple[str, str]],
    connections: int,
    *,
    sources: int = 1,
    hashes: int = 0,
) -> AsyncIterator[None]:
    flood = Flood(
        port=scene.served.port,
        connections=connections,
        requests=list(requests),
        sources=sources,
        hashes=hashes,
        seed=uuid4().int >> 96,
    )
    process = await asyncio.to_thread(Flooding, flood)
    try:
        yield
    finally:
        answers = await asyncio.to_thread(process.finish)
        scene.options.say(f"    the attacker was answered {answers.statuses}")


@asynccontextmanager
async def running(steps: Iterable[Coroutine[Any, Any, None]]) -> AsyncIterator[None]:
    """Run these until the block ends."""
    tasks = [asyncio.create_task(step) for step in steps]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


ATTACKS: dict[str, Attack] = {
    "an endless informational response": _examples(1),
    f"{_RECEIVERS} endless informational responses": _examples(_RECEIVERS),
    "webhooks to endless responses": _deliveries(*(sorted(ENDLESS) * 3)[:_RECEIVERS]),
    f"{_CHANGES} parallel settings changes": _changes,
    f"{_SIMULATED} parallel simulate on one transaction": _simulations,
    f"requests of {_BULK_HASHES:,} hashes": _bulk,
    f"{_IDLE:,} idle WebSockets": _idle,
    f"a dead endpoint with {_DEAD_QUEUED:,} deliveries": _dead,
    f"{_STRANGERS} strangers on every open path": _strangers(*open_paths().values()),
}
# One path after the other; a new one joins by itself.
OPEN_PATHS: dict[str, Attack] = {
    f"{_STRANGERS} strangers on {name}": _strangers(each) for name, each in open_paths().items()
}
# Needs a name server of its own, which only root can have on a loopback address.
HANGING_NAMES = {
    f"hanging DNS on {_NAMES} names": _deliveries(
        *(f"https://n{n}.hangs.example/" for n in range(_NAMES))
    )
}
