"""The URLs that anybody may call: the log, the calendar and the time-stamping authority."""

from dataclasses import replace

from proof.api.forms import MESSAGE, PLAIN_TEXT
from proof.api.operations import Answer, Anybody, Operation, OperationFamily, Parameter
from proof.api.public.calendar import DIGEST_TYPE, TIMESTAMP_TYPE, CalendarHandlers
from proof.api.public.log import LogHandlers
from proof.api.public.tsa import CHAIN_TYPE, REPLY_TYPE, REQUEST_TYPE, TsaHandlers
from proof.api.services import Services
from proof.partners.types import Environment
from proof.timestamps.calendar import MAX_COMMITMENT_BYTES
from proof.timestamps.tsa.request import MAX_REQUEST_BYTES

_TEXT = "text/plain"

_BYTES = "application/octet-stream"


_HERE = (Environment.PRODUCTION,)
# A page of any site may ask the calendar.
_ANY_ORIGIN = (
    (b"access-control-allow-origin", b"*"),
    (b"access-control-allow-methods", b"GET, POST, OPTIONS"),
    (b"access-control-allow-headers", b"accept, content-type, user-agent"),
)
# So may a page that verifies a proof read the log; with no credentials, any header is harmless.
_READ_BY_ANY_ORIGIN = (
    (b"access-control-allow-origin", b"*"),
    (b"access-control-allow-methods", b"GET, HEAD, OPTIONS"),
    (b"access-control-allow-headers", b"*"),
    (b"access-control-expose-headers", b"retry-after"),
)
_LOG = OperationFamily("log", Anybody(), MESSAGE, headers=_READ_BY_ANY_ORIGIN)
_LOG_PREFLIGHTS = replace(_LOG, listed=False)
_CALENDAR = OperationFamily(
    "calendar",
    Anybody(),
    PLAIN_TEXT,
    environments=_HERE,
    headers=_ANY_ORIGIN,
    body_limit=MAX_COMMITMENT_BYTES,
)
_PREFLIGHTS = replace(_CALENDAR, listed=False)
_AUTHORITY = OperationFamily(
    "time-stamping authority",
    Anybody(),
    MESSAGE,
    environments=_HERE,
    body_limit=MAX_REQUEST_BYTES,
)

_COMMITMENT = Parameter(
    "commitment",
    "path",
    "hex of the message at the pending attestation, or of what was posted",
    {"type": "string", "pattern": "^[0-9a-fA-F]{2,128}$"},
)


def _path(name: str, description: str, pattern: str) -> Parameter:
    return Parameter(name, "path", description, {"type": "string", "pattern": pattern})


_POSITION = _path("position", "a tile path: 067, x001/x234/067, 067.p/7", "^[x0-9./p]+$")

_LEVEL = _path("level", "tile level", "^[0-5]$")

_OLD = _path("old", "the smaller size", "^[0-9]+$")

_NEW = _path("new", "the larger size", "^[0-9]+$")


def public_routes(services: Services) -> list[Operation]:
    """All of them; the order is the order of matching."""
    return [
        *_log_routes(services),
        *_calendar_routes(services),
        *_authority_routes(services),
    ]


def _log_routes(services: Services) -> list[Operation]:
    log = LogHandlers(services)
    reading = [
        Operation(
            _LOG, "GET", "/log/checkpoint", log.checkpoint, "Newest checkpoint",
            {200: Answer("a signed note", content_type=_TEXT)}, refuses=(404,),
        ),
        Operation(
            _LOG, "GET", "/log/key", log.key, "Verifier keys of the log",
            {200: Answer("one key a line", content_type=_TEXT)},
        ),
        Operation(
            _LOG, "GET", "/log/tile/entries/{position:path}", log.entries, "Entries",
            {200: Answer("entries, each after its length in two bytes", content_type=_BYTES)},
            parameters=(_POSITION,), refuses=(404,),
        ),
        Operation(
            _LOG, "GET", "/log/tile/{level}/{position:path}", log.tile, "Tile of hashes",
            {200: Answer("up to 256 hashes of 32 bytes", content_type=_BYTES)},
            parameters=(_LEVEL, _POSITION), refuses=(404,),
        ),
        Operation(
            _LOG, "GET", "/log/consistency/{old}/{new}", log.consistency, "Consistency of two sizes",
            {200: Answer("the path, one hash a line", content_type=_TEXT)},
            parameters=(_OLD, _NEW), refuses=(404,),
        ),
    ]  # fmt: skip
    preflights = [
        Operation(
            _LOG_PREFLIGHTS, "OPTIONS", each.path, log.preflight,
            "May a page of another site read it: it may", {204: Answer("CORS headers")},
            parameters=each.parameters,
        )
        for each in reading
    ]  # fmt: skip
    return [*reading, *preflights]


def _calendar_routes(services: Services) -> list[Operation]:
    calendar = CalendarHandlers(services)
    return [
        Operation(
            _CALENDAR, "POST", "/digest", calendar.digest, "Stamp a commitment of 1 to 64 bytes",
            {200: Answer("a serialized timestamp that is pending", content_type=TIMESTAMP_TYPE)},
            raw_body=DIGEST_TYPE, refuses=(404,),
        ),
        Operation(
            _CALENDAR, "GET", "/timestamp/{commitment}", calendar.timestamp,
            "Upgrade a pending timestamp",
            {200: Answer("a serialized timestamp up to a Bitcoin block", content_type=TIMESTAMP_TYPE)},
            parameters=(_COMMITMENT,), refuses=(404,),
        ),
        *(
            Operation(
                _PREFLIGHTS, "OPTIONS", path, calendar.preflight,
                "May a page of another site call it: it may", {204: Answer("CORS headers")},
                parameters=parameters,
            )
            for path, parameters in (("/digest", ()), ("/timestamp/{commitment}", (_COMMITMENT,)))
        ),
    ]  # fmt: skip


def _authority_routes(services: Services) -> list[Operation]:
    tsa = TsaHandlers(services)
    return [
        Operation(
            _AUTHORITY, "POST", "/tsa", tsa.stamp, "Have a digest time-stamped (RFC 3161)",
            {200: Answer("a token, or the status that says why there is none", content_type=REPLY_TYPE)},
            raw_body=REQUEST_TYPE, refuses=(404,),
        ),
        Operation(
            _AUTHORITY, "GET", "/tsa/chain", tsa.chain, "Certificates of the time-stamping authority",
            {200: Answer("PEM, the signer's first", content_type=CHAIN_TYPE)}, refuses=(404,),
        ),
    ]  # fmt: skip
