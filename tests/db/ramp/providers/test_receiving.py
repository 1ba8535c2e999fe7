"""Callbacks from outside: durable before they are answered, known again, and no way to fill the disk."""

import asyncio
from typing import Any
from uuid import UUID, uuid4

import pytest
from tests.db.ramp.providers.conftest import Scene
from tests.db.webhooks.scene import until
from tests.support.locking import takes_in_order
from tests.support.mercuryo import SECRET, SIGN_KEY, callback, leg, signature
from tests.support.notices import notices_of

from proof.core.errors import DatabaseUnavailableError
from proof.db import Database
from proof.partners.audit import Actor
from proof.partners.types import Environment
from proof.ramp.errors import CallbackRefusedError
from proof.ramp.providers.accounts import add_account, remove_account
from proof.ramp.providers.callbacks import STORED, claim, forget, prune
from proof.ramp.providers.mercuryo import wire
from proof.ramp.providers.receiving import KEPT_A_DAY, CallbackReceiver

CREDENTIALS = {
    "widget_id": "wid",
    "widget_secret": SECRET,
    "sign_key": SIGN_KEY,
    "sdk_partner_token": "partner-token",
    "api_url": "https://api.example/v1.6",
    "widget_url": "https://widget.example/embed.js",
}
PRODUCTION = Environment.PRODUCTION


async def added(scene: Scene) -> UUID:
    """One more account of the partner."""
    at = scene.stage.platform
    partner = scene.partner.partner_id
    async with at.database.transaction() as tx:
        how = (partner, PRODUCTION, "mercuryo", CREDENTIALS, Actor("cli"))
        return await add_account(tx, at.vault, *how)


@pytest.fixture
def account(scene: Scene) -> UUID:
    found: UUID = scene.run(added(scene))
    return found


def body_of(name: UUID | None = None, status: str = "paid", **more: Any) -> bytes:
    """About a transaction of its own, which has an id of its own there."""
    about = name or uuid4()
    return callback(leg("buy", status, str(about), id=about.hex[:17], **more))


def post(
    scene: Scene,
    account: UUID,
    body: bytes,
    signed: bytes | None = None,
    *,
    name: str = "mercuryo",
    prefix: str = "",
) -> Any:
    """POST from an address nobody allowed, without any token."""
    headers = [("X-Signature".lower(), signature(body if signed is None else signed))]
    target = f"{prefix}/providers/{name}/{account}/callback"
    return scene.run(
        scene.stage.platform.call("POST", target, body, headers=headers, address="198.51.100.9")
    )


def stored(scene: Scene, account: UUID) -> list[Any]:
    rows: list[Any] = scene.run(
        scene.stage.platform.fetch(
            "SELECT * FROM provider_callbacks WHERE account_id = $1 ORDER BY id", account
        )
    )
    return rows


def count(scene: Scene, table: str, account: UUID) -> int:
    query = {
        "refused": "SELECT count(*) FROM refused_callbacks WHERE account_id = $1",
        "unverified": "SELECT sum(count)::int FROM unverified_callbacks WHERE account_id = $1",
    }[table]
    found: int = scene.run(scene.stage.platform.fetch(query, account))[0][0]
    return found or 0


def test_a_signed_callback_is_stored_as_it_came(scene: Scene, account: UUID) -> None:
    body = body_of()
    assert post(scene, account, body).status == 200
    (row,) = stored(scene, account)
    assert (row["form"], row["processed_at"]) == ("raw", None)
    assert body not in row["sealed"]

    async def claimed() -> list[bytes]:
        at = scene.stage.platform
        async with at.database.transaction() as tx:
            return [item.body for item in await claim(tx, at.vault, 1_000)]

    assert body in scene.run(claimed())


def test_white_space_that_no_signature_covers_makes_no_second_callback(
    scene: Scene, account: UUID
) -> None:
    body = body_of()
    signed = b"".join(body.split())
    spaced_id = body.replace(b'"id":"', b'"id":" ').replace(b'"id": "', b'"id": " ')
    nonsense = body.replace(b'"status', b'"sta tus')
    for item in (body, spaced_id, nonsense, nonsense.replace(b"sta tus", b"st atus")):
        assert post(scene, account, item, signed).status == 200
    # What it says, and what says nothing.
    assert len(stored(scene, account)) == 2


def test_the_form_that_was_signed_is_kept(scene: Scene, account: UUID) -> None:
    body = body_of()
    assert post(scene, account, body, b"".join(body.split())).status == 200
    assert [row["form"] for row in stored(scene, account)] == ["compact"]


def test_what_was_said_before_is_acknowledged_and_not_stored_again(
    scene: Scene, account: UUID
) -> None:
    name = uuid4()
    bodies = [body_of(name), body_of(name), body_of(name, fiat_amount="1.00")]
    assert [post(scene, account, body).status for body in bodies] == [200] * 3
    assert len(stored(scene, account)) == 1
    assert post(scene, account, body_of(name, "cancelled")).status == 200
    assert len(stored(scene, account)) == 2


def test_hundreds_at_once_with_their_duplicates_are_each_stored_once(
    scene: Scene, account: UUID
) -> None:
    bodies = [body_of() for _ in range(300)] * 3
    target = f"/providers/mercuryo/{account}/callback"

    async def all_at_once() -> list[int]:
        call = scene.stage.platform.call
        answers = [
            call("POST", target, body, headers=[("x-signature", signature(body))])
            for body in bodies
        ]
        return [item.status for item in await asyncio.gather(*answers)]

    assert set(scene.run(all_at_once())) == {200}
    assert len(stored(scene, account)) == 300


def test_only_the_first_callback_that_waits_is_told_of(scene: Scene, account: UUID) -> None:
    """Whoever applies them looks again by itself as long as there are any."""
    at, target = scene.stage.platform, f"/providers/mercuryo/{account}/callback"

    async def told() -> set[str]:
        body = body_of()
        posting = at.call("POST", target, body, headers=[("x-signature", signature(body))])
        return await notices_of(at.database, {STORED}, posting)

    async def all_told() -> list[set[str]]:
        applied = "UPDATE provider_callbacks SET processed_at = now() WHERE processed_at IS NULL"
        await at.fetch(applied)
        first, second = await told(), await told()
        await at.fetch(applied)
        return [first, second, await told()]

    assert scene.run(all_told()) == [{STORED}, set(), {STORED}]


async def one_batch(scene: Scene, *posts: tuple[UUID, bytes, bytes]) -> None:
    """Callbacks of (account, body, what was signed), gathered in this order before the first commit."""
    at = scene.stage.platform
    receiver = CallbackReceiver(at.database, at.vault, scene.world.providers, at.clock)
    tasks = []
    for account, body, signed in posts:
        headers = {"x-signature": signature(signed)}
        how = ("mercuryo", account, PRODUCTION, headers, body)
        tasks.append(asyncio.create_task(receiver.receive(*how)))
        await until(lambda: len(receiver._lanes._queue) == len(tasks))
    receiver.start()
    for item in await asyncio.gather(*tasks, return_exceptions=True):
        assert item is None or isinstance(item, CallbackRefusedError)
    await receiver.close()


def test_callbacks_of_a_batch_are_stored_in_the_order_of_their_key(
    scene: Scene, account: UUID
) -> None:
    """Two lanes that hold each other's duplicates would wait for each other for ever."""
    adapter: Any = scene.world.providers.adapter("mercuryo")
    low, high = sorted((body_of(), body_of()), key=adapter.identity)
    store = (
        "INSERT INTO provider_callbacks (account_id, dedup_sha256, form, received_at)"
        " VALUES ($1, ($2::bytea[])[{}], 'raw', now())"
    )

    async def posted() -> None:
        async with scene.stage.platform.database.connection() as holder:
            await takes_in_order(
                one_batch(scene, (account, high, high), (account, low, low)),
                holder,
                store.format(1),
                store.format(2),
                account,
                [adapter.identity(low), adapter.identity(high)],
            )

    scene.run(posted())
    assert len(stored(scene, account)) == 2


def test_refused_callbacks_of_a_batch_are_counted_in_the_order_of_their_accounts(
    scene: Scene, account: UUID
) -> None:
    async def replaced() -> UUID:
        async with scene.stage.platform.database.transaction() as tx:
            await remove_account(tx, scene.partner.partner_id, PRODUCTION, Actor("cli"))
        return await added(scene)

    other: UUID = scene.run(replaced())
    low, high = sorted((account, other))
    count_one = (
        "INSERT INTO unverified_callbacks (account_id, day, count) VALUES (($1::uuid[])[{}], $2, 1)"
    )
    today = scene.stage.platform.clock.now().date()

    async def posted() -> None:
        async with scene.stage.platform.database.connection() as holder:
            await takes_in_order(
                one_batch(scene, (high, body_of(), b"else"), (low, body_of(), b"else")),
                holder,
                count_one.format(1),
                count_one.format(2),
                [low, high],
                today,
            )

    scene.run(posted())
    assert [count(scene, "unverified", item) for item in (low, high)] == [1, 1]


def test_a_signed_body_that_makes_no_sense_is_stored_too(scene: Scene, account: UUID) -> None:
    whole = body_of()
    twice = whole[:-1] + b"," + whole[1:]
    for body in (b"", b"not json", b'{"data": {"id": 1}}', twice):
        assert post(scene, account, body).status == 200
    assert len(stored(scene, account)) == 4
    with pytest.raises(CallbackRefusedError, match="is there twice"):
        wire.callback_leg(twice)


def test_a_stranger_is_refused_counted_and_kept_up_to_a_limit(scene: Scene, account: UUID) -> None:
    answer = post(scene, account, body_of(), b"something else")
    assert (answer.status, answer.json["code"]) == (400, "callback_refused")

    async def flood() -> set[int]:
        call, target = scene.stage.platform.call, f"/providers/mercuryo/{account}/callback"
        answers = await asyncio.gather(
            *(call("POST", target, b"%d" % each * 100) for each in range(5 * KEPT_A_DAY // 2))
        )
        return {item.status for item in answers}

    assert scene.run(flood()) == {400}
    assert scene.run(flood()) == {400}
    assert stored(scene, account) == []
    assert count(scene, "refused", account) == KEPT_A_DAY
    assert count(scene, "unverified", account) == 1 + 5 * KEPT_A_DAY
    scene.world.clock.turn(24 * 3600)
    assert post(scene, account, b"the next day", b"wrong").status == 400
    assert count(scene, "refused", account) == KEPT_A_DAY + 1


def test_an_account_that_there_is_not_is_not_found_and_nothing_is_kept(
    scene: Scene, account: UUID
) -> None:
    body = body_of()
    unknown = uuid4()
    answers = [
        post(scene, unknown, body),
        post(scene, account, body, name="sandbox"),
        post(scene, account, body, name="nonsense"),
        post(scene, account, body, prefix="/sandbox"),
        scene.run(scene.stage.platform.call("POST", "/providers/mercuryo/nonsense/callback", body)),
    ]
    assert {(answer.status, answer.json["code"]) for answer in answers} == {(404, "not_found")}
    assert stored(scene, account) == []
    assert count(scene, "unverified", unknown) == count(scene, "unverified", account) == 0


def test_a_body_over_the_limit_is_refused_before_it_is_read(scene: Scene, account: UUID) -> None:
    answer = post(scene, account, b" " * (64 * 1024 + 1))
    assert (answer.status, answer.json["code"]) == (413, "body_too_large")
    assert stored(scene, account) == []


def test_a_removed_accounts_callbacks_are_still_taken(scene: Scene, account: UUID) -> None:
    async def remove() -> None:
        async with scene.stage.platform.database.transaction() as tx:
            await remove_account(tx, scene.partner.partner_id, PRODUCTION, Actor("cli"))

    scene.run(remove())
    assert post(scene, account, body_of()).status == 200
    assert len(stored(scene, account)) == 1


def test_bodies_are_forgotten_with_age_and_with_the_person(scene: Scene, account: UUID) -> None:
    made = scene.transaction()
    for body in (body_of(made), body_of()):
        assert post(scene, account, body).status == 200
    assert post(scene, account, body_of(), b"wrong").status == 400
    scene.run(scene.world.settle())

    async def forgotten() -> int:
        async with scene.stage.platform.database.transaction() as tx:
            await tx.execute(
                "UPDATE provider_callbacks SET transaction_id = $2 WHERE id ="
                " (SELECT min(id) FROM provider_callbacks WHERE account_id = $1)",
                account,
                made,
            )
            return await forget(tx, [made])

    async def pruned() -> int:
        scene.world.clock.turn(1)
        async with scene.stage.platform.database.transaction() as tx:
            return await prune(tx, scene.world.clock.now(), 10_000)

    assert scene.run(forgotten()) == 1
    assert [row["sealed"] is None for row in stored(scene, account)] == [True, False]
    assert scene.run(pruned()) >= 2
    assert [row["sealed"] for row in stored(scene, account)] == [None, None]
    assert count(scene, "refused", account) == 0
    assert post(scene, account, body_of(made)).status == 200
    assert len(stored(scene, account)) == 2


class _AwayDatabase(Database):
    """Answers reads and has no connection for commits while `away`."""

    away = True

    async def dedicated(self) -> Any:
        if self.away:
            raise DatabaseUnavailableError("away")
        return await super().dedicated()


@pytest.fixture
def away(scene: Scene) -> _AwayDatabase:
    real = scene.stage.platform.database
    return _AwayDatabase(real._pool, real._arguments)


def test_nothing_is_acknowledged_while_the_database_is_away(
    scene: Scene, account: UUID, away: _AwayDatabase
) -> None:
    body = body_of()

    async def received() -> None:
        at = scene.stage.platform
        receiver = CallbackReceiver(away, at.vault, scene.world.providers, at.clock)
        receiver.start()
        headers = {"x-signature": signature(body)}
        try:
            with pytest.raises(DatabaseUnavailableError):
                await receiver.receive("mercuryo", account, PRODUCTION, headers, body)
            assert (
                await at.fetch("SELECT 1 FROM provider_callbacks WHERE account_id = $1", account)
                == []
            )
            away.away = False
            await receiver.receive("mercuryo", account, PRODUCTION, headers, body)
        finally:
            await receiver.close()

    scene.run(received())
    assert len(stored(scene, account)) == 1
