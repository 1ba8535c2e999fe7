"""The simulator posts to this installation, and to nobody else."""

import pytest

from proof.outbound import InvalidTargetError
from proof.ramp.providers.simulator.background import OwnAddressPolicy

POLICY = OwnAddressPolicy(base_url="http://127.0.0.1:8420/sandbox")


def test_only_what_lies_below_the_base_url_is_called() -> None:
    POLICY.check_url("http://127.0.0.1:8420/sandbox/providers/sandbox/1/callback")
    POLICY.check_address("127.0.0.1", 8420)
    for elsewhere in (
        "http://127.0.0.1:8420/sandboxes/x",
        "http://127.0.0.1:8421/sandbox/x",
        "http://127.0.0.1:8420@elsewhere.example/sandbox/x",
        "https://elsewhere.example/http://127.0.0.1:8420/sandbox/x",
        "",
    ):
        with pytest.raises(InvalidTargetError):
            POLICY.check_url(elsewhere)
