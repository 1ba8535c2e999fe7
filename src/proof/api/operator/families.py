"""What several of the operator's operations share: their family, and parameters."""

from proof.api.forms import CODED
from proof.api.operations import OperationFamily, OperatorCredential, Parameter
from proof.partners.types import Environment

# The audit log's canonical JSON holds whole numbers up to this one.
ID_MAX = 2**53 - 1

PARTNER = Parameter("partner_id", "path", "a partner's id", {"type": "string"})
ENVIRONMENT = Parameter(
    "environment", "path", "of the partner", {"type": "string", "enum": [*Environment]}
)
BEFORE = Parameter(
    "before",
    "query",
    "`next` of the page before",
    {"type": "integer", "minimum": 1, "maximum": ID_MAX},
    required=False,
)
OF = Parameter("partner_id", "query", "one partner's only", {"type": "string"}, required=False)


def operator_family(tag: str) -> OperationFamily:
    """They exist without prefix only: one operator looks after both environments."""
    return OperationFamily(
        tag,
        OperatorCredential(),
        CODED,
        environments=(Environment.PRODUCTION,),
        body_limit=1024 * 1024,
    )


def limit(default: int, most: int) -> Parameter:
    """How long a page may be."""
    schema = {"type": "integer", "minimum": 1, "maximum": most, "default": default}
    return Parameter("limit", "query", "how many at most", schema, required=False)
