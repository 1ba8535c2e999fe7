"""Another Proof as a kind of chain: its settings, how it is opened, what it makes us trust."""

from collections.abc import Sequence
from datetime import timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from proof.partners.access.tokens import parse_token
from proof.partners.types import Environment
from proof.timestamps.anchors.kinds import ChainKind, ChainTable, Pace, Surroundings
from proof.timestamps.anchors.node_client import NodeClient
from proof.timestamps.anchors.upstream.account import MAX_ANSWER_BYTES, Account
from proof.timestamps.anchors.upstream.service import UpstreamChain, UpstreamSettings
from proof.timestamps.types import Currency
from proof.verify.evidence.bitcoin.networks import MAIN, TEST_NETWORKS
from proof.verify.evidence.log.policy import MAX_POLICY_BYTES, Policy, parse_policy
from proof.verify.evidence.upstream.evidence import TYPE
from proof.verify.trust import ChainTrust

_CHAINS = {currency.name.lower(): currency for currency in Currency}
_LOGGED = timedelta(seconds=2)
_PAUSE = timedelta(seconds=5)
_MAX_KEY_BYTES = 1024


class UpstreamTable(ChainTable, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`[<environment>.upstream]`. `chain`: the upstream's, whose proof is wanted in the end."""

    every_s: int = 60
    credentials_file: Path
    environment: Literal["production", "sandbox"] = "production"
    chain: str = Currency.LOG.name.lower()
    log_policy_file: Path | None = None
    network: Literal["main", "test", "testnet4", "signet", "regtest"] = "main"


def _problems(table: UpstreamTable) -> Sequence[str]:
    problems = []
    if table.chain not in _CHAINS:
        problems.append(f"chain: one of {', '.join(_CHAINS)} is required")
    if urlsplit(table.url).scheme != "https" and not _is_near(table.url):
        problems.append(
            "url: it is https, unless its host is an address of this machine or of a private network:"
            " the api_key goes there"
        )
    return problems


def _is_near(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    try:
        return host == "localhost" or ip_address(host).is_private
    except ValueError:
        return False


def _open(table: UpstreamTable, around: Surroundings) -> UpstreamChain:
    environment = Environment(table.environment)

    def read_key() -> str:
        return _api_key(around.private_file(table.credentials_file), environment)

    client = NodeClient("the upstream", table.url.rstrip("/"), MAX_ANSWER_BYTES)
    settings = UpstreamSettings(
        environment,
        _CHAINS[table.chain],
        _log_policy(table, around),
        {table.network} - {MAIN},
        around.origins,
        timedelta(seconds=table.every_s),
    )
    return UpstreamChain(Account(client, read_key, around.clock, _PAUSE), settings, around.clock)


def _api_key(path: Path, environment: Environment) -> str:
    with path.open("rb") as file:
        text = file.read(_MAX_KEY_BYTES).decode("ascii", "replace").strip()
    token = parse_token(text)
    if token is None:
        raise ValueError(f"{path} holds no api_key of a Proof; it is the file's one line")
    if token.environment is not environment:
        raise ValueError(
            f"{path} holds an api_key of the upstream's {token.environment}; where that is meant, say"
            f' environment = "{token.environment}"'
        )
    return text


def _log_policy(table: UpstreamTable, around: Surroundings) -> Policy | None:
    if table.log_policy_file is None:
        return None
    path = around.file(table.log_policy_file)
    with path.open("rb") as file:
        policy = parse_policy(file.read(MAX_POLICY_BYTES + 1))
    if not policy.logs:
        raise ValueError(f"{path} names no log, so no proof of the upstream's could be believed")
    return policy


def _pace(table: UpstreamTable) -> Pace:
    return Pace(timedelta(seconds=table.every_s), _LOGGED, 1)


def _trust(proof: bytes) -> ChainTrust:
    """What stands where chains have the block's hash is that of the upstream's proof. Test networks count:
    which one a chain is on is the operator's setting."""
    return ChainTrust(blocks={TYPE: frozenset({proof})}, networks=TEST_NETWORKS)


KIND = ChainKind(
    name="upstream",
    table=UpstreamTable,
    open=_open,
    pace=_pace,
    trust=_trust,
    problems=_problems,
    other_side="upstream",
    carries_plain_root=False,
)
