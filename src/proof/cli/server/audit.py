"""proof audit: what was done, by whom, and that nobody changed the record of it."""

import os
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from proof.cli.arguments import Data, optional_moment
from proof.cli.installation import Opener, ServerOptions
from proof.cli.output import (
    FAILED,
    OPEN,
    USAGE,
    Json,
    err,
    fail,
    out,
    print_json,
    printable,
    progress,
    stated_errors,
    write_atomically,
)
from proof.core.canonical import canonical_json
from proof.core.clock import SystemClock
from proof.core.errors import InvalidInputError
from proof.core.secrets import Vault
from proof.db import Database
from proof.partners import audit_chain
from proof.partners.audit import LIST_AT_MOST, AuditQuery, Entry, newest_entries
from proof.partners.audit_chain import SYSTEM
from proof.partners.environments import environment_names
from proof.timestamps.proofs.audit_heads import (
    AuditReport,
    EntryProof,
    entry_proof,
    newest_proof,
    verify_log,
)
from proof.timestamps.proofs.errors import ProofNotYetError, UnsoundProofError
from proof.verify.evidence.log.note import signed_note
from proof.verify.evidence.log.policy import Policy
from proof.verify.files import UsageError, read_trust
from proof.verify.payload import utc_text
from proof.verify.strict_json import MAX_BYTES


def register(app: typer.Typer, open_installation: Opener) -> None:
    """Add the commands."""
    audit = typer.Typer(no_args_is_help=True, help="The audit log: read, check, prove.")
    app.add_typer(audit, name="audit")
    _add_reading(audit, open_installation)
    _add_proving(audit, open_installation)


def _add_reading(audit: typer.Typer, open_installation: Opener) -> None:
    @audit.command(name="list")
    def show(
        partner: Annotated[str | None, typer.Option(help="Of this partner only.")] = None,
        actor: Annotated[
            str | None,
            typer.Option(help="By whom: part of the name, e.g. anna, cli:, worker, a key id."),
        ] = None,
        action: Annotated[
            str | None, typer.Option(help="One action, or what stands before its dot: token.")
        ] = None,
        since: Annotated[
            str | None, typer.Option(help="From then on: 90m, 24h, 7d, or an ISO 8601 time.")
        ] = None,
        until: Annotated[str | None, typer.Option(help="Before then: as --since.")] = None,
        limit: Annotated[
            int, typer.Option(min=1, max=LIST_AT_MOST, help="How many, the newest first.")
        ] = 50,
        data: Data = None,
        as_json: Json = False,
    ) -> None:
        """List the newest entries with what each changed: - before, + after.

        A command's act is by cli:USER@HOST, an operator's call by its key id.

        Example: proof audit list --actor anna --action token --since 7d
        """
        with stated_errors():
            wanted = AuditQuery(
                partner,
                actor,
                action,
                optional_moment("--since", since),
                optional_moment("--until", until),
            )
            entries = open_installation(ServerOptions(data)).with_database(
                lambda database: _newest(database, limit, wanted)
            )
        if as_json:
            print_json([audit_chain.wire(entry) for entry in entries])
        else:
            _print_entries(entries)

    @audit.command()
    def export(
        since: Annotated[
            str | None, typer.Option(help="From this date or time on, e.g. 2026-11-01; UTC.")
        ] = None,
        data: Data = None,
    ) -> None:
        """Print the chained entries as NDJSON: position, previous hash, hash, entry.

        A line's hash is SHA-256(previous ‖ RFC 8785 bytes of its entry).
        """
        with stated_errors():
            start = _moment(since)
            whole = open_installation(ServerOptions(data)).with_database(
                lambda database: _export(database, start)
            )
        raise typer.Exit(0 if whole else FAILED)


def _add_proving(audit: typer.Typer, open_installation: Opener) -> None:
    @audit.command()
    def verify(
        against: Annotated[
            list[Path] | None,
            typer.Option(help="A proof that `audit proof` or `audit prove` wrote. Repeat."),
        ] = None,
        log_key: Annotated[
            list[Path] | None,
            typer.Option(help="Verifier keys you trust for it; none: the database's own. Repeat."),
        ] = None,
        policy: Annotated[
            Path | None,
            typer.Option(help="Whose cosignatures you need for it (C2SP tlog-policy)."),
        ] = None,
        data: Data = None,
        as_json: Json = False,
    ) -> None:
        """Recompute the whole chain and compare it with the heads in the timestamp log.

        Changes nothing. Exits 1 naming the first entry that was altered or is missing. Only a proof kept
        outside, with its own --log-key or --policy, shows that nobody rewrote all of it: --against without
        either exits 3.
        """
        with stated_errors():
            saved = [_read(path) for path in against or ()]
            trusted = _trusted(log_key or (), policy)
            verdict = open_installation(ServerOptions(data)).with_database(
                lambda database: _verify(database, saved, trusted)
            )
        untied = bool(saved) and trusted is None
        if as_json:
            print_json(_wire(verdict) | {"tied": bool(saved) and not untied})
        else:
            _print_verdict(verdict)
        if verdict.findings:
            raise typer.Exit(FAILED)
        if untied:
            raise fail(
                "the saved proofs were checked with this database's own keys, which prove nothing against"
                " whoever can write to it; name the key you kept with --log-key, or a --policy",
                OPEN,
            )

    @audit.command()
    def proof(
        output: Annotated[
            Path | None, typer.Option("--output", "-o", help="File to write; none: print it.")
        ] = None,
        data: Data = None,
    ) -> None:
        """Write the newest proof that the audit log stood as it stands.

        Keep it where the database's administrator has no access, and give it to
        `proof audit verify --against`. Any verifier reads it. Exits 3 when there is none yet.
        """
        with stated_errors():
            try:
                found = open_installation(ServerOptions(data)).with_database(
                    lambda database: newest_proof(database, SystemClock())
                )
            except ProofNotYetError as error:
                raise fail(error.message, OPEN) from None
        _write(found.body, output)
        err.print(
            f"the audit log up to entry {found.head.entry_id} (position {found.head.position})"
            f" stands in the timestamp log since {utc_text(found.timestamp_ms)}",
            markup=False,
        )

    @audit.command()
    def prove(
        entry_id: Annotated[int, typer.Argument(min=1, help="Its number in `proof audit list`.")],
        partner: Annotated[
            str | None,
            typer.Option(help="Whom it is for: refused when the entry is not about this partner."),
        ] = None,
        internal: Annotated[
            bool, typer.Option("--internal", help="Also an entry that is about no partner.")
        ] = False,
        output: Annotated[
            Path | None,
            typer.Option("--out", "--output", "-o", help="File to write; none: print it."),
        ] = None,
        data: Data = None,
    ) -> None:
        """Write the proof of one entry, to give to the partner it is about.

        It shows that entry whole, the operator's name and address too, and nothing of any other.
        `proof verify FILE --log-key KEYS --receipt-key KEYS` checks it anywhere. Exits 3 while there is no
        proof yet.

        Example: proof audit prove 1207 --partner ptr_0Ie1P2uMi2fCZ --out entry-1207.proof.json
        """
        installation = open_installation(ServerOptions(data))
        with stated_errors():
            try:
                vault = installation.vault()
                found = installation.with_database(
                    lambda database: _entry_proof(database, vault, entry_id)
                )
            except ProofNotYetError as error:
                raise fail(error.message, OPEN) from None
            except UnsoundProofError as error:
                raise fail(error.message, FAILED) from None
        _require_addressee(found.entry, partner, internal=internal)
        _write(found.body, output)
        err.print(
            f"entry {entry_id}, whole, for {found.entry.partner_id or 'the operator'} alone",
            markup=False,
        )


async def _entry_proof(database: Database, vault: Vault, entry_id: int) -> EntryProof:
    from proof.receipts.keys import ReceiptKeys

    # The audit log is one for the installation, and stamped in the production log.
    async with database.connection() as connection:
        key = await ReceiptKeys(vault).signer(connection, SYSTEM.environment)
    return await entry_proof(
        database, SystemClock(), entry_id, lambda text: signed_note(text, [key.sign(text)]).decode()
    )


def _require_addressee(entry: Entry, partner: str | None, *, internal: bool) -> None:
    if partner is not None and entry.partner_id != partner:
        raise fail(
            f"entry {entry.id} is not about {printable(partner)}, who must not see it;"
            f" `proof audit list --partner {printable(partner)}` shows those that are",
            USAGE,
        )
    if entry.partner_id is None and not internal:
        raise fail(
            f"entry {entry.id} is about no partner, so it is for none of them; --internal writes its proof"
            " for the operator's own use",
            USAGE,
        )


async def _newest(database: Database, limit: int, wanted: AuditQuery) -> list[Entry]:
    async with database.connection() as connection:
        if wanted.partner_id is not None:
            await environment_names(connection, wanted.partner_id)
        return await newest_entries(connection, limit, wanted)


async def _export(database: Database, since: datetime | None) -> bool:
    """Whether the reader took everything; one that has enough, as `head`, is no failure of the database."""
    async with database.snapshot() as connection:
        first = 1
        if since is not None:
            first = await audit_chain.first_position_since(connection, since) or sys.maxsize
        async for link in audit_chain.links(connection, first - 1):
            line = {
                "position": link.head.position,
                "previous": link.previous.hex(),
                "hash": link.head.hash.hex(),
                "entry": audit_chain.wire(link.entry) if link.entry else None,
            }
            if not _written(canonical_json(line).decode() + "\n"):
                return False
        if waiting := await audit_chain.waiting(connection):
            err.print(f"{waiting} entries are not chained yet, and not here; does a worker run?")
    return _written("", flush=True)


def _written(text: str, *, flush: bool = False) -> bool:
    try:
        sys.stdout.write(text)
        if flush:
            sys.stdout.flush()
    except BrokenPipeError:
        # What is still buffered would fail again, with a traceback, when the interpreter ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return False
    return True


async def _verify(database: Database, saved: list[bytes], trusted: Policy | None) -> AuditReport:
    async with database.connection() as connection:
        head = await audit_chain.newest_head(connection)
    with progress("recomputing", head.position if head else 0) as advance:
        return await verify_log(database, saved, trusted, advance)


def _write(body: bytes, output: Path | None) -> None:
    if output is None:
        sys.stdout.write(body.decode() + "\n")
        return
    try:
        write_atomically(output, body + b"\n")
    except OSError as error:
        raise fail(
            f"cannot write {printable(str(output))}: {error.strerror}"
            "; name another place, or make room there",
            FAILED,
        ) from None


def _print_entries(entries: list[Entry]) -> None:
    for entry in entries:
        at = entry.at.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%SZ")
        who = "  ".join(filter(None, (entry.actor, entry.address, entry.request_id)))
        about = f"{entry.action}  {entry.partner_id or ''}".rstrip()
        out.print(printable(f"{entry.id:6}  {at}  {about}  by {who}"), markup=False)
        for mark, value, style in (("-", entry.before, "red"), ("+", entry.after, "green")):
            if value is not None:
                text = canonical_json(value).decode()
                out.print(f"        {mark} {printable(text)}", markup=False, style=style)


def _print_verdict(verdict: AuditReport) -> None:
    chain = verdict.chain
    out.print(
        f"{chain.checked} entries and {verdict.heads} heads in the timestamp log checked;"
        f" {chain.waiting} entries wait to be chained"
    )
    for held in verdict.saved:
        out.print(
            f"as it was on {utc_text(held.timestamp_ms)} up to entry {held.entry_id}"
            f" (position {held.position})"
        )
    for finding in verdict.findings:
        out.print(finding, style="red", markup=False)
    out.print("nothing was altered" if not verdict.findings else f"{len(verdict.findings)} found")


def _wire(verdict: AuditReport) -> dict[str, Any]:
    head = verdict.chain.head
    return {
        "checked": verdict.chain.checked,
        "waiting": verdict.chain.waiting,
        "head": head and {"position": head.position, "hash": head.hash.hex()},
        "heads": verdict.heads,
        "saved": [
            {"position": head.position, "entryId": head.entry_id, "timestamp": head.timestamp_ms}
            for head in verdict.saved
        ],
        "findings": list(verdict.findings),
    }


def _moment(text: str | None) -> datetime | None:
    try:
        moment = None if text is None else datetime.fromisoformat(text)
    except ValueError:
        raise InvalidInputError(
            f"--since: {text!r} is not a date or time in ISO 8601; write one like 2026-01-31"
        ) from None
    return moment.replace(tzinfo=UTC) if moment and moment.tzinfo is None else moment


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(MAX_BYTES + 1)
    except OSError as error:
        raise fail(
            f"cannot read {printable(str(path))}: {error.strerror}; check its name and its mode",
            USAGE,
        ) from None


def _trusted(log_key: Sequence[Path], policy: Path | None) -> Policy | None:
    if not log_key and policy is None:
        return None
    try:
        return read_trust(map(str, log_key), None if policy is None else str(policy))
    except UsageError as error:
        raise fail(str(error), USAGE) from None
