"""A time-stamping authority as a kind of chain: its settings, how it is opened, what it makes us trust."""

from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlsplit

from cryptography import x509

from proof.timestamps.anchors.kinds import ChainKind, ChainTable, Pace, Surroundings
from proof.timestamps.anchors.tsa.belief import Trust
from proof.timestamps.anchors.tsa.service import TsaChain, TsaSettings
from proof.timestamps.anchors.tsa.wire import Exchange
from proof.timestamps.tsa import der
from proof.verify.trust import ChainTrust

# A time-stamping authority answers within the request.
_ANSWER = timedelta(seconds=1)


class TsaTable(ChainTable, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`[<environment>.tsa]`. `policy`: dotted; without it the authority chooses."""

    every_s: int = 600
    ca_certificate_file: Path | None = None
    policy: str | None = None


def _problems(table: TsaTable) -> Sequence[str]:
    if table.ca_certificate_file is None and urlsplit(table.url).scheme != "https":
        return ("ca_certificate_file: required where url is not https: who else vouches?",)
    return ()


def _open(table: TsaTable, around: Surroundings) -> TsaChain:
    if table.policy is not None:
        der.object_identifier(table.policy)
    settings = TsaSettings(Trust(_authorities(table, around)), table.policy)
    return TsaChain(Exchange(table.url), settings, around.clock)


def _authorities(table: TsaTable, around: Surroundings) -> list[x509.Certificate] | None:
    if table.ca_certificate_file is None:
        return None
    try:
        return x509.load_pem_x509_certificates(around.file(table.ca_certificate_file).read_bytes())
    except x509.InvalidVersion as error:
        raise ValueError(str(error)) from None


def _pace(table: TsaTable) -> Pace:
    return Pace(timedelta(seconds=table.every_s), _ANSWER, 1)


def _trust(certificate: bytes) -> ChainTrust:
    """What stands where chains have the block's hash is that of the certificate a token was believed
    under."""
    return ChainTrust(tsa_certificates=frozenset({certificate}))


KIND = ChainKind(
    name="tsa",
    table=TsaTable,
    open=_open,
    pace=_pace,
    trust=_trust,
    problems=_problems,
    other_side="authority",
    carries_plain_root=False,
)
