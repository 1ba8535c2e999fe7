"""proof log monitor, mirror: watching and copying a log of anybody's."""

import asyncio
import base64
import binascii
import json
import signal
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Final
from urllib.parse import urlsplit

import typer

from proof.cli.arguments import parse_duration
from proof.cli.installation import Installation, Opener, ServerOptions
from proof.cli.output import (
    FAILED,
    OPEN,
    UNREACHABLE,
    USAGE,
    Json,
    err,
    fail,
    print_json,
    printable,
    progress,
    stated_errors,
)
from proof.cli.proofs.client import Target
from proof.core.clock import SystemClock, moment_text, second_text
from proof.core.errors import InvalidInputError, ProofError, UnavailableError
from proof.follow import metrics
from proof.follow.faults import Fault, LogFaultError
from proof.follow.mirror import Mirror, Update
from proof.follow.monitor import Demands, Monitor, Round, Tell
from proof.follow.notices import by_mail, by_webhook
from proof.follow.remote import RemoteLog, connection
from proof.follow.state import StateFolder
from proof.follow.trust import Trust, trust_of
from proof.follow.trusted import SignedCheckpoint
from proof.verify.evidence.log.policy import MAX_POLICY_BYTES
from proof.verify.evidence.log.tlog_proof import MAGIC
from proof.verify.strict_json import MAX_BYTES as MAX_PROOF_BYTES

EXIT_CODES: Final[Mapping[Fault, int]] = {
    Fault.EMPTY: OPEN,
    Fault.UNREACHABLE: UNREACHABLE,
    Fault.ROLLBACK: 10,
    Fault.FORK: 11,
    Fault.KEY: 12,
    Fault.QUORUM: 13,
    Fault.STALE: 14,
    Fault.ALTERED: 15,
    Fault.BROKEN: 16,
}

_CODES: Final = (
    "Exits 0 when all is well, 3 without a checkpoint yet, 4 unreachable, 10 rollback, 11 fork,"
    " 12 not signed by the trusted key, 13 no quorum, 14 stale, 15 altered, 16 broken; 1 when the folder"
    " cannot be used, 2 on wrong usage."
)

_SHORTEST: Final = timedelta(seconds=1)

Prefix = Annotated[
    str,
    typer.Argument(
        metavar="URL",
        help="The log's URL prefix, e.g. https://proof.example/log",
        show_default=False,
    ),
]
PolicyFile = Annotated[
    Path | None,
    typer.Option("--policy", help="A policy: logs, witnesses and the quorum that is needed."),
]
KeyFiles = Annotated[
    list[Path] | None,
    typer.Option("--log-key", help="Verifier keys you trust, in place of a policy. Repeat."),
]


def register(log: typer.Typer, open_installation: Opener) -> None:
    """Add the commands to those of the log."""

    @log.command(epilog=_CODES)
    def monitor(
        url: Prefix,
        state: Annotated[
            Path, typer.Option(help="Folder of what the monitor remembers, its own alone.")
        ],
        policy: PolicyFile = None,
        log_key: KeyFiles = None,
        once: Annotated[
            bool, typer.Option("--once", help="Look once, for cron; the exit code tells.")
        ] = False,
        every: Annotated[str, typer.Option(help="How often to look: 30s, 5m, 1h.")] = "1m",
        max_age: Annotated[
            str | None, typer.Option(help="How long the log may stand still: 10m, 24h.")
        ] = None,
        entries: Annotated[
            bool, typer.Option("--entries", help="Fetch and hash every entry too.")
        ] = False,
        against: Annotated[
            list[Path] | None,
            typer.Option(help="A proof, or a checkpoint others got, that must be in it. Repeat."),
        ] = None,
        metrics_file: Annotated[
            Path | None, typer.Option("--metrics", help="File of metrics for Prometheus.")
        ] = None,
        notify: Annotated[
            str | None, typer.Option(help="URL that is told of a fault by a JSON POST.")
        ] = None,
        notify_secret: Annotated[
            Path | None, typer.Option(help="File with a whsec_… that signs those POSTs.")
        ] = None,
        mail: Annotated[
            str | None, typer.Option(help="Address that is told by the mail relay in the settings.")
        ] = None,
        as_json: Annotated[
            bool, typer.Option("--json", help="Print a line of JSON for each look.")
        ] = False,
    ) -> None:
        """Watch that a log only grows.

        Each look fetches the newest checkpoint, checks who signed it, and computes from the log's tiles
        that it continues the one seen before. Contradicting checkpoints are kept, with the proof, in the
        state folder.

        Example: proof log monitor https://proof.example/log --policy proof.policy --state ./watch
        """
        with stated_errors():
            target, trust = Target.checked(url), _trust(policy, log_key)
            interval, demands = _interval(every), _demands(trust, max_age, entries, against)
            channels = _channels(target.url, notify, notify_secret, mail, open_installation)

        async def run() -> int:
            async with connection() as session:
                watching = Monitor(
                    RemoteLog(session, target.url),
                    trust,
                    StateFolder(state),
                    SystemClock(),
                    demands,
                    channels,
                    progress,
                )
                said = _Said(target.url, metrics_file, as_json=as_json)
                return await _repeated(lambda: _looked(watching, said), None if once else interval)

        with folder_errors(state):
            raise typer.Exit(asyncio.run(run()))

    @log.command(epilog=_CODES)
    def mirror(
        url: Prefix,
        folder: Annotated[Path, typer.Argument(help="The folder that a web server serves.")],
        policy: PolicyFile = None,
        log_key: KeyFiles = None,
        every: Annotated[
            str | None, typer.Option(help="Stay, and bring it up to date so often: 1m, 1h.")
        ] = None,
        check: Annotated[
            bool, typer.Option("--check", help="Read the whole mirror again, and mend it.")
        ] = False,
        as_json: Json = False,
    ) -> None:
        """Copy a log into a folder that any web server can serve.

        Everything is checked up to the signed checkpoint before it is put in place, and the checkpoint
        comes last: whenever this stops, the folder is a log that verifies. The next run goes on there.

        Example: proof log mirror https://proof.example/log /srv/log --policy proof.policy
        """
        with stated_errors():
            target, trust = Target.checked(url), _trust(policy, log_key)
            interval = None if every is None else _interval(every)

        async def run() -> int:
            async with connection() as session:
                copying = Mirror(RemoteLog(session, target.url), trust, folder, progress)
                return await _repeated(
                    lambda: _copied(copying, folder, check=check, as_json=as_json), interval
                )

        with folder_errors(folder):
            raise typer.Exit(asyncio.run(run()))


def tell_update(folder: Path, update: Update, *, as_json: bool) -> None:
    """Say what an update of a folder did."""
    checkpoint = update.signed.checkpoint
    if as_json:
        print_json(
            {
                "folder": printable(str(folder)),
                "origin": printable(checkpoint.origin),
                "size": checkpoint.size,
                "sizeBefore": update.size_before,
                "root": checkpoint.root.hex(),
                "files": update.files,
            },
            on_one_line=True,
        )
        return
    typer.echo(
        f"{printable(str(folder))}: {printable(checkpoint.origin)} with {checkpoint.size} entries,"
        f" {update.size_before} before; {update.files} files written"
    )


def tell_fault(folder: Path, error: LogFaultError, *, as_json: bool) -> int:
    """Say why a folder was not brought up to date; the exit code."""
    if as_json:
        facts = {"folder": str(folder), "fault": error.fault, "message": error.message}
        print_json(facts | {"evidence": error.evidence}, on_one_line=True)
    else:
        err.print(f"proof: {printable(error.message)}", markup=False, style="red")
    return EXIT_CODES[error.fault]


class _Said:
    """Says what is new."""

    def __init__(self, url: str, metrics_file: Path | None, *, as_json: bool) -> None:
        self._url = url
        self._metrics_file = metrics_file
        self._as_json = as_json
        self._last: tuple[str, ...] = ()

    def tell(self, found: Round) -> None:
        if self._metrics_file is not None:
            metrics.write(self._metrics_file, self._url, found)
        for why in found.untold:
            err.print(f"proof: {printable(why)}; it is tried again", markup=False)
        if self._as_json:
            print_json(self._facts(found), on_one_line=True)
            return
        said = (found.message, str(found.evidence or ""))
        if said != self._last:
            self._print(found)
        self._last = said

    def _facts(self, found: Round) -> dict[str, Any]:
        kept = found.kept
        return {
            "at": moment_text(found.at),
            "url": self._url,
            "fault": found.fault,
            "exitCode": EXIT_CODES[found.fault] if found.fault else 0,
            "message": printable(found.message),
            "evidence": str(found.evidence) if found.evidence else None,
            "origin": printable(kept.origin) if kept else None,
            "size": kept.size if kept else None,
            "root": kept.root.hex() if kept else None,
            "grownBy": found.grown_by,
            "grewAt": moment_text(found.grew_at) if found.grew_at else None,
            "entriesHashed": found.entries,
        }

    def _print(self, found: Round) -> None:
        line = f"{second_text(found.at)} {printable(found.message)}"
        if found.fault is None:
            typer.echo(line)
            return
        err.print(line, markup=False, style="red")
        if found.evidence is not None:
            err.print(f"Evidence: {printable(str(found.evidence))}", markup=False)


async def _looked(watching: Monitor, said: _Said) -> int:
    found = await watching.round()
    said.tell(found)
    return EXIT_CODES[found.fault] if found.fault else 0


async def _copied(copying: Mirror, folder: Path, *, check: bool, as_json: bool) -> int:
    try:
        tell_update(folder, await copying.update(check=check), as_json=as_json)
    except LogFaultError as error:
        return tell_fault(folder, error, as_json=as_json)
    return 0


async def _repeated(act: Callable[[], Awaitable[int]], interval: timedelta | None) -> int:
    """Once, or until told to stop; the last exit code."""
    if interval is None:
        return await act()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    while True:
        acting = asyncio.ensure_future(act())
        stopping = asyncio.create_task(stop.wait())
        await asyncio.wait({acting, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if not acting.done():
            # What is half done is as good as not begun.
            acting.cancel()
            await asyncio.wait({acting})
            return 0
        code = acting.result()
        await asyncio.wait({stopping}, timeout=interval.total_seconds())
        if stop.is_set():
            return code
        stopping.cancel()


def _trust(policy: Path | None, log_key: Sequence[Path] | None) -> Trust:
    if (policy is None) == (not log_key):
        raise InvalidInputError(
            "nothing says whom to trust, or two things do; give --policy FILE, or --log-key FILE with the"
            " keys you got from the log's operator"
        )
    raw = None if policy is None else _read(policy, MAX_POLICY_BYTES)
    return trust_of(raw, [_read(path, MAX_POLICY_BYTES) for path in log_key or ()])


def _interval(text: str) -> timedelta:
    interval = parse_duration("--every", text)
    if interval < _SHORTEST:
        raise InvalidInputError("--every: it is too short; give 1s or more")
    return interval


def _demands(
    trust: Trust, max_age: str | None, entries: bool, against: Sequence[Path] | None
) -> Demands:
    age = None if max_age is None else parse_duration("--max-age", max_age)
    held = [(printable(path.name), _other(trust, path)) for path in against or ()]
    return Demands(age, entries, held)


def _other(trust: Trust, path: Path) -> SignedCheckpoint:
    """The checkpoint in a file, or in a proof of ours. Raises InvalidInputError."""
    try:
        return trust.verify(checkpoint_in(_read(path, MAX_PROOF_BYTES)))
    except ValueError as error:
        why = str(error)
    except LogFaultError as error:
        why = error.message
    raise InvalidInputError(
        f"--against: {printable(path.name)} holds no checkpoint that the trusted keys signed ({why});"
        " give a signed checkpoint, or a proof from this log"
    )


def checkpoint_in(raw: bytes) -> bytes:
    """What a proof, JSON or tlog-proof, has as its checkpoint; any other file is taken for one itself.

    Raises ValueError for JSON without a checkpoint.
    """
    if raw.startswith(MAGIC):
        return raw.partition(b"\n\n")[2]
    if raw.lstrip()[:1] != b"{":
        return raw
    try:
        return str(json.loads(raw)["evidence"]["checkpoint"]).encode()
    except (ValueError, KeyError, TypeError, RecursionError):
        raise ValueError("it is JSON without `evidence.checkpoint`") from None


def _channels(
    log_url: str,
    notify: str | None,
    notify_secret: Path | None,
    mail: str | None,
    open_installation: Opener,
) -> dict[str, Tell]:
    channels: dict[str, Tell] = {}
    if notify is not None:
        secret = None if notify_secret is None else _secret(notify_secret)
        channels["webhook"] = by_webhook(_webhook_url(notify), log_url, secret)
    elif notify_secret is not None:
        raise InvalidInputError("--notify-secret signs nothing; give --notify URL too")
    if mail is not None:
        installation: Installation = open_installation(ServerOptions())
        mailer = installation.mailer()
        if mailer is None:
            raise InvalidInputError("--mail: no mail relay is set; set PROOF_SMTP_HOST")
        channels["mail"] = by_mail(mailer, mail, log_url)
    return channels


def _webhook_url(url: str) -> str:
    """Unlike a log's it may have a query; it is not repeated, since it may hold a token."""
    try:
        parts = urlsplit(url)
        usable = parts.scheme in {"http", "https"} and parts.hostname and parts.port != 0
    except ValueError:
        usable = False
    if not usable:
        raise InvalidInputError("--notify: it is not an http(s) URL; write https://host/path")
    return url


def _secret(path: Path) -> bytes:
    text = _read(path, 1024).decode(errors="replace").strip()
    try:
        found = base64.b64decode(text.removeprefix("whsec_"), validate=True)
    except (binascii.Error, ValueError):
        found = b""
    if not text.startswith("whsec_") or not found:
        raise InvalidInputError(
            f"--notify-secret: {printable(str(path))} holds no secret; write `whsec_` and base64 into it"
        )
    return found


def _read(path: Path, limit: int) -> bytes:
    try:
        with path.open("rb") as file:
            raw = file.read(limit + 1)
    except OSError as error:
        raise InvalidInputError(
            f"cannot read {printable(str(path))}: {error.strerror}; check its name and its mode"
        ) from None
    if len(raw) > limit:
        raise InvalidInputError(
            f"{printable(str(path))} has more than {limit} bytes; name another file"
        )
    return raw


@contextmanager
def folder_errors(folder: Path) -> Iterator[None]:
    """Turn what is wrong with a folder, or with what is in it, into a message and an exit code."""
    try:
        yield
    except UnavailableError:
        raise
    except InvalidInputError as error:
        raise fail(printable(error.message), USAGE) from None
    except LogFaultError:
        raise
    except ProofError as error:
        raise fail(printable(error.message), FAILED) from None
    except OSError as error:
        raise fail(
            f"cannot use {printable(str(folder))}: {error.strerror};"
            " make room there, look at its mode, or name another place",
            FAILED,
        ) from None
