"""Transactions of ours against those of eth-account, and what a key file may hold."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.anchored import eth_account

from proof.timestamps.anchors.ethereum.signer import (
    Fees,
    KeyFileError,
    Signer,
    TransactionFields,
    carried,
    load_signer,
)

ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
VECTORS = json.loads((Path(__file__).parents[2] / "vectors" / "ethereum.json").read_text())
WEI = st.integers(0, 2**96)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("keys")


def signer_of(folder: Path, secret: int, chain_id: int) -> Signer:
    path = folder / "key"
    path.write_text(f"{secret:064x}\n")
    return load_signer(path, chain_id)


def reference(
    secret: int, chain_id: int, root: bytes, nonce: int, fees: Fees, gas: int
) -> tuple[str, str, bytes]:
    """Address, hash and bytes, as eth-account makes them."""
    account = eth_account().from_key(secret.to_bytes(32, "big"))
    signed = account.sign_transaction(
        {
            "type": 2,
            "chainId": chain_id,
            "nonce": nonce,
            "to": account.address,
            "value": 0,
            "data": root,
            "gas": gas,
            "maxFeePerGas": fees.highest,
            "maxPriorityFeePerGas": fees.tip,
        }
    )
    raw = bytes(signed.raw_transaction)
    return str(account.address), "0x" + bytes(signed.hash).hex(), raw


@pytest.mark.parametrize("vector", VECTORS["transactions"], ids=lambda each: each["name"])
def test_published_transactions(folder: Path, vector: dict[str, Any]) -> None:
    signer = signer_of(folder, int(vector["key"], 16), vector["chainId"])
    fees = Fees(int(vector["maxFeePerGas"]), int(vector["maxPriorityFeePerGas"]))
    root = bytes.fromhex(vector["data"])
    candidate = signer.candidate(root, vector["nonce"], fees, vector["gas"])
    assert signer.address == vector["address"]
    assert candidate.raw.hex() == vector["raw"]
    assert candidate.transaction == vector["hash"]


# The reference is slow: it multiplies points in Python.
@settings(max_examples=30)
@given(
    secret=st.integers(1, ORDER - 1),
    chain_id=st.integers(1, 2**53),
    root=st.binary(min_size=32, max_size=32),
    nonce=st.integers(0, 2**64 - 2),
    highest=WEI,
    tip=WEI,
    gas=st.integers(21_000, 2**32),
)
def test_a_transaction_has_the_bytes_that_eth_account_gives_it(
    folder: Path,
    secret: int,
    chain_id: int,
    root: bytes,
    nonce: int,
    highest: int,
    tip: int,
    gas: int,
) -> None:
    fees = Fees(highest, tip)
    signer = signer_of(folder, secret, chain_id)
    candidate = signer.candidate(root, nonce, fees, gas)
    expected = reference(secret, chain_id, root, nonce, fees, gas)
    assert (signer.address, candidate.transaction, candidate.raw) == expected
    assert candidate.fee == gas * highest
    assert carried(candidate) == TransactionFields(nonce, fees)
    assert eth_account().recover_transaction(candidate.raw) == signer.address


@pytest.mark.parametrize("text", ["{}", "0x{}", " {}\r\n", "\n{}"])
def test_a_key_may_have_a_prefix_and_space_around_it(tmp_path: Path, text: str) -> None:
    digits = "aB" * 32
    (tmp_path / "key").write_text(text.format(digits))
    assert load_signer(tmp_path / "key", 1).address == eth_account().from_key("0x" + digits).address


@pytest.mark.parametrize(
    "text",
    [
        "secret" * 8,
        "",
        "0x" + "00" * 32,
        "f" * 64,
        f"{ORDER:x}",
        "ab" * 31,
        "ab" * 33,
        "ab" * 31 + "b",
        "ab" * 32 + "\n" + "ab" * 32,
        "\u0661" * 64,
        '{"crypto":{}}',
    ],
)
def test_a_file_without_a_key_is_named_and_not_quoted(tmp_path: Path, text: str) -> None:
    (tmp_path / "key").write_text(text)
    with pytest.raises(KeyFileError, match="64 hexadecimal digits") as refused:
        load_signer(tmp_path / "key", 1)
    assert not text or text not in str(refused.value)


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(KeyFileError, match="none: No such file"):
        load_signer(tmp_path / "none", 1)
    (tmp_path / "binary").write_bytes(b"\xff" * 32)
    with pytest.raises(KeyFileError, match="64 hexadecimal digits"):
        load_signer(tmp_path / "binary", 1)


def test_a_signer_does_not_show_its_key(folder: Path) -> None:
    signer = signer_of(folder, 7, 1)
    assert repr(signer) == f"Signer(chain_id=1, address='{signer.address}')"
