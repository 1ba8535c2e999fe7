"""Bad input to POST /widget/session: a 4xx that names the field, and nothing stored."""

import json
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.support.application import Answer, Platform
from tests.support.sessions import BODY, MERCURYO, OWN, Shop, open_session, ramp_partner

from proof.partners.audit import Actor
from proof.partners.records.types import AmountRange, Wallet, WidgetConfig
from proof.partners.types import Environment
from proof.ramp.providers.accounts import add_account, remove_account
from proof.ramp.providers.registry import provider_named

Run = Callable[[Any], Any]
SANDBOX = Environment.SANDBOX
BAD = 400, "invalid_request", "validation_error"
NO_TEXT: list[Any] = [None, 1, 1.5, True, {}, [], ["x"]]
AMOUNTS = [
    "0",
    "0.0",
    "-1",
    "+1",
    "1e3",
    "1E3",
    "NaN",
    "Infinity",
    "inf",
    "",
    " 1",
    "1 ",
    ".5",
    "5.",
]
AMOUNTS += [
    "0." + "1" * 19,
    "9" * 10_000,
    "0." + "0" * 10_000 + "1",
    "1,5",
    "0x1",
    "١",
    "1_0",
    "1\n",
]
AMOUNTS += ["00", "01", "½", "1/2"]
EMAILS = ["", "x", "x@", "@x.example", "x@y", "a b@x.example", "x@y.example\r\nBcc: z@y.example"]
EMAILS += ["x@y.example\x00", "x" * 250 + "@y.example", "x@y.example,z@y.example ", "x@@y.example"]
USERS = ["", " ", "x" * 256, "a\x00b", "a\r\nSet-Cookie: x", "\u2028", "a\tb"]
REDIRECTS = [
    "javascript:alert(1)",
    "http://shop.example/",
    "//shop.example",
    "/thanks",
    "",
    "https://",
]
REDIRECTS += [
    "data:text/html,x",
    "https://shop.example/\r\nSet-Cookie: x",
    "https://u@shop.example/",
]
REDIRECTS += [
    "HTTPS:javascript",
    "https://shop.example/" + "x" * 2010,
    "https://shöp.example/",
    " https://a.b",
]
IPS = [
    "",
    "x",
    "1.2.3",
    "1.2.3.4/32",
    "fe80::1%eth0",
    "1.2.3.4\r\n",
    "01.2.3.4",
    "1.2.3.4, 5.6.7.8",
]
ADDRESSES = [
    "",
    "x",
    WALLET_TYPO := OWN[:-1] + "e",
    OWN + "\n",
    "0x742d35Cc6634C0532925a3b844Bc454e4438f44e",
]
ADDRESSES += ["T" * 10_000]
CASES: list[tuple[str, list[Any]]] = [
    ("partner_user_id", NO_TEXT + USERS),
    ("user_email", NO_TEXT + EMAILS),
    ("network", NO_TEXT),
    ("currency", NO_TEXT),
    ("amount", NO_TEXT + AMOUNTS),
    ("type", [*NO_TEXT, "", "BUY", "swap"]),
    ("redirect_url", NO_TEXT + REDIRECTS),
    ("client_ip", NO_TEXT + IPS),
    ("address", NO_TEXT + ADDRESSES),
]


def told(answer: Answer, status: int, error: str, code: str) -> str:
    """Checks an error; its message."""
    assert list(answer.json) == ["error", "code", "message"]
    assert (answer.status, answer.json["error"], answer.json["code"]) == (status, error, code)
    return str(answer.json["message"])


async def stored(platform: Platform) -> int:
    found = await platform.fetch(
        "SELECT (SELECT count(*) FROM ramp_transactions) + (SELECT count(*) FROM ramp_users)"
        " + (SELECT count(*) FROM ramp_personal) + (SELECT count(*) FROM ramp_sessions)"
        " + (SELECT count(*) FROM idempotency_keys) AS rows"
    )
    return int(found[0]["rows"])


async def posted(platform: Platform, shop: Shop, body: bytes, **options: Any) -> Answer:
    return await shop.call(platform, SANDBOX, "POST", "/widget/session", body, **options)


@pytest.mark.parametrize(("field", "values"), CASES, ids=[name for name, _ in CASES])
async def test_a_wrong_value_is_refused_by_the_name_of_its_field(
    platform: Platform, field: str, values: list[Any]
) -> None:
    shop = await ramp_partner(platform, own_address=True)
    before = await stored(platform)
    for value in values:
        raw = json.dumps({**BODY, field: value}).encode()
        answer = await posted(platform, shop, raw, headers=[("idempotency-key", "k")])
        assert field in told(answer, *BAD), (value, answer)
        assert len(answer.body) < 1000
    assert await stored(platform) == before


@pytest.mark.parametrize("field", BODY)
async def test_a_required_field_cannot_be_left_out(platform: Platform, field: str) -> None:
    shop = await ramp_partner(platform)
    answer = await open_session(platform, shop, SANDBOX, {field: None})
    assert f"`{field}`" in told(answer, *BAD)


async def test_an_unknown_field_is_refused(platform: Platform) -> None:
    shop = await ramp_partner(platform)
    answer = await open_session(platform, shop, SANDBOX, {"fix_amount": True})
    assert "`fix_amount`" in told(answer, *BAD)


DEEP = b'{"partner_user_id":' + b"[" * 30_000 + b"]" * 30_000 + b"}"
NO_JSON = [b"", b"{", b"x", b"\xff\xfe", b'{"user_email":"\xff"}', b'{"amount":"\\ud800"}', b"{}{}"]
NO_JSON += [b"[]", b'"x"', b"1", b"null", b"true", b"[" * 60_000, b'{"a":' * 12_000, b"{'a':1}"]


@pytest.mark.parametrize("raw", NO_JSON, ids=range(len(NO_JSON)))
async def test_what_is_no_object_is_a_decode_error(platform: Platform, raw: bytes) -> None:
    shop = await ramp_partner(platform)
    answer = await posted(platform, shop, raw)
    assert answer.status == 400
    # What is wrong with an object's fields is found before what comes after it is looked at.
    code = "validation_error" if raw.startswith((b'{"a":', b"{}{}")) else "decode_error"
    assert (answer.json["error"], answer.json["code"]) == ("invalid_request", code)


async def test_deep_and_large_bodies_are_refused(platform: Platform) -> None:
    shop = await ramp_partner(platform)
    assert "partner_user_id" in told(await posted(platform, shop, DEEP), *BAD)
    large = json.dumps({**BODY, "amount": "1" * 65_536}).encode()
    for options in ({}, {"chunks": [large[:40_000], large[40_000:]]}):
        answer = await posted(platform, shop, large, **options)
        told(answer, 413, "invalid_request", "body_too_large")
        assert answer.headers["connection"] == "close"


async def test_what_the_operator_has_not_enabled(platform: Platform) -> None:
    shop = await ramp_partner(platform)
    await ramp_partner(
        platform,
        currencies=("ETH",),
        networks=("ETH",),
        wallets=(Wallet("ETH", "ETH", "0x1B4239394926d24d9062c4648806F3807da9bFDf"),),
    )
    before = await stored(platform)
    for changes, status, error, code in (
        ({"currency": "ETH"}, 400, "invalid_request", "currency_not_allowed"),
        ({"currency": "x" * 60_000}, 400, "invalid_request", "currency_not_allowed"),
        ({"network": "ETH"}, 400, "invalid_request", "network_not_allowed"),
        ({"network": "trc20"}, 400, "invalid_request", "network_not_allowed"),
        ({"network": "BTC"}, 400, "wallet_not_supported", "WALLET_NOT_SUPPORTED"),
        ({"network": "ERC20"}, 400, "wallet_not_supported", "WALLET_NOT_SUPPORTED"),
        ({"type": "sell"}, 403, "forbidden", "offramp_disabled"),
    ):
        answer = await open_session(platform, shop, SANDBOX, changes)
        said = told(answer, status, error, code)
        assert said.startswith(next(iter(changes)) + ":")
        assert len(said) < 300
    assert await stored(platform) == before


ETHEREUM = "0x742d35Cc6634C0532925a3b844Bc454e4438f44e"
BITCOIN = "1BvBMSEYstWetqTFn5Au4m4GFg7xJaNVN2"


@pytest.mark.parametrize(
    ("currency", "network", "address", "code"),
    [
        ("BTC", "TRC20", OWN, "network_not_allowed"),
        ("BTC", "ERC20", ETHEREUM, "network_not_allowed"),
        ("USDT", "BTC", BITCOIN, "network_not_allowed"),
        ("SHIB", "BTC", BITCOIN, "network_not_allowed"),
        ("BTC", "BTC", OWN, "validation_error"),
        ("USDT", "TRC20", ETHEREUM, "validation_error"),
        ("USDT", "ERC20", BITCOIN, "validation_error"),
        ("BTC", "BTC", BITCOIN, None),
        ("USDT", "TRC20", OWN, None),
        ("SHIB", "ERC20", ETHEREUM, None),
    ],
)
async def test_an_own_address_is_of_a_pair_that_there_is(
    platform: Platform, currency: str, network: str, address: str, code: str | None
) -> None:
    shop = await ramp_partner(
        platform, own_address=True, currencies=("USDT", "BTC", "SHIB"), wallets=()
    )
    changes = {"currency": currency, "network": network, "address": address, "amount": "2"}
    answer = await open_session(platform, shop, SANDBOX, changes)
    if code is None:
        assert (answer.status, answer.json["address"]) == (200, address)
        return
    said = told(answer, 400, "invalid_request", code)
    assert said.startswith(
        "network: there is no " if code == "network_not_allowed" else "address: "
    )


async def test_a_wallet_of_a_pair_that_there_is_not_takes_no_coins(platform: Platform) -> None:
    """A record may be older than the check of it."""

    shop = await ramp_partner(platform)
    await platform.fetch(
        "INSERT INTO wallets (partner_environment_id, currency, network, address, active)"
        " SELECT id, 'BTC', 'TRC20', $2, true FROM partner_environments WHERE widget_id = $1",
        shop.widget_id(SANDBOX),
        OWN,
    )
    await platform.poll()
    answer = await open_session(platform, shop, SANDBOX, {"currency": "BTC"})
    assert "it is on BTC" in told(answer, 400, "invalid_request", "network_not_allowed")


RANGE = (AmountRange("USDT", "TRC20", "20", ""), AmountRange("USDT", "ERC20", "", "30.5"))
AMOUNT_CASES = [
    (SANDBOX, (), "1", None),
    (SANDBOX, (), "0.999999", "the minimum is 1 USDT on TRC20"),
    (SANDBOX, (), "1000000.00", None),
    (SANDBOX, (), "1000000.000001", "the maximum is 1000000 USDT on TRC20"),
    (SANDBOX, (), "25.123456", None),
    (SANDBOX, (), "25.1234560", None),
    (SANDBOX, (), "25.1234567", "USDT on TRC20 has at most 6 decimals"),
    (Environment.PRODUCTION, (), "9.99", "the minimum is 10 USDT on TRC20"),
    (Environment.PRODUCTION, (), "10", None),
    (SANDBOX, RANGE, "19.99", "the minimum is 20 USDT on TRC20"),
    (SANDBOX, RANGE, "1000001", "the maximum is 1000000 USDT on TRC20"),
]


@pytest.mark.parametrize(("environment", "amounts", "amount", "bound"), AMOUNT_CASES)
async def test_an_amount_is_within_its_bounds(
    platform: Platform,
    environment: Environment,
    amounts: tuple[AmountRange, ...],
    amount: str,
    bound: str | None,
) -> None:
    shop = await ramp_partner(platform, amounts=amounts)
    before = await stored(platform)
    answer = await open_session(platform, shop, environment, {"amount": amount})
    if bound is None:
        assert answer.status == 200, answer
        return
    assert told(answer, *BAD) == f"amount: {bound}"
    assert await stored(platform) == before


@pytest.mark.parametrize(
    ("currency", "least", "most"),
    [
        ("BTC", "0.00001", "1000"),
        ("ETH", "0.0001", "10000"),
        ("USDT", "1", "1000000"),
        ("USDC", "1", "1000000"),
    ],
)
def test_the_simulators_bounds_are_the_documents(currency: str, least: str, most: str) -> None:
    assert provider_named("sandbox").amounts[currency] == (Decimal(least), Decimal(most))


async def test_bounds_are_the_pairs_own(platform: Platform) -> None:
    wallets = (Wallet("USDT", "BEP20", ETHEREUM), Wallet("USDT", "ERC20", ETHEREUM))
    shop = await ramp_partner(platform, networks=("ERC20", "BEP20"), wallets=wallets, amounts=RANGE)
    fine = {"network": "BEP20", "amount": "31.000000000000000001"}
    assert (await open_session(platform, shop, SANDBOX, fine)).status == 200
    over = await open_session(platform, shop, SANDBOX, {"network": "ERC20", "amount": "30.51"})
    assert told(over, *BAD) == "amount: the maximum is 30.5 USDT on ERC20"


async def test_an_amount_is_answered_in_its_one_form(platform: Platform) -> None:
    shop = await ramp_partner(platform)
    opened = await open_session(platform, shop, SANDBOX, {"amount": "25.500"})
    assert opened.json["amount"] == "25.5"
    path = f"/widget/transactions/{opened.json['merchant_transaction_id']}"
    found = await shop.call(platform, SANDBOX, "GET", path)
    assert found.json["crypto_amount"] == "25.5"


async def test_production_without_a_provider_opens_no_session(platform: Platform) -> None:
    shop, production = await ramp_partner(platform, provider=False), Environment.PRODUCTION
    before = await stored(platform)
    answer = await open_session(platform, shop, production, key="k")
    said = told(answer, 502, "upstream_error", "provider_error")
    assert "proof provider add" in said
    assert await stored(platform) == before
    # What is wrong with the request is told first, and a sandbox has its simulator.
    told(await open_session(platform, shop, production, {"amount": "0"}), *BAD)
    assert (await open_session(platform, shop, SANDBOX)).status == 200
    async with platform.database.transaction() as tx:
        how = (shop.partner.partner_id, production, "mercuryo", MERCURYO, Actor("operator"))
        await add_account(tx, platform.vault, *how)
    opened = await open_session(platform, shop, production, key="k")
    assert opened.status == 200
    async with platform.database.transaction() as tx:
        await remove_account(tx, shop.partner.partner_id, production, Actor("operator"))
    again = await open_session(platform, shop, production, key="k")
    assert (again.status, again.json) == (200, opened.json)


@pytest.mark.parametrize(
    ("reference", "good"),
    [
        ("", True),
        ("order 4711 ✓", True),
        ("x" * 255, True),
        ("x" * 256, False),
        ("a\nb", False),
        ("a\x00", False),
    ],
)
async def test_a_reference_is_told_back_as_it_was_sent(
    platform: Platform, reference: str, good: bool
) -> None:
    shop = await ramp_partner(platform)
    opened = await open_session(platform, shop, SANDBOX, {"partner_reference": reference})
    if not good:
        assert told(opened, *BAD).startswith("partner_reference:")
        return
    path = f"/widget/transactions/{opened.json['merchant_transaction_id']}"
    found = await shop.call(platform, SANDBOX, "GET", path)
    assert found.json["partner_reference"] == reference


async def test_a_sell_once_the_operator_enables_it(platform: Platform) -> None:
    shop = await ramp_partner(platform, off_ramp=True, own_address=True)
    answer = await open_session(platform, shop, SANDBOX, {"type": "sell", "address": OWN})
    assert (answer.status, answer.json["type"]) == (200, "sell")
    # What it gives back goes to the partner's wallet.
    assert answer.json["address"] != OWN


async def test_an_address_of_the_users_only_where_the_operator_allows_it(
    platform: Platform,
) -> None:
    strict, lax = await ramp_partner(platform), await ramp_partner(platform, own_address=True)
    for address in (OWN, WALLET_TYPO):
        ignored = await open_session(platform, strict, SANDBOX, {"address": address})
        assert ignored.status == 200
        assert ignored.json["address"] not in {OWN, WALLET_TYPO}
    taken = await open_session(platform, lax, SANDBOX, {"address": OWN})
    assert taken.json["address"] == OWN
    ethereum = "0x742d35Cc6634C0532925a3b844Bc454e4438f44e"
    changes = {"address": ethereum.lower(), "network": "ERC20"}
    elsewhere = await open_session(platform, lax, SANDBOX, changes)
    assert elsewhere.json["address"] == ethereum
    mistyped = await open_session(
        platform, lax, SANDBOX, {**changes, "address": ethereum[:-1] + "E"}
    )
    assert "checksum" in told(mistyped, *BAD)


async def test_defaults_come_where_the_operator_set_nothing(platform: Platform) -> None:
    shop = await ramp_partner(platform, widget_config=WidgetConfig(networks=("ERC20",)))
    body = (await open_session(platform, shop, SANDBOX)).json
    assert (body["fiat_currency"], body["fiat_currencies"]) == ("EUR", ["EUR", "USD", "GBP"])
    assert (body["networks"], body["lang"], body["redirect_url"]) == (
        ["ERC20", "TRC20"],
        "",
        "",
    )
    changes = {"redirect_url": "https://other.example/?a=b#c"}
    body = (await open_session(platform, shop, SANDBOX, changes)).json
    assert body["redirect_url"] == changes["redirect_url"]


async def test_malformed_path_parameters(platform: Platform) -> None:
    shop = await ramp_partner(platform)
    for path in ("/widget/transactions/x", "/widget/transactions/%00"):
        answer = await shop.call(platform, SANDBOX, "GET", path)
        said = told(answer, 400, "invalid_request", "missing_param")
        assert said.startswith("merchant_transaction_id:")
    for user in ("%00", "x" * 256, "%0d%0a", "%20"):
        answer = await shop.call(platform, SANDBOX, "GET", f"/widget/users/{user}/kyc-status")
        said = told(answer, 400, "invalid_request", "missing_param")
        assert said.startswith("partner_user_id:")


TEXT = st.text(max_size=40)
ANYTHING: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)
NEAR = st.fixed_dictionaries(
    {}, optional={name: st.just(value) | ANYTHING for name, value in BODY.items()}
)
BYTES = NEAR.map(lambda body: json.dumps(body).encode("utf-8", "surrogatepass")) | st.binary(
    max_size=200
)


def test_random_bodies_are_refused_or_right(run: Run, platform: Platform) -> None:
    shop = run(ramp_partner(platform))

    @settings(
        max_examples=150,
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow],
        database=None,
    )
    @given(BYTES, st.none() | TEXT.map(lambda text: text.encode().decode("latin-1")))
    def check(body: bytes, key: str | None) -> None:
        headers = [] if key is None else [("idempotency-key", key)]
        answer = run(posted(platform, shop, body, headers=headers))
        assert answer.status in {200, 400, 422}, (body, key, answer)
        if answer.status >= 400:
            assert list(answer.json) == ["error", "code", "message"]

    check()
