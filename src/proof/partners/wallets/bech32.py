"""SegWit addresses: Bech32 for witness version 0 (BIP 173), Bech32m for version 1 (BIP 350).

Versions 2 to 16 are refused although they are well-formed: nothing spends them yet by rule, so coins
sent there are anybody's.
"""

_CHARSET = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"
_VALUES = {character: value for value, character in enumerate(_CHARSET)}
_GENERATOR = (0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)
_CONSTANTS = {0: 1, 1: 0x2BC830A3}
_PROGRAM_BYTES = {0: (20, 32), 1: (32,)}
_CHECK_CHARACTERS = 6
_MAX_CHARACTERS = 90


class Bech32Error(ValueError):
    """Not a SegWit address that can be paid; the text says why."""


def check_segwit(text: str, prefixes: tuple[str, ...]) -> str:
    """The address in lower case. Raises Bech32Error.

    `prefixes` are the human-readable parts allowed: `bc`, `tb`, `bcrt`.
    """
    if text not in (text.lower(), text.upper()):
        raise Bech32Error("upper and lower case are mixed")
    address = text.lower()
    prefix, separator, data = address.rpartition("1")
    if not separator or prefix not in prefixes:
        raise Bech32Error(
            f"it does not begin with {' or '.join(f'{known}1' for known in prefixes)}"
        )
    if len(address) > _MAX_CHARACTERS or len(data) <= _CHECK_CHARACTERS:
        raise Bech32Error(f"it has {len(address)} characters")
    wrong = next((character for character in data if character not in _VALUES), None)
    if wrong is not None:
        raise Bech32Error(f"{wrong!r} is not a character of Bech32")
    values = [_VALUES[character] for character in data]
    version = values[0]
    if version not in _CONSTANTS:
        raise Bech32Error(f"witness version {version} has no rule of its own yet")
    if _polymod(_expanded(prefix) + values) != _CONSTANTS[version]:
        raise Bech32Error("its checksum does not hold; a character is wrong or missing")
    _check_program(version, values[1:-_CHECK_CHARACTERS])
    return address


def _check_program(version: int, values: list[int]) -> None:
    bits = 5 * len(values)
    length, padding = divmod(bits, 8)
    if padding >= 5 or (values and values[-1] & ((1 << padding) - 1)):
        raise Bech32Error("its padding is not zero")
    if length not in _PROGRAM_BYTES[version]:
        raise Bech32Error(f"a witness program of version {version} does not have {length} bytes")


def _expanded(prefix: str) -> list[int]:
    codes = [ord(character) for character in prefix]
    return [code >> 5 for code in codes] + [0] + [code & 31 for code in codes]


def _polymod(values: list[int]) -> int:
    check = 1
    for value in values:
        top = check >> 25
        check = (check & 0x1FFFFFF) << 5 ^ value
        for bit, generator in enumerate(_GENERATOR):
            if top >> bit & 1:
                check ^= generator
    return check
