"""The parameters that the operator's URLs share."""

from proof.api.operations import Parameter
from proof.api.operator_webhooks import ID_MAX
from proof.partners.types import Environment

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


def limit(default: int, most: int) -> Parameter:
    """How long a page may be."""
    schema = {"type": "integer", "minimum": 1, "maximum": most, "default": default}
    return Parameter("limit", "query", "how many at most", schema, required=False)
