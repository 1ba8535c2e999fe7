"""When a caller is told to ask again, by the chain's schedule and the tree's status."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from proof.config import load_settings
from proof.main.parts.chains import paces
from proof.partners.types import Environment
from proof.timestamps.anchors.kinds import Pace
from proof.timestamps.proofs.pace import retry_after_s
from proof.timestamps.types import Currency, SubmitStatus

OPENED = datetime(2026, 1, 1, tzinfo=UTC)
BITCOIN = Pace(timedelta(hours=1), timedelta(minutes=10), 6)


@pytest.mark.parametrize(
    ("status", "open_s", "expected"),
    [
        (SubmitStatus.UNSUBMITTED, 0, 3600 + 3600),
        (SubmitStatus.UNSUBMITTED, 1800, 1800 + 3600),
        (SubmitStatus.UNSUBMITTED, 3599.5, 3601),
        (SubmitStatus.UNSUBMITTED, 9999, 3600),
        (SubmitStatus.SUBMITTED, 4000, 3600),
        (SubmitStatus.INCLUDED, 5000, 600),
    ],
)
def test_the_time_left_by_status(status: SubmitStatus, open_s: float, expected: int) -> None:
    now = OPENED + timedelta(seconds=open_s)
    assert retry_after_s(BITCOIN, status, OPENED, now) == expected


@pytest.mark.parametrize("status", [SubmitStatus.UNSUBMITTED, SubmitStatus.INCLUDED])
def test_the_log_takes_a_second(status: SubmitStatus) -> None:
    assert retry_after_s(None, status, OPENED, OPENED) == 1


def test_the_chains_file_sets_the_pace(tmp_path: Path) -> None:
    file = tmp_path / "chains.toml"
    file.write_text(
        """
        [production.bitcoin]
        url = "http://127.0.0.1:8332"
        credentials_file = "cookie"
        every_s = 60
        confirmations = 3
        [production.ethereum]
        url = "http://127.0.0.1:8545"
        key_file = "key"
        [sandbox.tsa]
        url = "https://tsa.example/"
        """
    )
    found = paces(load_settings({"PROOF_CHAINS_FILE": str(file)}))
    assert found == {
        (Environment.PRODUCTION, Currency.BTC): Pace(
            timedelta(minutes=1), timedelta(minutes=10), 3
        ),
        (Environment.PRODUCTION, Currency.ETH): Pace(timedelta(hours=1), timedelta(seconds=12), 96),
        (Environment.SANDBOX, Currency.TSA): Pace(timedelta(minutes=10), timedelta(seconds=1), 1),
    }
