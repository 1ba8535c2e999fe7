"""/operator/v1: partners as the operator sees them."""

from functools import partial

import msgspec
import structlog

from proof.api.http import Call, Reply
from proof.api.operations import Answer, Operation, Parameter
from proof.api.operator.families import PARTNER, limit, operator_family
from proof.api.operator.wire import (
    EditAnswer,
    EditRequest,
    HandoverAnswer,
    NewPartnerAnswer,
    NewPartnerRequest,
    PartnerPage,
)
from proof.api.services import Services
from proof.core.errors import InvalidInputError
from proof.db import Connection
from proof.mail import MailError
from proof.partners.audit import Actor
from proof.partners.handover.links import HandoverLink, mail_link, make_link
from proof.partners.handover.opening import renew_credentials, tokens_of
from proof.partners.handover.sheet import PartnerCredentials, credentials, integration_sheet
from proof.partners.records.service import (
    PAGE_MAX,
    Status,
    edit_partner,
    find_partner,
    list_partners,
    set_status,
)
from proof.partners.records.types import TRANSACTION_EVENT, PartnerRecord
from proof.partners.records.view import PartnerView, view
from proof.partners.service import add_partner
from proof.partners.types import Environment
from proof.ramp.providers.accounts import lacking_provider
from proof.webhooks.service import Target

_DIGITS = 6

# No cache may store an answer with secrets or with a link to them.
_NOT_KEPT = ((b"cache-control", b"no-store"),)

_encode = msgspec.json.Encoder().encode

_log = structlog.get_logger()

_MARKDOWN = "text/markdown"

_AFTER = Parameter(
    "after", "query", "`next` of the page before", {"type": "string"}, required=False
)


class OperatorHandlers:
    """The handlers of the operator API."""

    def __init__(self, services: Services) -> None:
        self._services = services

    async def add(self, call: Call) -> Reply:
        """POST /operator/v1/partners."""
        body: NewPartnerRequest = call.body
        services, webhooks, actor = self._services, self._webhooks(), call.actor
        link = None
        async with services.database.transaction() as tx:
            onboarded = await add_partner(
                tx, services.vault, webhooks, body, actor, services.clock, force=body.force
            )
            record = await find_partner(tx, webhooks, onboarded.partner_id)
            if body.link:
                secrets = credentials(onboarded, services.base_urls)
                link = await self._link(tx, record, secrets, actor)
        answer = NewPartnerAnswer(partner=await self._view(record))
        if link is None:
            answer.credentials = credentials(onboarded, services.base_urls)
        else:
            answer.handover_url, answer.expires_at = link.url, link.expires_at.isoformat()
            answer.mailed_to = await self._mailed(record, link)
        return Reply(201, _encode(answer), headers=_NOT_KEPT)

    async def list(self, call: Call) -> Reply:
        """GET /operator/v1/partners."""
        limit = _whole_number("limit", call.query.get("limit", str(PAGE_MAX)))
        async with self._services.database.connection() as connection:
            page = await list_partners(connection, call.query.get("after") or None, limit)
        following = page[-1].partner_id if len(page) == limit else ""
        return Reply(200, _encode(PartnerPage(partners=[*page], next=following)))

    async def show(self, call: Call) -> Reply:
        """GET /operator/v1/partners/{partner_id}."""
        return Reply(200, _encode(await self._view(await self._find(call))))

    async def edit(self, call: Call) -> Reply:
        """PATCH /operator/v1/partners/{partner_id}."""
        body: EditRequest = call.body
        async with self._services.database.transaction() as tx:
            record, changes = await edit_partner(
                tx,
                self._webhooks(),
                call.path["partner_id"],
                body,
                call.actor,
                version=body.version,
                force=body.force,
            )
        return Reply(200, _encode(EditAnswer(partner=await self._view(record), changes=changes)))

    async def suspend(self, call: Call) -> Reply:
        """POST /operator/v1/partners/{partner_id}/suspend."""
        return await self._set_status(call, "suspended")

    async def resume(self, call: Call) -> Reply:
        """POST /operator/v1/partners/{partner_id}/resume."""
        return await self._set_status(call, "active")

    async def handover(self, call: Call) -> Reply:
        """GET /operator/v1/partners/{partner_id}/handover."""
        record = await self._find(call)
        async with self._services.database.connection() as connection:
            lacking = await lacking_provider(connection, record.partner_id)
        sheet = integration_sheet(record, self._services.base_urls, lacking=lacking)
        return Reply(200, sheet.encode(), b"text/markdown; charset=utf-8")

    async def renew(self, call: Call) -> Reply:
        """POST /operator/v1/partners/{partner_id}/handover."""
        services, actor, now = self._services, call.actor, self._services.clock.now()
        async with services.database.transaction() as tx:
            record = await find_partner(tx, self._webhooks(), call.path["partner_id"])
            secrets = await renew_credentials(
                tx, services.vault, record, services.base_urls, actor, now
            )
            link = await self._link(tx, record, secrets, actor)
        answer = HandoverAnswer(
            handover_url=link.url,
            expires_at=link.expires_at.isoformat(),
            mailed_to=await self._mailed(record, link),
        )
        return Reply(201, _encode(answer), headers=_NOT_KEPT)

    async def _set_status(self, call: Call, status: Status) -> Reply:
        async with self._services.database.transaction() as tx:
            record = await set_status(
                tx, self._webhooks(), call.path["partner_id"], status, call.actor
            )
        return Reply(200, _encode(await self._view(record)))

    async def _find(self, call: Call) -> PartnerRecord:
        async with self._services.database.connection() as connection:
            return await find_partner(connection, self._webhooks(), call.path["partner_id"])

    async def _link(
        self, tx: Connection, record: PartnerRecord, secrets: PartnerCredentials, actor: Actor
    ) -> HandoverLink:
        services = self._services
        urls = services.base_urls
        return await make_link(
            tx,
            services.vault,
            record.partner_id,
            tokens_of(secrets),
            urls[Environment.PRODUCTION],
            services.clock.now(),
            actor,
        )

    async def _mailed(self, record: PartnerRecord, link: HandoverLink) -> str | None:
        """The address, when there is a relay and it took the link."""
        mailer = self._services.mailer
        if mailer is None:
            return None
        try:
            return await mail_link(mailer, record, link)
        except MailError as error:
            _log.warning("handover.link_unmailed", partner=record.partner_id, error=error.message)
            return None

    async def _view(self, record: PartnerRecord) -> PartnerView:
        async with self._services.database.connection() as connection:
            lacking = await lacking_provider(connection, record.partner_id)
        return view(record, self._services.base_urls, lacking)

    def _webhooks(self) -> Target:
        return Target(self._services.policy, TRANSACTION_EVENT)


def _whole_number(name: str, text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= _DIGITS):
        raise InvalidInputError(f"{name}: {text[:40]!r} is not a whole number")
    return int(text)


def partner_record_routes(services: Services) -> list[Operation]:
    handlers = OperatorHandlers(services)
    operation = partial(Operation, operator_family("operator"))
    view = {200: Answer("the partner", PartnerView)}
    return [
        operation(
            "POST", "/operator/v1/partners", handlers.add, "Onboard a partner",
            {201: Answer("the partner, and its secrets this once or a link to them", NewPartnerAnswer)},
            body=NewPartnerRequest,
        ),
        operation(
            "GET", "/operator/v1/partners", handlers.list, "List partners",
            {200: Answer("a page", PartnerPage)},
            parameters=(_AFTER, limit(PAGE_MAX, PAGE_MAX)),
        ),
        operation(
            "GET", "/operator/v1/partners/{partner_id}", handlers.show, "Show a partner", view,
            parameters=(PARTNER,), refuses=(404,),
        ),
        operation(
            "PATCH", "/operator/v1/partners/{partner_id}", handlers.edit, "Change a partner",
            {200: Answer("the partner, and what changed", EditAnswer)},
            body=EditRequest, parameters=(PARTNER,), refuses=(404, 409),
        ),
        operation(
            "POST", "/operator/v1/partners/{partner_id}/suspend", handlers.suspend,
            "Suspend a partner: every call of its is refused", view,
            parameters=(PARTNER,), refuses=(404,),
        ),
        operation(
            "POST", "/operator/v1/partners/{partner_id}/resume", handlers.resume,
            "End a suspension", view,
            parameters=(PARTNER,), refuses=(404,),
        ),
        operation(
            "GET", "/operator/v1/partners/{partner_id}/handover", handlers.handover,
            "Integration sheet, without secrets",
            {200: Answer("a page for the partner's developers", content_type=_MARKDOWN)},
            parameters=(PARTNER,), refuses=(404,),
        ),
        operation(
            "POST", "/operator/v1/partners/{partner_id}/handover", handlers.renew,
            "Issue new tokens, behind a link that shows them once",
            {201: Answer("the link; the old tokens end as after a rotation", HandoverAnswer)},
            parameters=(PARTNER,), refuses=(404,),
        ),
    ]  # fmt: skip
