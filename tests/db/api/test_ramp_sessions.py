"""Sessions as a partner's backend opens them, field for field as the contract has it."""

import pytest
from tests.support.application import Platform
from tests.support.sessions import BODY, WALLET, open_session, ramp_partner

from proof.partners.keys.session_signing import SessionParameters, verify
from proof.partners.types import Environment


@pytest.mark.parametrize("environment", Environment)
async def test_a_session_is_answered_field_for_field(
    platform: Platform, environment: Environment
) -> None:
    shop = await ramp_partner(platform)
    answer = await open_session(platform, shop, environment, {"client_ip": "192.0.2.77"})
    assert (answer.status, answer.headers["content-type"]) == (200, "application/json")
    assert answer.headers["x-request-id"].startswith("req_")
    assert "idempotency-hit" not in answer.headers
    body = answer.json
    identity, token, signature = (
        body.pop(name) for name in ("merchant_transaction_id", "init_token", "signature")
    )
    assert len(token) == 43
    assert body == {
        "widget_id": shop.widget_id(environment),
        "address": WALLET,
        "init_token_type": "sdk_partner_authorization",
        "currency": "USDT",
        "currencies": ["USDT", "BTC"],
        "fix_currency": True,
        "network": "TRC20",
        "networks": ["TRC20", "ERC20", "BTC"],
        "fix_network": ["TRC20"],
        "amount": "25.5",
        "fix_amount": True,
        "fiat_currency": "USD",
        "fiat_currencies": ["EUR", "USD"],
        "fix_fiat_currency": False,
        "fix_fiat_amount": True,
        "type": "buy",
        "lang": "en",
        "theme": "dark",
        "redirect_url": "https://shop.example/thanks",
    }
    async with platform.database.connection() as connection:
        await verify(
            connection,
            platform.vault,
            environment,
            SessionParameters(WALLET, "192.0.2.77", identity),
            signature,
            platform.clock.now(),
        )
    found = await shop.call(platform, environment, "GET", f"/widget/transactions/{identity}")
    created = found.json["created_at"]
    assert created.endswith("Z")
    assert (found.status, found.json) == (
        200,
        {
            "merchant_transaction_id": identity,
            "partner_user_id": BODY["partner_user_id"],
            "type": "buy",
            "status": "pending",
            "currency": "USDT",
            "network": "TRC20",
            "crypto_amount": "25.5",
            "fiat_currency": "",
            "fiat_amount": "",
            "fiat_fee": "",
            "rate": "",
            "payment_method": "",
            "failure_reason": "",
            "chain_transaction": "",
            "chain_transaction_url": "",
            "refund_status": "none",
            "refund_amount": "",
            "refunded_at": "",
            "partner_reference": "",
            "created_at": created,
            "updated_at": created,
            "occurred_at": created,
            "record_sha256": "",
        },
    )
    kyc = await shop.call(
        platform, environment, "GET", f"/widget/users/{BODY['partner_user_id']}/kyc-status"
    )
    assert (kyc.status, kyc.json) == (
        200,
        {"partner_user_id": BODY["partner_user_id"], "status": "not_started"},
    )
