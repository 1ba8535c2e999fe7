"""Whatever providers say, in whatever order and however often, against a model written from the contract.

The model knows the list of statuses a transaction took and nothing else; PostgreSQL is real.
"""

import asyncio
import hashlib
import itertools
import json
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    initialize,
    invariant,
    multiple,
    rule,
    run_state_machine_as_test,
)
from tests.conftest import Run
from tests.support.ramp import (
    BEGUN,
    chain_of,
    hear,
    make_transaction,
    published_of,
    records_of,
    row_of,
    said,
)

from proof.core.errors import ConflictError
from proof.core.secrets import Vault
from proof.db import Database
from proof.events import relay
from proof.partners.audit import Actor
from proof.ramp.providers.callbacks import StoredCallback
from proof.ramp.providers.protocols import Observation, ProviderStatus
from proof.ramp.transactions import queries
from proof.ramp.transactions.service import Statement, end, observe_all, resolve
from proof.ramp.types import FailureReason, Status

ENDS = {"completed", "failed", "cancelled"}
CAUSES = {"callback": "provider.callback", "operator": "operator.resolution"}
NOW = BEGUN + timedelta(hours=1)


@dataclass
class Model:
    """The statuses a transaction took, oldest first, and what a provider's word adds to them."""

    taken: list[str] = field(default_factory=list)

    @property
    def status(self) -> str:
        return self.taken[-1] if self.taken else "pending"

    def hear(self, verdict: ProviderStatus) -> None:
        if self.status in ENDS:
            return
        paid = self.status == "processing"
        if verdict in {ProviderStatus.PROCESSING, ProviderStatus.UNDELIVERABLE} and not paid:
            self.taken.append("processing")
        elif verdict is ProviderStatus.COMPLETED:
            self.taken += ["completed"] if paid else ["processing", "completed"]
        elif verdict is ProviderStatus.FAILED:
            self.taken.append("failed")
        elif verdict is ProviderStatus.CANCELLED and not paid:
            self.taken.append("cancelled")


class AbortedError(Exception):
    """The process ends before the commit."""


class Providers(RuleBasedStateMachine):
    """Two transactions, so that a batch holds statements about both."""

    run: Run[Any]
    database: Database
    vault: Vault
    owner: int

    past = Bundle("past")

    @initialize()
    def begin(self) -> None:
        self.made: list[UUID] = [
            self.run(make_transaction(self.database, self.vault, self.owner)) for _ in range(2)
        ]
        self.models = {identity: Model() for identity in self.made}
        self.moments = itertools.count(1)

    @rule(target=past, which=st.integers(0, 1), verdict=st.sampled_from(ProviderStatus))
    def provider_speaks(self, which: int, verdict: ProviderStatus) -> Observation:
        """Something happens over there; it reaches us now."""
        word = self._said(which, verdict)
        self._deliver([word])
        return word

    @rule(
        target=past,
        words=st.lists(
            st.tuples(st.integers(0, 1), st.sampled_from(ProviderStatus)), min_size=1, max_size=4
        ),
    )
    def provider_speaks_and_nothing_arrives(self, words: list[tuple[int, ProviderStatus]]) -> Any:
        return multiple(*(self._said(which, verdict) for which, verdict in words))

    @rule(words=st.lists(past, min_size=1, max_size=5))
    def words_arrive_again_late_or_in_another_order(self, words: list[Observation]) -> None:
        self._deliver(words)

    @rule(word=past)
    def the_same_arrives_twice_at_once(self, word: Observation) -> None:
        async def both() -> None:
            item = (hear(self.database, self.vault, word, now=NOW) for _ in range(2))
            await asyncio.gather(*item)

        self.run(both())
        self.models[word.merchant_transaction_id].hear(word.verdict)

    @rule(word=past)
    def the_worker_dies_before_it_commits(self, word: Observation) -> None:
        async def die() -> None:
            async with self.database.transaction() as tx:
                await observe_all(tx, self.vault, [Statement(word)], NOW)
                raise AbortedError

        try:
            self.run(die())
        except AbortedError:
            return

    @rule(which=st.integers(0, 1))
    def time_runs_out(self, which: int) -> None:
        self._end(which, [])

    @rule(which=st.integers(0, 1), word=past)
    def time_runs_out_while_a_word_arrives(self, which: int, word: Observation) -> None:
        self._end(which, [word])

    @rule(which=st.integers(0, 1), status=st.sampled_from([Status.COMPLETED, Status.FAILED]))
    def operator_decides(self, which: int, status: Status) -> None:
        async def decide() -> None:
            async with self.database.transaction() as tx:
                how = (status, "seen", Actor("cli"), NOW)
                await resolve(tx, self.vault, self.made[which], *how)

        model = self.models[self.made[which]]
        try:
            self.run(decide())
        except ConflictError:
            assert model.status in ENDS - {status.value}
        else:
            assert model.status not in ENDS - {status.value}
            model.hear(ProviderStatus(status.value))

    @rule(limit=st.integers(1, 3))
    def events_are_relayed(self, limit: int) -> None:
        async def hand_on() -> None:
            async with self.database.transaction() as tx:
                await relay(tx, limit)

        self.run(hand_on())

    @invariant()
    def every_status_was_told_once_and_in_order(self) -> None:
        for made, model in getattr(self, "models", {}).items():
            row = self.run(row_of(self.database, made))
            records = self.run(records_of(self.database, made))
            told = [json.loads(record) for record in records]
            bodies = [json.loads(body) for body in self.run(published_of(self.database, made))]
            assert row["status"] == model.status
            assert [loads["status"] for loads in told] == model.taken
            assert [item["status"] for item in bodies] == model.taken
            assert [loads["status_sequence"] for loads in told] == list(range(1, len(told) + 1))
            hashes = [hashlib.sha256(record).digest() for record in records]
            assert [item["record_sha256"] for item in bodies] == [each.hex() for each in hashes]
            assert row["event_sha256"] == (hashes[-1] if hashes else None)

    @invariant()
    def the_chain_is_whole_and_pinned(self) -> None:
        for made in getattr(self, "models", {}):
            row, chain = (
                self.run(row_of(self.database, made)),
                self.run(chain_of(self.database, made)),
            )
            told = [json.loads(record) for record in chain]
            assert [each["kind"] for each in told[:1]] == ["session.opened"][: len(told)]
            assert [each["sequence"] for each in told] == list(range(1, len(told) + 1))
            hashes = [hashlib.sha256(record).digest() for record in chain]
            assert [each["previous_sha256"] for each in told] == [
                "", *(each.hex() for each in hashes)
            ][: len(told)]  # fmt: skip
            moments = [datetime.fromisoformat(each["recorded_at"]) for each in told]
            assert moments == sorted(moments)
            head = hashes[-1] if hashes else None
            assert (row["chain_length"], row["chain_sha256"]) == (len(chain), head)

    @invariant()
    def what_caused_a_change_stands_right_before_it(self) -> None:
        for made in getattr(self, "models", {}):
            told = [json.loads(record) for record in self.run(chain_of(self.database, made))]
            for before, record in itertools.pairwise([*told, {"kind": "the end"}]):
                if before["kind"] == "provider.callback":
                    assert (record["kind"], record["caused_by"]) == (
                        "transaction.status",
                        "callback",
                    )
                if record.get("caused_by") in CAUSES:
                    kind = CAUSES[record["caused_by"]]
                    assert before["kind"] in {kind, "transaction.status"}
                    assert before.get("caused_by", record["caused_by"]) == record["caused_by"]

    @invariant()
    def sequences_are_those_of_the_records(self) -> None:
        async def differing() -> Any:
            async with self.database.connection() as connection:
                return await connection.fetchval(
                    "SELECT count(*) FROM outbox JOIN (SELECT convert_from(record, 'UTF8')::jsonb AS told"
                    " FROM ramp_records WHERE kind = 'transaction.status') status"
                    " ON outbox.id = (told->>'id')::uuid"
                    " WHERE outbox.sequence <> (told->>'status_sequence')::integer"
                )

        assert self.run(differing()) == 0

    def _said(self, which: int, verdict: ProviderStatus) -> Observation:
        moment = BEGUN + timedelta(seconds=next(self.moments))
        return said(self.made[which], verdict, occurred_at=moment)

    def _callback(self, word: Observation) -> StoredCallback | None:
        """Every other word was posted to us; the others answer a question."""
        if word.occurred_at.second % 2:
            return None
        return StoredCallback(1, "sandbox", self.owner, NOW, word.said.encode())

    def _deliver(self, words: list[Observation]) -> None:
        async def arrive() -> None:
            async with self.database.transaction() as tx:
                statements = [Statement(word, self.owner, self._callback(word)) for word in words]
                await observe_all(tx, self.vault, statements, NOW)

        self.run(arrive())
        for word in words:
            self.models[word.merchant_transaction_id].hear(word.verdict)

    def _end(self, which: int, meanwhile: list[Observation]) -> None:
        """What was read before a word arrived is no reason to end it."""
        made = self.made[which]

        async def read() -> Any:
            async with self.database.transaction() as tx:
                return (await queries.lock(tx, [made]))[made].state

        async def expire(expected: Any) -> bool:
            async with self.database.transaction() as tx:
                reason = FailureReason.SESSION_EXPIRED
                return await end(tx, self.vault, made, NOW, expected=expected, reason=reason)

        expected = self.run(read())
        if meanwhile:
            self._deliver(meanwhile)
        ended = self.run(expire(expected))
        model = self.models[made]
        assert not ended or model.status == "pending"
        assert ended or meanwhile or model.status != "pending"
        if ended:
            model.taken.append("failed")


def test_no_sequence_regresses_skips_or_repeats(
    run: Run[Any], database: Database, vault: Vault, owner: int
) -> None:
    class Here(Providers):
        pass

    Here.run, Here.database, Here.vault, Here.owner = staticmethod(run), database, vault, owner
    run_state_machine_as_test(
        Here,
        settings=settings(
            max_examples=25,
            stateful_step_count=25,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
