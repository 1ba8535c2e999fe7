"""/widget/statements: what a day came to, signed and provable, and the list of its transactions."""

import re
from datetime import date
from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

from proof.api.http import NOT_KEPT, Call, Reply
from proof.api.operations import Answer, Operation, Parameter
from proof.api.ramp.families import READING
from proof.api.services import Services
from proof.core.errors import InvalidInputError
from proof.partners.types import Environment
from proof.receipts.statements import ListForm

_JSON = "application/json"
_LISTS = {"text/csv": ListForm.CSV, "application/x-ndjson": ListForm.NDJSON}
_CONTENT_TYPES = {
    ListForm.CSV: b"text/csv; charset=utf-8; header=present",
    ListForm.NDJSON: b"application/x-ndjson",
}
_SUFFIXES = {ListForm.CSV: "csv", ListForm.NDJSON: "ndjson"}
_VARY = (b"vary", b"accept")
_date = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}").fullmatch

_DATE = Parameter(
    "date",
    "path",
    "a day in UTC that is over",
    {"type": "string", "format": "date", "examples": ["2026-11-21"]},
)
_ACCEPT = Parameter(
    "Accept",
    "header",
    "`text/csv` or `application/x-ndjson`: the list of the day's transactions in place of the statement",
    {"type": "string", "enum": [_JSON, *_LISTS], "default": _JSON},
    required=False,
)


class StatementTotal(Struct, frozen=True):
    """Sums over the transactions that are alike in these six; an amount that none of them has is empty."""

    type: str
    status: str
    currency: str
    fiat_currency: str
    refund_status: str
    refund_currency: str
    transactions: str
    crypto_amount: str
    fiat_amount: str
    fiat_fee: str
    refund_amount: str


class DailyStatement(Struct, frozen=True):
    """What is hashed, in its canonical form (RFC 8785), signed and stamped."""

    format: Literal["proof-statement/1"]
    partner_id: str
    environment: Environment
    date: str
    made_at: str
    previous_sha256: Annotated[
        str, Meta(description="of the statement of the day before; empty in the first")
    ]
    transactions: int
    totals: list[StatementTotal]
    tree_size: int
    root: Annotated[str, Meta(description="of the tree (RFC 9162) over the chains' heads")]
    lines_sha256: Annotated[str, Meta(description="of the list as NDJSON")]
    csv_sha256: Annotated[str, Meta(description="of the list as CSV")]


class StatementFile(Struct, frozen=True):
    """A statement with its signature, and its proofs so far: the log's first, then by `currencyId`."""

    format: Literal["proof-statement/1"]
    statement: DailyStatement
    signature: Annotated[
        str, Meta(description="a signed note (c2sp.org/signed-note) by a key of `/receipts/key`")
    ]
    proofs: list[
        Annotated[dict[str, Any], Meta(description="a proof as `GET /v1/proof/{sha256}` gives it")]
    ]


class StatementHandlers:
    """The handler of daily statements."""

    def __init__(self, services: Services) -> None:
        self._services = services

    async def statement(self, call: Call) -> Reply:
        """GET /widget/statements/{date}."""
        day, owner = day_of(call.path["date"]), call.caller
        form = wanted_list(call.headers.getlist("accept"))
        if form is None:
            found = await self._services.statements.file(owner.id, owner.environment, day)
            return Reply(200, found, headers=(NOT_KEPT, _VARY))
        listing = await self._services.statements.listing(owner.id, day, form)
        name = f'attachment; filename="statement-{day}.{_SUFFIXES[form]}"'
        disposition = (b"content-disposition", name.encode())
        return Reply(
            200,
            content_type=_CONTENT_TYPES[form],
            headers=(NOT_KEPT, _VARY, disposition),
            pieces=listing.pieces,
            size=listing.size,
        )


def day_of(text: str) -> date:
    """The day that a path names. Raises InvalidInputError."""
    try:
        if _date(text):
            return date.fromisoformat(text)
    except ValueError:
        pass
    raise InvalidInputError("date: a day like 2026-11-21 is required")


def wanted_list(accept: list[str]) -> ListForm | None:
    """The list that a caller would rather have than the statement (RFC 9110, section 12.5.1), None where
    it is the statement."""
    weights: dict[str, float] = {}
    for field in ",".join(accept).split(","):
        name, *parameters = (part.strip().lower() for part in field.split(";"))
        weight = next((each[2:] for each in parameters if each.startswith("q=")), "1")
        try:
            weights.setdefault(name, float(weight))
        except ValueError:
            continue
    best = max(_LISTS, key=lambda name: weights.get(name, 0))
    return _LISTS[best] if weights.get(best, 0) > weights.get(_JSON, 0) else None


def statement_routes(services: Services) -> list[Operation]:
    return [
        Operation(
            READING, "GET", "/widget/statements/{date}", StatementHandlers(services).statement,
            "Statement of a day",
            {200: Answer("the statement, or the list of its transactions", StatementFile,
                         files=tuple(_LISTS))},
            parameters=(_DATE, _ACCEPT), refuses=(404,),
        ),
    ]  # fmt: skip
