"""The table of transitions against a model written from the contract alone."""

import itertools

import pytest

from proof.ramp.providers.protocols import ProviderStatus
from proof.ramp.transactions.transitions import (
    ALLOWED,
    REFUND_AFTER,
    Alert,
    Move,
    move,
    path,
    refund_path,
)
from proof.ramp.types import RefundStatus, Status

P, R, C, F, X = (
    Status.PENDING,
    Status.PROCESSING,
    Status.COMPLETED,
    Status.FAILED,
    Status.CANCELLED,
)

# The ways the contract names, and no others.
WAYS = {(P, R), (R, C), (R, F), (P, F), (P, X)}


def test_only_the_ways_of_the_contract_are_allowed() -> None:
    assert {(item, each) for item, all_of in ALLOWED.items() for each in all_of} == WAYS
    assert set(ALLOWED) == set(Status)


def test_only_the_ways_of_the_contract_lead_a_payment_back() -> None:
    none, asked = RefundStatus.NONE, RefundStatus.REQUESTED
    given, charged = RefundStatus.REFUNDED, RefundStatus.CHARGED_BACK
    ways = {(none, asked), (asked, given), (none, charged), (asked, charged), (given, charged)}
    assert {(item, each) for item, all_of in REFUND_AFTER.items() for each in all_of} == ways
    assert set(REFUND_AFTER) == set(RefundStatus)
    for present, target in itertools.product(RefundStatus, RefundStatus):
        steps = (present, *refund_path(present, target))
        assert all(pair in ways for pair in itertools.pairwise(steps))
        assert len(steps) == 1 or steps[-1] is target
    assert refund_path(none, given) == (asked, given)


@pytest.mark.parametrize("status", [status for status in Status if status.terminal])
def test_no_way_leads_out_of_an_end(status: Status) -> None:
    assert not any(path(status, target) for target in Status)
    for verdict, captured in itertools.product(ProviderStatus, (False, True)):
        assert move(status, captured, verdict).statuses == ()


def test_every_path_walks_allowed_ways_to_its_target() -> None:
    for status, target in itertools.product(Status, Status):
        steps = (status, *path(status, target))
        assert all(pair in WAYS for pair in itertools.pairwise(steps))
        assert len(steps) == 1 or steps[-1] is target


@pytest.mark.parametrize(
    ("status", "verdict", "expected"),
    [
        (P, ProviderStatus.PENDING, Move()),
        (P, ProviderStatus.DECLINED, Move()),
        (P, ProviderStatus.PROCESSING, Move((R,))),
        (P, ProviderStatus.COMPLETED, Move((R, C))),
        (P, ProviderStatus.FAILED, Move((F,))),
        (P, ProviderStatus.CANCELLED, Move((X,))),
        (P, ProviderStatus.UNDELIVERABLE, Move((R,), Alert.UNDELIVERABLE)),
        (P, ProviderStatus.UNKNOWN, Move((), Alert.UNKNOWN_STATUS)),
        (R, ProviderStatus.PENDING, Move()),
        (R, ProviderStatus.DECLINED, Move()),
        (R, ProviderStatus.PROCESSING, Move()),
        (R, ProviderStatus.COMPLETED, Move((C,))),
        (R, ProviderStatus.FAILED, Move((F,))),
        (R, ProviderStatus.CANCELLED, Move((), Alert.CONTRADICTION)),
        (R, ProviderStatus.UNDELIVERABLE, Move((), Alert.UNDELIVERABLE)),
        (R, ProviderStatus.UNKNOWN, Move((), Alert.UNKNOWN_STATUS)),
        (C, ProviderStatus.PROCESSING, Move()),
        (C, ProviderStatus.COMPLETED, Move()),
        (C, ProviderStatus.FAILED, Move((), Alert.MOVED_AFTER_END)),
        (C, ProviderStatus.CANCELLED, Move((), Alert.MOVED_AFTER_END)),
        (C, ProviderStatus.UNDELIVERABLE, Move((), Alert.MOVED_AFTER_END)),
        (X, ProviderStatus.PROCESSING, Move((), Alert.MOVED_AFTER_END)),
        (X, ProviderStatus.COMPLETED, Move((), Alert.MOVED_AFTER_END)),
        (X, ProviderStatus.CANCELLED, Move()),
        (F, ProviderStatus.COMPLETED, Move((), Alert.MOVED_AFTER_END)),
    ],
)
def test_what_a_statement_does(status: Status, verdict: ProviderStatus, expected: Move) -> None:
    assert move(status, status in {R, C}, verdict) == expected


def test_a_failure_before_the_money_and_one_after_it_differ() -> None:
    """Money taken after we gave up needs a person; an old statement that it was taken does not."""
    assert move(F, False, ProviderStatus.PROCESSING) == Move((), Alert.MOVED_AFTER_END)
    assert move(F, True, ProviderStatus.PROCESSING) == Move()
    assert move(F, True, ProviderStatus.UNDELIVERABLE) == Move()
