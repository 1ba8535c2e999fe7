"""What the tests of the commands share."""

import json
import re
from collections.abc import Callable
from typing import Any

from typer.testing import Result

Proof = Callable[..., Result]

ADD = ("partner", "add", "--name", "Acme", "--email", "ops@acme.example", "--ip", "203.0.113.7")
TRON = "TR7NHqjeKQxGTCi8q8ZY4pL8otSzgjLj6t"
SECRET = re.compile(r"proof_(live|test|ops)_\w+|whsec_\S+")


def done(result: Result) -> str:
    assert result.exit_code == 0, result.output
    return result.stdout


def added(proof: Proof, *options: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(done(proof(*ADD, *options, "--json")))
    return found


def shown(proof: Proof, partner_id: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(done(proof("partner", "show", partner_id, "--json")))
    return found
