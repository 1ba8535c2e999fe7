"""A record: what it may hold, what a change makes of it, and the partner file."""

import re
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from proof.core.errors import InvalidInputError
from proof.partners.records.changes import (
    PartnerChange,
    differences,
    merged,
)
from proof.partners.records.checks import checked, is_email, very_wide
from proof.partners.records.file import parse_partner_file, partner_file
from proof.partners.records.sandbox import NEW_SANDBOX
from proof.partners.records.types import EnvironmentRecord, MonthlyLimits, PartnerRecord, Wallet
from proof.partners.records.view import missing, view
from proof.partners.types import Environment
from proof.web.contents import source

TRON = "TR7NHqjeKQxGTCi8q8ZY4pL8otSzgjLj6t"
BURN = "0x000000000000000000000000000000000000dEaD"
RECORD = PartnerRecord(
    partner_id="ptr_1",
    name="Acme",
    contact_email="ops@acme.example",
    status="active",
    version=3,
    created_at=datetime(2026, 11, 21, tzinfo=UTC),
    production=EnvironmentRecord(ips=("203.0.113.7/32",)),
    sandbox=NEW_SANDBOX,
)
FULL: dict[str, Any] = {
    "off_ramp": True,
    "currencies": ("USDT", "BTC"),
    "networks": ("TRC20", "BTC"),
    "wallets": (Wallet("USDT", "TRC20", TRON),),
}


def changed(**production: Any) -> PartnerRecord:
    """RECORD with those fields of production, as an operator's JSON would say them, checked."""
    raw = {"production": msgspec.to_builtins(FULL | production)}
    return checked(merged(RECORD, msgspec.convert(raw, PartnerChange)))


def test_the_record_a_partner_begins_with_is_good() -> None:
    assert checked(RECORD) == RECORD


BAD: dict[str, tuple[dict[str, Any], str]] = {
    "no address": ({"ips": []}, "production.ips: at least one"),
    "not an address": ({"ips": ["1.2.3.4", "x"]}, r"production.ips\[1\]: 'x' is not an IP"),
    "host bits": ({"ips": ["10.0.0.1/8"]}, r"ips\[0\]: .* the network is 10.0.0.0/8"),
    "NUL": ({"ips": ["1.2.3.4\x00"]}, r"production.ips\[0\]"),
    "timestamp address": ({"timestamp_ips": [""]}, r"production.timestamp_ips\[0\]"),
    "currency": ({"currencies": ["usdt"]}, r"production.currencies\[0\]: 'usdt'"),
    "network": ({"networks": ["TRC20", "SOL"]}, r"production.networks\[1\]: .* known: BTC, ETH"),
    "wallet's network": (
        {"wallets": [{"currency": "SOL", "network": "SOL", "address": "x"}]},
        r"production.wallets\[0\].network",
    ),
    "wallet's currency": (
        {"wallets": [{"currency": "", "network": "BTC", "address": "x"}]},
        r"production.wallets\[0\].currency",
    ),
    "wallet's address": (
        {"wallets": [{"currency": "USDT", "network": "TRC20", "address": TRON[:-1] + "x"}]},
        r"production.wallets\[0\].address: .* checksum",
    ),
    "two wallets for a pair": (
        {"wallets": [{"currency": "USDT", "network": "TRC20", "address": TRON}] * 2},
        r"production.wallets\[1\]: there is another",
    ),
    "insecure origin": (
        {"widget_origins": ["http://shop.example"]},
        r"production.widget_origins\[0\]",
    ),
    "origin": ({"widget_origins": ["https://a.example/x"]}, r"production.widget_origins\[0\]"),
    "sell without off-ramp": (
        {"off_ramp": False, "widget_config": {"type": "sell"}},
        "production.widget_config.type: sell needs off_ramp",
    ),
    "widget currency not enabled": (
        {"widget_config": {"currencies": ["ETH"]}},
        r"production.widget_config.currencies\[0\]: 'ETH' is not enabled here; enabled: USDT, BTC",
    ),
    "widget network not enabled": (
        {"widget_config": {"networks": ["ERC20"]}},
        r"production.widget_config.networks\[0\]",
    ),
    "fiat currency": ({"widget_config": {"fiat_currency": "eur"}}, "widget_config.fiat_currency"),
    "fiat currency not offered": (
        {"widget_config": {"fiat_currency": "EUR", "fiat_currencies": ["USD"]}},
        "widget_config.fiat_currency: EUR is not one of fiat_currencies",
    ),
    "fiat currencies": (
        {"widget_config": {"fiat_currencies": ["EURO"]}},
        r"widget_config.fiat_currencies\[0\]",
    ),
    "language": ({"widget_config": {"lang": "EN_us"}}, "widget_config.lang"),
    "theme": ({"widget_config": {"theme": "a b"}}, "widget_config.theme"),
    "plain redirect": ({"widget_config": {"redirect_url": "http://a.example"}}, "redirect_url"),
    "redirect with a user": (
        {"widget_config": {"redirect_url": "https://u@a.example"}},
        "redirect_url",
    ),
    "redirect without host": ({"widget_config": {"redirect_url": "https:///x"}}, "redirect_url"),
    "redirect of script": ({"widget_config": {"redirect_url": "javascript:1"}}, "redirect_url"),
    "too many": ({"ips": ["1.2.3.4"] * 501}, "production.ips: at most 500"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_wrong_value_is_refused_by_its_name(case: str) -> None:
    fields, said = BAD[case]
    with pytest.raises(InvalidInputError, match=said):
        changed(**fields)


@pytest.mark.parametrize(
    "text",
    [
        "root,ops@acme.example",
        "ops@acme.example,root.x",
        "ops<root@acme.example",
        "<root>ops@acme.example",
        "root;ops@acme.example",
        "team:ops@acme.example",
        "(ops)root@acme.example",
        '"ops@acme.example',
        "ops\\@acme.example",
        "ops@[192.0.2.1]",
    ],
)
def test_what_mail_programs_read_otherwise_is_no_address(text: str) -> None:
    assert not is_email(text)
    with pytest.raises(InvalidInputError, match="contact_email"):
        checked(msgspec.structs.replace(RECORD, contact_email=text))


def test_ordinary_addresses_are_taken() -> None:
    for text in ("ops@acme.example", "o'neil+x/y=z@mail.acme.example", "jörg@bücher.example"):
        assert is_email(text)


def test_values_are_kept_in_their_canonical_form() -> None:
    record = changed(
        ips=["2001:DB8::1", "10.0.0.0/8", "::ffff:192.0.2.1", "10.0.0.0/8"],
        currencies=["USDT", "BTC", "USDT"],
        networks=["TRC20", "BTC", "ERC20"],
        wallets=[
            {"currency": "USDT", "network": "TRC20", "address": TRON, "active": False},
            {"currency": "USDT", "network": "ERC20", "address": BURN.lower()},
        ],
    ).production
    assert record.ips == ("10.0.0.0/8", "192.0.2.1/32", "2001:db8::1/128")
    assert record.currencies == ("USDT", "BTC")
    assert [wallet.address for wallet in record.wallets] == [BURN, TRON]
    assert checked(msgspec.structs.replace(RECORD, production=record)).production == record


def test_what_a_change_does_not_name_stays() -> None:
    before = changed(limits={"proofs": 7}, widget_config={"lang": "en", "theme": "dark"})
    raw = {"production": {"limits": {"status": 1}, "widget_config": {"lang": ""}}}
    after = merged(before, msgspec.convert(raw, PartnerChange))
    assert after.production.limits == MonthlyLimits(proofs=7, status=1)
    assert (after.production.widget_config.lang, after.production.widget_config.theme) == (
        "",
        "dark",
    )
    assert [
        (difference.field, difference.before, difference.after)
        for difference in differences(before, after)
    ] == [
        ("production.widget_config.lang", "en", ""),
        ("production.limits.status", "unlimited", 1),
    ]


def test_wallets_are_compared_one_by_one() -> None:
    before = changed()
    after = changed(wallets=[{"currency": "USDC", "network": "TRC20", "address": TRON}])
    assert [
        (difference.field, difference.before, difference.after)
        for difference in differences(before, after)
    ] == [
        ("production.wallets.USDT/TRC20", {"address": TRON, "active": True}, None),
        ("production.wallets.USDC/TRC20", None, {"address": TRON, "active": True}),
    ]


@pytest.mark.parametrize(
    ("network", "wide"),
    [
        ("0.0.0.0/0", True), ("10.0.0.0/7", True), ("10.0.0.0/8", False), ("::/0", True),
        ("2001::/31", True), ("2001:db8::/32", False), ("2001:db8::/128", False),
    ],
)  # fmt: skip
@pytest.mark.parametrize("field", ["ips", "timestamp_ips"])
def test_which_networks_are_very_wide(network: str, wide: bool, field: str) -> None:
    raw = {"production": {field: [network]}}
    after = merged(RECORD, msgspec.convert(raw, PartnerChange))
    expected = [f"production.{field}: {network}"] if wide else []
    assert very_wide(RECORD, after) == expected
    assert very_wide(after, after) == [], "what is there already needs no force again"


def test_what_is_missing() -> None:
    assert missing(EnvironmentRecord()) == (
        "ips: no address may use the client_token",
        "currencies: none is enabled",
        "networks: none is enabled",
    )
    assert missing(changed(currencies=["USDT"]).production) == ()
    inactive = [{"currency": "USDT", "network": "TRC20", "address": TRON, "active": False}]
    cases: list[dict[str, Any]] = [{"wallets": inactive}, {"networks": ["BTC"]}, {"wallets": []}]
    for lacking in cases:
        (said,) = missing(changed(**{"currencies": ["USDT"]} | lacking).production)
        assert said.startswith("wallets: no active one for USDT")
    assert missing(NEW_SANDBOX) == ("ips: no address may use the client_token",)


def test_the_view_says_where_and_what_is_missing() -> None:
    urls = {Environment.PRODUCTION: "https://p.example", Environment.SANDBOX: "https://s.example"}
    shown = view(RECORD, urls, {Environment.PRODUCTION: ("a provider",)})
    assert (shown.production.base_url, shown.sandbox.base_url) == tuple(urls.values())
    assert shown.production.missing[-1] == "a provider"
    assert len(shown.production.missing) > 1
    assert "a provider" not in shown.sandbox.missing
    assert shown.sandbox.wallets == NEW_SANDBOX.wallets


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=50), st.booleans())
def test_a_record_as_a_file_and_back_is_the_same(name: str, active: bool) -> None:
    wallet = {"currency": "USDT", "network": "TRC20", "address": TRON, "active": active}
    record = msgspec.structs.replace(changed(wallets=[wallet], limits={"proofs": 9}), name=name)
    read = parse_partner_file(partner_file(record))
    assert read.partner_id == record.partner_id
    assert merged(record, read) == record
    # Nothing was left to the record: the file alone says it all.
    blank = msgspec.structs.replace(
        RECORD, production=EnvironmentRecord(), sandbox=EnvironmentRecord()
    )
    assert merged(blank, read) == record


def test_the_file_in_the_documentation_is_a_good_one() -> None:
    (text,) = re.findall(r"```toml\n(.*?)```", source("partners"), re.S)
    after = checked(merged(RECORD, parse_partner_file(text)))
    assert after.production.off_ramp
    assert [wallet.active for wallet in after.production.wallets] == [False, True]
    assert missing(after.production) == ("wallets: no active one for BTC on an enabled network",)


BAD_FILES = {
    "": "partner_id",
    "partner_id = 1": "partner_id",
    "name = 'x'": "partner_id",
    "partner_id = 'p'\nnmae = 'x'": "nmae",
    "partner_id = 'p'\n[production]\nwidget_id = 'w'": r"widget_id.*\$.production",
    "partner_id = 'p'\n[production]\nips = '1.2.3.4'": r"array.*production.ips",
    "partner_id = 'p'\n[production.limits]\nproofs = -1": "production.limits.proofs",
    "partner_id = 'p'\n[production.limits]\nproofs = 'many'": "production.limits.proofs",
    "partner_id = 'p'\n[production]\nwallets = [{currency='A'}]": "network",
    "partner_id = 'p'\n[production.widget_config]\ntype = 'swap'": "widget_config.type",
    "partner_id = 'p'\n[production": "not TOML",
    "partner_id = 'p'\npartner_id = 'p'": "not TOML",
    "x = " + "[" * 5000: "not TOML",
    "#" * 1_000_001: "over 1000000 characters",
}


@pytest.mark.parametrize("text", BAD_FILES, ids=range(len(BAD_FILES)))
def test_a_wrong_file_is_refused_with_the_place(text: str) -> None:
    with pytest.raises(InvalidInputError, match=BAD_FILES[text]):
        parse_partner_file(text)
