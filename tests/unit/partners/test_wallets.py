"""Wallet addresses: each network's own check, with the vectors of its specification."""

import re
from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proof.core.errors import InvalidInputError
from proof.partners.records.sandbox import NEW_SANDBOX
from proof.partners.types import Environment
from proof.partners.wallets import ChainNetwork, check_address
from proof.partners.wallets.base58 import Base58Error, decode_check

PRODUCTION, SANDBOX = Environment.PRODUCTION, Environment.SANDBOX
BTC, ETH, TRC20 = ChainNetwork.BTC, ChainNetwork.ETH, ChainNetwork.TRC20

# The wiki of Bitcoin (P2PKH, P2SH), BIP 173 and BIP 350.
MAIN_CHAIN = [
    "1BvBMSEYstWetqTFn5Au4m4GFg7xJaNVN2",
    "1111111111111111111114oLvT2",
    "3J98t1WpEZ73CNmQviecrnyiWrnqRhWNLy",
    "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4",
    "bc1qrp33g0q5c5txsp9arysrx4k6zdkfs4nce4xj0gdcccefvpysxf3qccfmv3",
    "bc1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vqzk5jj0",
]
TEST_CHAINS = [
    "mipcBbFg9gMiCh81Kj8tqqdgoZub1ZJRfn",
    "2MzQwSSnBHWHqSAqtTVQ6v47XtaisrJa1Vc",
    "tb1qw508d6qejxtdg4y5r3zarvary0c5xw7kxpjzsx",
    "tb1qqqqqp399et2xygdj5xreqhjjvcmzhxw4aywxecjdzew6hylgvsesrxh6hy",
    "tb1pqqqqp399et2xygdj5xreqhjjvcmzhxw4aywxecjdzew6hylgvsesf3hn0c",
    "bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080",
]

# EIP-55, "Test Cases".
CHECKSUMMED = [
    "0x52908400098527886E0F7030069857D2E4169EE7",
    "0x8617E340B3D01FA5F11F306F4090FD50E238070D",
    "0xde709f2102306220921060314715629080e2fb77",
    "0x27b1fdb04752bbc536007a920d24acb045561c26",
    "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed",
    "0xfB6916095ca1df60bB79Ce92cE3Ea74c37c5d359",
    "0xdbF03B407c01E7cD3CBea99509d93f8DDDC8C6FB",
    "0xD1220A0cf47c7B9Be7A2E6BA89F429762e7b9aDb",
]
TRON = ["TR7NHqjeKQxGTCi8q8ZY4pL8otSzgjLj6t", "TJRabPrwbZy45sbavfcjinPJC18kjpRTv8"]


@pytest.mark.parametrize("address", MAIN_CHAIN)
def test_bitcoin_of_the_main_chain_is_good_everywhere(address: str) -> None:
    assert check_address(BTC, address, PRODUCTION) == address
    assert check_address(BTC, address, SANDBOX) == address


@pytest.mark.parametrize("address", TEST_CHAINS)
def test_bitcoin_of_a_test_chain_is_good_in_the_sandbox_only(address: str) -> None:
    assert check_address(BTC, address, SANDBOX) == address
    with pytest.raises(InvalidInputError, match="is not an address of BTC"):
        check_address(BTC, address, PRODUCTION)


def test_a_segwit_address_in_capitals_is_stored_in_lower_case() -> None:
    assert check_address(BTC, MAIN_CHAIN[3].upper(), PRODUCTION) == MAIN_CHAIN[3]


NO_BITCOIN = {
    # BIP 350, "Test vectors", invalid addresses, and those of BIP 173 that it kept.
    "witness version 2": "bc1zw508d6qejxtdg4y5r3zarvaryvaxxpcs",
    "Bech32 where Bech32m belongs": "bc1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vqh2y7hd",
    "Bech32m where Bech32 belongs": "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kemeawh",
    "invalid character": "bc1p38j9r5y49hruaue7wxjce0updqjuyyx0kh56v8s25huc6995vvpql3jow4",
    "invalid version 17": "BC130XLXVLHEMJA6C4DQV22UAPCTQUPFHLXM9H8Z3K2E72Q4K9HCZ7VQ7ZWS8R",
    "program of 1 byte": "bc1pw5dgrnzv",
    "program of 41 bytes": (
        "bc1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7v8n0nx0muaewav253zgeav"
    ),
    "program of 16 bytes for version 0": "BC1QR508D6QEJXTDG4Y5R3ZARVARYV98GJ9P",
    "mixed case": "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7Kv8f3t4",
    "empty data": "bc1gmk9yu",
    "wrong checksum": "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t5",
    "no data at all": "bc1",
    "Base58 with a wrong character": "1BvBMSEYstWetqTFn5Au4m4GFg7xJaNVN3",
    "Base58 with a zero": "1BvBMSEYstWetqTFn5Au4m4GFg7xJaNVN0",
    "of another chain": "LM2WMpR1Rp6j3Sa59cMXMs1SPzj9eXpGc1",
    "of Tron": TRON[0],
    "of Ethereum": CHECKSUMMED[4],
    "nothing": "",
    "blank around it": " 1BvBMSEYstWetqTFn5Au4m4GFg7xJaNVN2",
    "too long": "1" * 10_000,
    "not ASCII": "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3tä",
}


@pytest.mark.parametrize("case", NO_BITCOIN)
@pytest.mark.parametrize("environment", Environment)
def test_what_is_no_bitcoin_address(case: str, environment: Environment) -> None:
    with pytest.raises(InvalidInputError, match="is not an address of BTC: "):
        check_address(BTC, NO_BITCOIN[case], environment)


@pytest.mark.parametrize("network", [ETH, ChainNetwork.ERC20, ChainNetwork.BEP20])
@pytest.mark.parametrize("address", CHECKSUMMED)
def test_ethereum_is_stored_with_its_checksum(address: str, network: ChainNetwork) -> None:
    digits = address[2:]
    for given_digits in (digits, digits.lower(), digits.upper()):
        assert check_address(network, f"0x{given_digits}", PRODUCTION) == address


@pytest.mark.parametrize("address", CHECKSUMMED[4:])
def test_one_letter_in_the_wrong_case_is_refused(address: str) -> None:
    at = next(at for at, digit in enumerate(address) if at > 1 and digit.isalpha())
    wrong = address[:at] + address[at].swapcase() + address[at + 1 :]
    with pytest.raises(InvalidInputError, match="EIP-55"):
        check_address(ETH, wrong, PRODUCTION)


@pytest.mark.parametrize(
    "address",
    ["", "0x", CHECKSUMMED[0][2:], CHECKSUMMED[0] + "0", CHECKSUMMED[0][:-1], "0X" + "a" * 40,
     "0x" + "g" * 40, "0x" + "٣" * 40, CHECKSUMMED[0] + "\n", TRON[0], MAIN_CHAIN[0]],
)  # fmt: skip
def test_what_is_no_ethereum_address(address: str) -> None:
    with pytest.raises(InvalidInputError, match="40 hexadecimal digits"):
        check_address(ETH, address, PRODUCTION)


@pytest.mark.parametrize("address", TRON)
def test_tron(address: str) -> None:
    for environment in Environment:
        assert check_address(TRC20, address, environment) == address


@pytest.mark.parametrize(
    "address", ["", TRON[0][:-1], TRON[0] + "t", TRON[0].lower(), MAIN_CHAIN[0], CHECKSUMMED[0]]
)
def test_what_is_no_tron_address(address: str) -> None:
    with pytest.raises(InvalidInputError, match="is not an address of TRC20: "):
        check_address(TRC20, address, PRODUCTION)


BASE58 = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"


def encode_check(payload: bytes) -> str:
    """The text of a payload that begins with its version byte."""
    data = payload + sha256(sha256(payload).digest()).digest()[:4]
    number, text = int.from_bytes(data, "big"), ""
    while number:
        number, value = divmod(number, 58)
        text = BASE58[value] + text
    return "1" * (len(data) - len(data.lstrip(b"\0"))) + text


@given(st.binary(max_size=40))
def test_base58check_there_and_back(payload: bytes) -> None:
    if payload:
        assert decode_check(encode_check(payload)) == payload


@given(st.sampled_from(MAIN_CHAIN + TRON), st.data())
def test_one_wrong_character_is_always_found(address: str, data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(address) - 1))
    alphabet = "023456789ACDEFGHJKLMNPQRSTUVWXYZacdefghjklmnpqrstuvwxyz"
    other = data.draw(st.sampled_from(alphabet).filter(lambda item: item != address[at]))
    network = TRC20 if address in TRON else BTC
    wrong = address[:at] + other + address[at + 1 :]
    with pytest.raises(InvalidInputError):
        check_address(network, wrong, PRODUCTION)


@given(st.text(max_size=80), st.sampled_from(ChainNetwork), st.sampled_from(Environment))
def test_no_text_is_anything_but_an_address_or_refused(
    text: str, network: ChainNetwork, environment: Environment
) -> None:
    with pytest.raises(InvalidInputError, match=re.escape(f"is not an address of {network}")):
        check_address(network, text, environment)


def test_base58_with_nothing_but_a_checksum_is_refused() -> None:
    with pytest.raises(Base58Error):
        decode_check(encode_check(b"x")[:4])


def test_every_test_wallet_of_the_sandbox_is_an_address_of_its_network() -> None:
    assert {(item.currency, item.network) for item in NEW_SANDBOX.wallets} == {
        ("USDT", "TRC20"), ("USDT", "ERC20"), ("USDT", "BEP20"), ("BTC", "BTC"), ("ETH", "ETH"),
    }  # fmt: skip
    for wallet in NEW_SANDBOX.wallets:
        assert (
            check_address(ChainNetwork(wallet.network), wallet.address, SANDBOX) == wallet.address
        )
