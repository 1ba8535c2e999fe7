"""Families of timestamping's operations: all are called with a partner's `api_key`."""

from proof.api.forms import MESSAGE
from proof.api.operations import (
    DEFAULT_BODY_LIMIT,
    OperationFamily,
    PartnerCredential,
)
from proof.partners.access.rates import CallClass
from proof.partners.types import CredentialKind


def _family(
    tag: str, call_class: CallClass, body_limit: int = DEFAULT_BODY_LIMIT
) -> OperationFamily:
    """Those of a partner's `api_key`."""
    access = PartnerCredential(CredentialKind.API_KEY, call_class)
    return OperationFamily(tag, access, MESSAGE, body_limit=body_limit)


SUBMISSIONS = _family("timestamps", CallClass.SUBMIT, body_limit=1024 * 1024)
STATES = _family("timestamps", CallClass.READ)
PROOFS = _family("proofs", CallClass.PROOF)
SETTINGS = _family("settings", CallClass.SETTINGS)
EXAMPLES = _family("settings", CallClass.EXAMPLE)
