"""/v1/api-key and /v1/webhook: where notices go, what was used, examples."""

from functools import partial
from importlib.resources import files

import msgspec
from msgspec import UNSET

from proof.api.endpoint import presented_token
from proof.api.http import Call, Reply
from proof.api.operations import Answer, Operation
from proof.api.services import Services
from proof.api.timestamps.families import EXAMPLES, SETTINGS
from proof.api.wire import (
    ExampleRequest,
    NotificationBody,
    ProofPayload,
    SettingAnswer,
    SettingRequest,
    TargetBody,
    TimestampData,
    TreeTarget,
    TreeTargetBody,
    UsageAnswer,
    UsageReport,
    UsageRequest,
)
from proof.db import Connection
from proof.outbound import on_behalf_of
from proof.partners.access.tokens import presented
from proof.partners.audit import Actor
from proof.partners.records.own_setting import change_own_setting
from proof.partners.types import PartnerEnvironment
from proof.timestamps.anchors.notices import TREE_EVENT, notified, set_notified
from proof.timestamps.proofs.service import PROOF_EVENT, enabled_currency
from proof.timestamps.submissions.usage import UNLIMITED
from proof.webhooks.service import audited, endpoints, post_once, set_endpoint

_encode = msgspec.json.Encoder().encode


class SettingHandlers:
    """The handlers of an API key's settings."""

    def __init__(self, services: Services) -> None:
        self._services = services

    async def read(self, call: Call) -> Reply:
        """GET /v1/api-key/setting."""
        async with self._services.database.connection() as connection:
            return Reply(200, _encode(await self._setting(connection, call.caller)))

    async def patch(self, call: Call) -> Reply:
        """PATCH /v1/api-key/setting: what is omitted stays, an empty target switches off."""
        async with self._services.database.transaction() as tx:
            setting = await change_own_setting(
                tx,
                call.caller,
                _actor(call),
                read=partial(self._setting, tx, call.caller),
                change=partial(self._change, tx, call.caller, call.body),
                audited=partial(_audited, call.caller),
            )
        return Reply(200, _encode(setting))

    async def usage(self, call: Call) -> Reply:
        """POST /v1/api-key/usage."""
        body: UsageRequest = call.body
        months = await self._services.meter.report(call.caller, body.year, body.month)
        timestamps, proofs, status = (
            UNLIMITED if limit is None else limit for limit in call.caller.limits.all()
        )
        reports = [UsageReport(*month) for month in months]
        answer = UsageAnswer(timestamps, proofs, status, reports)
        return Reply(200, _encode(answer))

    async def proof_example(self, call: Call) -> Reply:
        """POST /v1/webhook/proof/example."""
        return await self._example(call, "proof.json")

    async def tree_example(self, call: Call) -> Reply:
        """POST /v1/webhook/tree/example."""
        return await self._example(call, "tree.json")

    async def _example(self, call: Call, name: str) -> Reply:
        body: ExampleRequest = call.body
        example = files("proof.timestamps.proofs.examples").joinpath(name).read_bytes()
        async with self._services.database.connection() as connection:
            secrets = await self._services.webhook_secrets(connection, call.caller.id)
        services = self._services
        with on_behalf_of(call.caller.id):
            outcome = await post_once(
                services.outbound, services.policy, services.clock, secrets, body.target, example
            )
        return Reply(200, example, headers=((b"x-webhook-outcome", outcome.encode()),))

    async def _change(
        self, tx: Connection, owner: PartnerEnvironment, wanted: SettingRequest
    ) -> None:
        if wanted.notification is not UNSET:
            if wanted.notification.proof is not UNSET:
                await self._target(tx, owner, PROOF_EVENT, wanted.notification.proof.target)
            if wanted.notification.tree is not UNSET:
                await self._tree(tx, owner, wanted.notification.tree)

    async def _target(
        self, tx: Connection, owner: PartnerEnvironment, purpose: str, target: object
    ) -> None:
        if isinstance(target, str):
            await set_endpoint(tx, self._services.policy, owner.id, purpose, target)

    async def _tree(self, tx: Connection, owner: PartnerEnvironment, wanted: TreeTarget) -> None:
        await self._target(tx, owner, TREE_EVENT, wanted.target)
        if wanted.currency_ids is not UNSET:
            name = "notification.tree.currencyIds"
            enabled = self._services.proofs.chains(owner.environment)
            chosen = {enabled_currency(number, enabled, name) for number in wanted.currency_ids}
            await set_notified(tx, owner.id, sorted(chosen))

    async def _setting(self, connection: Connection, owner: PartnerEnvironment) -> SettingAnswer:
        targets = await endpoints(connection, owner.id)
        enabled = self._services.proofs.chains(owner.environment)
        chains = await notified(connection, owner.id, enabled)
        return SettingAnswer(
            NotificationBody(
                TargetBody(targets.get(PROOF_EVENT, "")),
                TreeTargetBody(targets.get(TREE_EVENT, ""), [int(currency) for currency in chains]),
            )
        )


def _actor(call: Call) -> Actor:
    """The partner's token that the gate let in, by its key id."""
    named = presented(presented_token(call.headers.raw) or "")
    assert named is not None, "the route needs a credential"
    return Actor(f"token {named[0]}", str(call.edge.address), call.edge.request_id)


def _audited(owner: PartnerEnvironment, setting: SettingAnswer) -> dict[str, object]:
    found = setting.notification
    return {
        "environment": str(owner.environment),
        "proof": audited(found.proof.target),
        "tree": audited(found.tree.target),
        "currency_ids": list(found.tree.currency_ids),
    }


def setting_routes(services: Services) -> list[Operation]:
    settings = SettingHandlers(services)
    return [
        Operation(
            SETTINGS, "GET", "/v1/api-key/setting", settings.read, "Where notices go",
            {200: Answer("the whole setting", SettingAnswer)},
        ),
        Operation(
            SETTINGS, "PATCH", "/v1/api-key/setting", settings.patch, "Change where notices go",
            {200: Answer("the whole setting", SettingAnswer)},
            body=SettingRequest, in_turn=True,
        ),
        Operation(
            SETTINGS, "POST", "/v1/api-key/usage", settings.usage, "Usage and limits",
            {200: Answer("limits, and one report for each used month", UsageAnswer)},
            body=UsageRequest,
        ),
        Operation(
            EXAMPLES, "POST", "/v1/webhook/proof/example", settings.proof_example,
            "Try a proof webhook",
            {200: Answer("the example, which was also posted to the target", ProofPayload)},
            body=ExampleRequest,
        ),
        Operation(
            EXAMPLES, "POST", "/v1/webhook/tree/example", settings.tree_example,
            "Try a tree webhook",
            {200: Answer("the example, which was also posted to the target", TimestampData)},
            body=ExampleRequest,
        ),
    ]  # fmt: skip
