"""Ethereum addresses and those of chains that share its form, with the checksum of EIP-55."""

import re

from proof.verify.keccak import keccak_256

_SHAPE = re.compile(r"0x[0-9a-fA-F]{40}")


class EthereumAddressError(ValueError):
    """Not an Ethereum address; the text says why."""


def check_ethereum(text: str) -> str:
    """The address with its checksum. Raises EthereumAddressError.

    All lower or all upper case carries no checksum and is taken as it is; a mixture must be the one of
    EIP-55. Whether a contract at the address accepts tokens is not checked.
    """
    if not _SHAPE.fullmatch(text):
        raise EthereumAddressError("it is not 0x and 40 hexadecimal digits")
    digits = text[2:]
    address = with_checksum(digits.lower())
    if digits not in (digits.lower(), digits.upper()) and text != address:
        raise EthereumAddressError(
            "its checksum (EIP-55) does not hold; a digit is wrong, or its case"
        )
    return address


def with_checksum(digits: str) -> str:
    """The EIP-55 text of an address, from its 40 hexadecimal digits in lower case."""
    nibbles = keccak_256(digits.encode("ascii")).hex()
    return "0x" + "".join(
        digit.upper() if int(nibble, 16) >= 8 else digit
        for digit, nibble in zip(digits, nibbles, strict=False)
    )
