"""proof status, fetch: how far a hash is, and its proof as a file."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from threading import Event
from typing import Annotated, Any, Final

import msgspec
import typer

from proof.cli.output import (
    FAILED,
    OPEN,
    UNREACHABLE,
    USAGE,
    Advance,
    Json,
    err,
    fail,
    print_columns,
    print_json,
    printable,
    progress,
    write_atomically,
)
from proof.cli.proofs.client import (
    ApiError,
    ApiKey,
    HashStatus,
    LaterError,
    Target,
    TimestampApi,
    Url,
    connected,
    stated_api_errors,
)
from proof.cli.proofs.hashing import Problem, Source, hash_file, parse_sha256
from proof.timestamps.types import Currency
from proof.verify import ChainTrust, Policy, RefusedError, verify_payload, verify_tlog_proof
from proof.verify.evidence.bitcoin.networks import TEST_NETWORKS
from proof.verify.evidence.log.tlog_proof import SUFFIX as TLOG_SUFFIX
from proof.verify.strict_json import MAX_BYTES

PROOF_SUFFIX: Final = ".proof.json"


DEFAULT_TIMEOUT_S: Final = 60.0


_STATES = ("unsubmitted", "submitted", "included", "verified")


_VERIFIED: Final = 3


_IN_FLIGHT: Final = 16


# A proof of the sandbox is worth keeping; whether its network counts is for `proof verify` to be told.
_ANY_NETWORK: Final = ChainTrust(networks=TEST_NETWORKS)


Subject = Annotated[
    str, typer.Argument(metavar="SHA256|FILE", help="64 hex digits are a hash, else it is a file.")
]


Subjects = Annotated[
    list[str], typer.Argument(metavar="SHA256|FILE", help="64 hex digits are a hash.")
]


Timeout = Annotated[
    float, typer.Option("--timeout", min=0, help="Seconds to wait for proofs, all together.")
]


Folder = Annotated[
    Path | None, typer.Option("--output", "-o", help="Folder for the proofs, made when missing.")
]


_CURRENCY_IDS: Final = {currency.name.lower(): int(currency) for currency in Currency}


_LOG: Final = Currency.LOG.name.lower()
_ALL: Final = "all"
_TLOG_PROOF: Final = "tlog-proof"


_CHAINS: Final = (*_CURRENCY_IDS, _ALL)


# A chain's schedule is an estimate: blocks come sooner and later than on average.
_LONGEST_PAUSE_S = 60.0


@dataclass(frozen=True, slots=True)
class FetchRequest:
    """A proof to fetch: of which hash, written where, in which chain: `btc`, or `all`. For all of them
    `target` is the log's place, and the others are beside it. `form` is the API's word for another than the
    payload."""

    sha256: str
    target: Path
    chain: str = _LOG
    form: str | None = None

    def of(self, chain: str) -> "FetchRequest":
        """The same in one chain, in a place of its own."""
        if chain == _LOG:
            return FetchRequest(self.sha256, self.target)
        name = self.target.name.removesuffix(PROOF_SUFFIX)
        return FetchRequest(
            self.sha256, self.target.with_name(f"{name}.{chain}{PROOF_SUFFIX}"), chain
        )


@dataclass(frozen=True, slots=True)
class FetchResult:
    """How it went: exit code 0 is written, 3 not available yet, 1 anything else."""

    wanted: FetchRequest
    code: int
    message: str = ""

    def wire(self) -> dict[str, Any]:
        return {
            "sha256": self.wanted.sha256,
            "chain": self.wanted.chain,
            "proof": printable(str(self.wanted.target)) if self.code == 0 else None,
            "exitCode": self.code,
            "message": self.message,
        }


def register(app: typer.Typer) -> None:
    """Add the commands."""

    @app.command()
    def status(subject: Subject, url: Url, api_key: ApiKey, as_json: Json = False) -> None:
        """Say how far a hash is, chain by chain.

        Exits 0 when one of its trees is verified, 3 when none is yet, 1 when the hash is unknown.

        Example: proof status contract.pdf
        """
        target, sha256 = Target.checked(url, api_key), subject_hash(subject)
        with stated_api_errors():
            found = asyncio.run(_status(target, sha256))
        if as_json:
            print_json({"sha256": sha256} | msgspec.to_builtins(found))
        else:
            _print_status(sha256, found)
        raise typer.Exit(
            0 if any(tree.submit_status == _VERIFIED for tree in found.trees) else OPEN
        )

    @app.command()
    def fetch(
        subjects: Subjects,
        url: Url,
        api_key: ApiKey,
        output: Folder = None,
        chain: Annotated[
            str,
            typer.Option(
                help="Whose proof; all: every chain the hash is in.",
                metavar=f"[{'|'.join(_CHAINS)}]",
                parser=_chain,
            ),
        ] = _LOG,
        tlog_proof: Annotated[
            bool,
            typer.Option("--tlog-proof", help="The log's, as FILE.tlog-proof (C2SP tlog-proof)."),
        ] = False,
        wait: Annotated[
            bool, typer.Option("--wait/--no-wait", help="Wait for what is not available yet.")
        ] = True,
        timeout_s: Timeout = DEFAULT_TIMEOUT_S,
        force: Annotated[
            bool, typer.Option("--force", help="Replace a proof of something else.")
        ] = False,
        as_json: Json = False,
    ) -> None:
        """Write proofs as FILE.proof.json, or SHA256.proof.json for a bare hash.

        Those of another chain than the log are FILE.btc.proof.json, FILE.eth.proof.json.

        What comes is verified before it is written, its signatures excepted: `proof verify` checks
        those. Exits 3 when a proof is not available yet, 1 when one cannot be had.

        Example: proof fetch contract.pdf --wait
        """
        target = Target.checked(url, api_key)
        if tlog_proof and chain != _LOG:
            raise fail("--tlog-proof is a proof in the log; leave out --chain", USAGE)
        wanted = [_wanted(subject, output, chain) for subject in subjects]
        if tlog_proof:
            wanted = list(map(_as_tlog_proof, wanted))
        _require_distinct(wanted)
        with stated_api_errors():
            fetched = fetch_proofs(target, wanted, timeout_s if wait else 0, force=force)
        if as_json:
            print_json({"proofs": [result.wire() for result in fetched]})
        else:
            print_fetched(fetched)
        raise typer.Exit(exit_code(fetched))


def _chain(text: str) -> str:
    if text not in _CHAINS:
        raise typer.BadParameter(f"one of {', '.join(_CHAINS)} is required")
    return text


def subject_hash(subject: str) -> str:
    """The hash that an argument names or, of a file, has. Raises typer.Exit when it cannot be read."""
    sha256 = parse_sha256(subject)
    if sha256 is not None:
        return sha256
    path = Path(subject)
    if path.is_dir():
        raise fail(f"{printable(subject)} is a folder; name its manifest or its files", USAGE)
    hashed = hash_file(Source(path, 0, named=True), _nothing, Event())
    if isinstance(hashed, Problem):
        raise fail(
            f"cannot read {printable(subject)}: {hashed.reason}; check its name and its mode", USAGE
        )
    return hashed.sha256


def proof_path(path: Path) -> Path:
    """Where the proof of a file is kept."""
    return path.with_name(path.name + PROOF_SUFFIX)


def fetch_proofs(
    target: Target, wanted: Sequence[FetchRequest], timeout_s: float, *, force: bool = False
) -> list[FetchResult]:
    """Fetch, verify and write proofs, 16 at a time, waiting up to `timeout_s` for late ones.

    In the order asked for. Raises UnreachableError or DeniedError, which concern them all.
    """
    with progress("fetching proofs", len(wanted)) as advance:
        return asyncio.run(_FetchRun(timeout_s, advance, force=force).run(target, wanted))


def print_fetched(fetched: Sequence[FetchResult]) -> None:
    """A line for each: what was written to standard output, the rest to standard error."""
    for result in fetched:
        if result.code == 0:
            typer.echo(f"proof  {result.wanted.sha256}  {printable(str(result.wanted.target))}")
        else:
            err.print(f"proof: {result.wanted.sha256}: {result.message}", markup=False, style="red")


def exit_code(fetched: Sequence[FetchResult]) -> int:
    """1 when one failed, else 3 when one is not available yet, else 0."""
    codes = {result.code for result in fetched}
    return FAILED if FAILED in codes else max(codes, default=0)


class _FetchRun:
    """One run of fetches under one deadline."""

    def __init__(self, timeout_s: float, advance: Advance, *, force: bool) -> None:
        self._deadline = time.monotonic() + timeout_s
        self._advance = advance
        self._force = force
        self._slots = asyncio.Semaphore(_IN_FLIGHT)

    async def run(self, target: Target, wanted: Sequence[FetchRequest]) -> list[FetchResult]:
        async with connected(target) as api:
            found = await asyncio.gather(*(self._each(api, request) for request in wanted))
        return [item for several in found for item in several]

    async def _each(self, api: TimestampApi, wanted: FetchRequest) -> list[FetchResult]:
        """One, or for all chains one of each chain that the hash is in."""
        if wanted.chain != _ALL:
            return [await self._one(api, wanted)]
        try:
            async with self._slots:
                trees = (await api.hash_status(wanted.sha256)).trees
        except ApiError as error:
            if error.exit_code == UNREACHABLE:
                raise
            self._advance(1)
            return [FetchResult(wanted, error.exit_code, error.message)]
        there = {tree.currency_id for tree in trees}
        chains = [chain for chain, number in _CURRENCY_IDS.items() if number in there]
        return await asyncio.gather(*(self._one(api, wanted.of(chain)) for chain in chains))

    async def _one(self, api: TimestampApi, wanted: FetchRequest) -> FetchResult:
        try:
            raw = await self._raw(api, wanted)
            await asyncio.to_thread(_keep, raw, wanted, self._force)
        except ApiError as error:
            if error.exit_code == UNREACHABLE:
                raise
            return FetchResult(wanted, error.exit_code, error.message)
        except RefusedError as error:
            return FetchResult(
                wanted,
                FAILED,
                f"what the server sent is no proof of it: {error}; tell its operator",
            )
        except OSError as error:
            return FetchResult(
                wanted,
                FAILED,
                f"cannot write the proof: {error.strerror}; name another folder with -o",
            )
        finally:
            self._advance(1)
        return FetchResult(wanted, 0)

    async def _raw(self, api: TimestampApi, wanted: FetchRequest) -> bytes:
        number = None if wanted.chain == _LOG else _CURRENCY_IDS[wanted.chain]
        while True:
            try:
                async with self._slots:
                    return await api.proof(wanted.sha256, number, wanted.form)
            except LaterError as error:
                # An answer after the deadline would not be used, so it is not waited for.
                pause_s = min(error.retry_after_s, _LONGEST_PAUSE_S)
                if time.monotonic() + pause_s > self._deadline:
                    raise
                await asyncio.sleep(pause_s)


class _OtherProofError(ApiError):
    """The place of the proof is taken by something else."""


def _keep(raw: bytes, wanted: FetchRequest, force: bool) -> None:
    _require_about(raw, wanted)
    target = wanted.target
    if target.exists() and not force:
        try:
            with target.open("rb") as file:
                _require_about(file.read(MAX_BYTES + 1), wanted)
        except RefusedError:
            raise _OtherProofError(
                f"{printable(str(target))} is something else than its proof;"
                " --force replaces it, -o DIR writes elsewhere"
            ) from None
    target.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(target, raw)


def _require_about(raw: bytes, wanted: FetchRequest) -> None:
    if wanted.form is not None:
        about = verify_tlog_proof(raw, Policy.of_keys(())).leaf.hex()
        if about != wanted.sha256:
            raise RefusedError(f"it is about {about}")
        return
    found = verify_payload(raw, chains=_ANY_NETWORK).leaf.hex()
    if found != wanted.sha256:
        raise RefusedError(f"it is about {found}")
    number = msgspec.json.decode(raw)["tree"]["currencyId"]
    if number != _CURRENCY_IDS[wanted.chain]:
        raise RefusedError(f"it is of the chain with currencyId {number}, not of {wanted.chain}")


def _wanted(subject: str, output: Path | None, chain: str) -> FetchRequest:
    place = proof_path(Path(subject if parse_sha256(subject) is None else subject.lower()))
    found = FetchRequest(subject_hash(subject), place if output is None else output / place.name)
    return replace(found, chain=chain) if chain == _ALL else found.of(chain)


def _as_tlog_proof(wanted: FetchRequest) -> FetchRequest:
    name = wanted.target.name.removesuffix(PROOF_SUFFIX) + TLOG_SUFFIX
    return replace(wanted, target=wanted.target.with_name(name), form=_TLOG_PROOF)


def _require_distinct(wanted: Sequence[FetchRequest]) -> None:
    places: dict[Path, str] = {}
    for request in wanted:
        if places.setdefault(request.target, request.sha256) != request.sha256:
            name = printable(str(request.target))
            raise fail(f"two different proofs would be written to {name}; leave out -o", USAGE)


async def _status(target: Target, sha256: str) -> HashStatus:
    async with connected(target) as api:
        return await api.hash_status(sha256)


def _print_status(sha256: str, found: HashStatus) -> None:
    typer.echo(f"sha256    {sha256}")
    typer.echo(f"received  {_utc_text(found.date_created)} (by the server's clock)")
    rows = []
    for tree in found.trees:
        state = tree.submit_status
        cells = (
            tree.currency,
            _STATES[state] if state is not None and 0 <= state < len(_STATES) else "unknown",
            "" if tree.timestamp is None else _utc_text(tree.timestamp),
            tree.transaction or "",
            tree.tree_id,
        )
        rows.append([printable(cell) for cell in cells])
    print_columns(("chain", "state", "time", "transaction", "tree"), rows)


def _utc_text(timestamp_ms: int) -> str:
    try:
        return datetime.fromtimestamp(timestamp_ms / 1000, UTC).isoformat(timespec="milliseconds")
    except (OverflowError, ValueError, OSError):
        return f"{timestamp_ms} ms"


def _nothing(_step: int) -> None:
    pass
