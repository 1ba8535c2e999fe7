"""A clock that cannot be trusted stops the authority."""

from typing import Any

import pytest
from tests.support.tsa import ACCURACY_MS, FakeReadings, development_authority
from tests.unit.timestamps.tsa.test_requests import RIGHT

from proof.core.clock import SystemClock
from proof.timestamps.tsa.clock_watch import SYSTEM, ClockWatch, kernel_error_ms


def test_time_that_passes_is_no_step() -> None:
    machine = FakeReadings()
    watch = ClockWatch(ACCURACY_MS, synchronised=False, readings=machine.readings())
    machine.wall += 86_400
    machine.boot += 86_400
    assert watch.objection() is None


@pytest.mark.parametrize("step", [3600.0, -3600.0, 0.76, -0.76])
def test_a_step_is_an_objection_until_it_is_undone(step: float) -> None:
    machine = FakeReadings()
    watch = ClockWatch(ACCURACY_MS, synchronised=False, readings=machine.readings())
    machine.wall += step
    assert "was set by" in (watch.objection() or "")
    machine.wall -= step
    assert watch.objection() is None


def test_small_steps_add_up() -> None:
    machine = FakeReadings()
    watch = ClockWatch(ACCURACY_MS, synchronised=False, readings=machine.readings())
    machine.wall += 0.5
    assert watch.objection() is None
    machine.wall += 0.5
    assert watch.objection() is not None


def test_where_asked_for_the_kernel_must_be_synchronised() -> None:
    machine = FakeReadings()
    watch = ClockWatch(ACCURACY_MS, synchronised=True, readings=machine.readings())
    assert watch.objection() is None
    machine.error = None
    assert watch.objection() == "the system's clock is not synchronised"
    machine.error = ACCURACY_MS
    assert watch.objection() is None
    machine.error = ACCURACY_MS + 1
    assert "may be wrong" in (watch.objection() or "")


@pytest.mark.parametrize(
    ("result", "status", "expected"),
    [(0, 0x2001, 16.5), (5, 0x2001, 16.5), (0, 0x0041, None), (-1, 0x2001, None)],
)
def test_the_kernels_word_is_read(
    monkeypatch: pytest.MonkeyPatch, result: int, status: int, expected: float | None
) -> None:
    """adjtimex(2): the bound in microseconds, STA_UNSYNC, a call that fails."""

    class Kernel:
        def __init__(self, name: None, use_errno: bool) -> None:
            pass

        def adjtimex(self, answer: Any) -> int:
            answer._obj.maxerror, answer._obj.status = 16_500, status
            return result

    monkeypatch.setattr("proof.timestamps.tsa.clock_watch.ctypes.CDLL", Kernel)
    assert kernel_error_ms() == expected


def test_this_machine_can_be_read() -> None:
    assert SYSTEM.wall() > 1.7e9
    assert SYSTEM.since_boot() > 0
    error = SYSTEM.error_ms()
    assert error is None or error >= 0


def test_no_token_is_issued_while_the_clock_is_wrong() -> None:
    machine = FakeReadings()
    authority = development_authority(SystemClock(), machine.readings())
    granted = authority.answer(RIGHT)
    machine.wall += 60
    refused = authority.answer(RIGHT)
    assert b"the clock was set" in refused
    assert len(refused) < len(granted)
    machine.wall -= 60
    assert len(authority.answer(RIGHT)) > len(refused)
