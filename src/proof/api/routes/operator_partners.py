"""The operator's URLs of partners: their records, and handing them over."""

from functools import partial

from proof.api.operations import Answer, Operation, Parameter
from proof.api.operator import OperatorHandlers
from proof.api.operator_wire import (
    EditAnswer,
    EditRequest,
    HandoverAnswer,
    NewPartnerAnswer,
    NewPartnerRequest,
    PartnerPage,
)
from proof.api.routes.operator_parameters import PARTNER, limit
from proof.api.services import Services
from proof.partners.access.operators import OperatorScope
from proof.partners.records.service import PAGE_MAX
from proof.partners.records.view import PartnerView

_RECORD_LIMIT = 1024 * 1024
_MARKDOWN = "text/markdown"

_AFTER = Parameter(
    "after", "query", "`next` of the page before", {"type": "string"}, required=False
)


def partner_record_routes(services: Services) -> list[Operation]:
    """They exist without prefix only: one operator looks after both environments."""
    handlers = OperatorHandlers(services)
    operation = partial(Operation, tag="operator", in_sandbox=False)
    read = partial(operation, operator_scope=OperatorScope.READ)
    write = partial(operation, operator_scope=OperatorScope.WRITE)
    view = {200: Answer("the partner", PartnerView)}
    return [
        write(
            "POST", "/operator/v1/partners", handlers.add, "Onboard a partner",
            {201: Answer("the partner, and its secrets this once or a link to them", NewPartnerAnswer)},
            body=NewPartnerRequest, body_limit=_RECORD_LIMIT, refuses=(400, 413),
        ),
        read(
            "GET", "/operator/v1/partners", handlers.list, "List partners",
            {200: Answer("a page", PartnerPage)},
            parameters=(_AFTER, limit(PAGE_MAX, PAGE_MAX)), refuses=(400,),
        ),
        read(
            "GET", "/operator/v1/partners/{partner_id}", handlers.show, "Show a partner", view,
            parameters=(PARTNER,), refuses=(404,),
        ),
        write(
            "PATCH", "/operator/v1/partners/{partner_id}", handlers.edit, "Change a partner",
            {200: Answer("the partner, and what changed", EditAnswer)},
            body=EditRequest, body_limit=_RECORD_LIMIT,
            parameters=(PARTNER,), refuses=(400, 404, 409, 413),
        ),
        write(
            "POST", "/operator/v1/partners/{partner_id}/suspend", handlers.suspend,
            "Suspend a partner: every call of its is refused", view,
            parameters=(PARTNER,), refuses=(404,),
        ),
        write(
            "POST", "/operator/v1/partners/{partner_id}/resume", handlers.resume,
            "End a suspension", view,
            parameters=(PARTNER,), refuses=(404,),
        ),
        read(
            "GET", "/operator/v1/partners/{partner_id}/handover", handlers.handover,
            "Integration sheet, without secrets",
            {200: Answer("a page for the partner's developers", content_type=_MARKDOWN)},
            parameters=(PARTNER,), refuses=(404,),
        ),
        write(
            "POST", "/operator/v1/partners/{partner_id}/handover", handlers.renew,
            "Issue new tokens, behind a link that shows them once",
            {201: Answer("the link; the old tokens end as after a rotation", HandoverAnswer)},
            parameters=(PARTNER,), refuses=(404,),
        ),
    ]  # fmt: skip
