"""The partner file: a record, or a part of one, as TOML."""

import json
import tomllib
from collections.abc import Iterator
from typing import Any

import msgspec

from proof.core.errors import InvalidInputError
from proof.partners.records.changes import EnvironmentChange, PartnerChange
from proof.partners.records.types import PartnerRecord

_MAX_CHARACTERS = 1_000_000

_CONTROL = {code: f"\\u{code:04x}" for code in (0x7F, *range(0x80, 0xA0))}


class PartnerFile(PartnerChange, frozen=True, kw_only=True):
    """What a file says: whose record, and what it names of it."""

    partner_id: str


def parse_partner_file(text: str) -> PartnerFile:
    """Raises InvalidInputError that says where the file is not TOML or not a partner's.

    Names and types are checked, values when they meet the record.
    """
    if len(text) > _MAX_CHARACTERS:
        raise InvalidInputError(f"the file is over {_MAX_CHARACTERS} characters")
    try:
        return msgspec.convert(tomllib.loads(text), PartnerFile)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise InvalidInputError(f"not TOML: {error}") from None
    except msgspec.ValidationError as error:
        raise InvalidInputError(str(error)) from None


def partner_file(record: PartnerRecord) -> str:
    """The whole record as a file; applied as it is, it changes nothing."""
    data = json.loads(msgspec.json.encode(record))
    lines = [f"{name} = {_value(data[name])}" for name in ("partner_id", "name", "contact_email")]
    for name in ("production", "sandbox"):
        part = {key: data[name][key] for key in EnvironmentChange.__struct_fields__}
        lines += _table(name, part)
    return "\n".join(lines) + "\n"


def _table(name: str, data: dict[str, Any]) -> Iterator[str]:
    yield ""
    yield f"[{name}]"
    tables = {key: value for key, value in data.items() if isinstance(value, dict)}
    for key, value in data.items():
        if key == "wallets":
            yield "wallets = [" + "".join(f"\n  {_value(wallet)}," for wallet in value) + "\n]"
        elif key not in tables:
            yield f"{key} = {_value(value)}"
    for key, table in tables.items():
        yield from _table(f"{name}.{key}", table)


def _value(value: Any) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {_value(inner)}" for key, inner in value.items()) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(map(_value, value)) + "]"
    # TOML's basic strings, integers and booleans are JSON's, but for a few control characters.
    return json.dumps(value, ensure_ascii=False).translate(_CONTROL)
