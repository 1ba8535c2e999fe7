"""What several of the ramp's operations share: families of a partner's backend, and a parameter."""

from dataclasses import replace

from proof.api.forms import RAMP
from proof.api.operations import (
    OperationFamily,
    Parameter,
    PartnerCredential,
)
from proof.partners.access.rates import CallClass
from proof.partners.types import CredentialKind, Environment


def _backend(call_class: CallClass) -> OperationFamily:
    """Those of a partner's backend. A stranger learns neither which paths nor which methods there are."""
    access = PartnerCredential(CredentialKind.CLIENT_TOKEN, call_class, from_browsers=False)
    return OperationFamily("ramp", access, RAMP, gated_paths=True)


SESSIONS = _backend(CallClass.SESSION)
READING = _backend(CallClass.READ)
SANDBOX = replace(_backend(CallClass.SANDBOX), environments=(Environment.SANDBOX,))
NOTHING = replace(READING, listed=False)

TRANSACTION = Parameter(
    "merchant_transaction_id",
    "path",
    "a transaction's UUID",
    {"type": "string", "format": "uuid"},
)
