"""The sample shop as a program: what it says before it serves."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

SHOP = Path(__file__).parents[2] / "examples" / "shop" / "shop.py"


def shop(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    kept = {
        name: value for name, value in os.environ.items() if not name.startswith(("PROOF_", "SHOP"))
    }
    return subprocess.run(
        [sys.executable, SHOP, *arguments],
        env=kept | environment,
        capture_output=True,
        text=True,
        timeout=60,
    )


@pytest.mark.parametrize(("argument", "code"), [("--help", 0), ("8431", 2)])
def test_an_argument_is_answered_with_what_the_shop_needs(argument: str, code: int) -> None:
    done = shop(argument, PROOF_URL="http://127.0.0.1:9", PROOF_CLIENT_TOKEN="t")
    assert done.returncode == code
    assert "SHOP_PORT" in (done.stderr if code else done.stdout)


def test_what_is_not_set_is_named() -> None:
    done = shop(PROOF_URL="http://127.0.0.1:9")
    assert (done.returncode, done.stderr) == (2, "set PROOF_CLIENT_TOKEN\n")


def test_a_port_that_is_taken_is_said_with_the_way_out() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = shop(PROOF_URL="http://127.0.0.1:9", PROOF_CLIENT_TOKEN="t", SHOP_PORT=str(port))
    assert (done.returncode, "SHOP_PORT" in done.stderr) == (2, True)
    assert "Traceback" not in done.stderr
