"""proof verify: checking what a server gave.

`proof verify` runs the stand-alone verifier's own command, so both say and exit the same.
"""

import inspect
import io
import json
from collections.abc import Callable, Iterable
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer

from proof.cli.output import FAILED, USAGE, Json, fail, print_json, printable
from proof.cli.proofs import manifest as manifests
from proof.cli.proofs.fetching import PROOF_SUFFIX, proof_path
from proof.cli.proofs.hashing import Problem, find_files, hash_all
from proof.cli.proofs.manifest import Difference, ManifestError
from proof.verify.cli import EXIT_USAGE, main
from proof.verify.evidence.kinds import TrustOption, trust_options
from proof.verify.evidence.log.tlog_proof import SUFFIX as TLOG_SUFFIX
from proof.verify.files import (
    STANDARD_INPUT,
    UsageError,
    looks_like_audit_proof,
    looks_like_receipt,
    looks_like_statement,
    read,
)
from proof.verify.strict_json import MAX_RECEIPT_BYTES

OTS_SUFFIX = ".ots"


_Command = TypeVar("_Command", bound=Callable[..., None])


@dataclass(frozen=True, slots=True)
class _Comparison:
    """A folder beside its manifest. `skipped`: links and special files, which manifests leave out."""

    difference: Difference
    unreadable: list[Problem]
    skipped: list[Problem]

    @property
    def differs(self) -> bool:
        return bool(self.difference or self.unreadable)


def register(app: typer.Typer) -> None:
    """Add the commands."""

    @app.command()
    @_with_options(trust_options())
    def verify(
        file: Annotated[
            Path,
            typer.Argument(help="The file, or a proof alone; `-` is standard input, once."),
        ],
        proof: Annotated[
            Path | None, typer.Argument(help="[FILE.proof.json, .tlog-proof or .ots]")
        ] = None,
        log_key: Annotated[
            list[Path] | None,
            typer.Option(help="Verifier keys you trust, any cosigner of them. Repeat."),
        ] = None,
        policy: Annotated[
            Path | None,
            typer.Option(help="Whose cosignatures you need (C2SP tlog-policy)."),
        ] = None,
        headers: Annotated[
            Path | None,
            typer.Option(help="Bitcoin's headers, from `proof headers sync`."),
        ] = None,
        network: Annotated[
            list[str] | None,
            typer.Option(help="Test network of Bitcoin that should count, e.g. regtest. Repeat."),
        ] = None,
        sha256: Annotated[
            str | None,
            typer.Option(metavar="HEX", help="The hash, where FILE is the proof alone."),
        ] = None,
        files: Annotated[
            Path | None,
            typer.Option(help="FILE is a manifest: check every file of this folder against it."),
        ] = None,
        receipt_key: Annotated[
            list[Path] | None,
            typer.Option(
                help="Of a receipt or an act: receipts keys you trust (`/receipts/key`). Repeat."
            ),
        ] = None,
        disclosure: Annotated[
            list[Path] | None,
            typer.Option(
                help="Of a receipt: disclosed values, to be what its hashes are of. Repeat."
            ),
        ] = None,
        webhooks: Annotated[
            Path | None,
            typer.Option(help="Of a receipt: webhook bodies, one a line, to be what was recorded."),
        ] = None,
        against: Annotated[
            Path | None,
            typer.Option(
                help="Of a statement with its CSV: your own list (CSV), to find what differs."
            ),
        ] = None,
        previous: Annotated[
            Path | None,
            typer.Option(help="Of a statement: that of the day before; no day may be left out."),
        ] = None,
        as_json: Json = False,
        **trusted: list[str] | None,
    ) -> None:
        """Check a file and its proof, a receipt or a statement; nothing is asked of any server.

        The proof is JSON or a .tlog-proof of ours, or an .ots file of anybody's. A receipt is given alone,
        and so is the proof of an act from `proof audit prove`; a day's statement with the list of its
        transactions behind it.
        Exits 0 when the time is signed by a key or certificate you gave or is that of a block you trust, 3
        when all is consistent but not tied to anything you trust, 1 when refused, 2 on wrong usage.

        Example: proof verify contract.pdf --log-key log.key
        """
        trust = {
            "--log-key": log_key,
            "--policy": policy and [policy],
            "--headers": headers and [headers],
            "--network": network,
            "--sha256": sha256 and [sha256],
            "--receipt-key": receipt_key,
            "--disclosure": disclosure,
            "--webhooks": webhooks and [webhooks],
            "--against": against and [against],
            "--previous": previous and [previous],
            **{f"--{name.replace('_', '-')}": values for name, values in trusted.items()},
        }
        options = [f"{name}={value}" for name, values in trust.items() for value in values or ()]
        arguments = _arguments(file, proof, options + (["--json"] if as_json else []))
        if files is None:
            raise typer.Exit(main(arguments, prog="proof verify"))
        if _is_input(file):
            raise fail("--files takes no manifest from standard input; name its file", USAGE)
        raise typer.Exit(_verify_manifest(arguments, file, files, as_json=as_json))


def _with_options(options: Iterable[TrustOption]) -> Callable[[_Command], _Command]:
    """A command whose `**trusted` are these options, so that the verifier alone knows what there is to
    trust."""

    def expanded(command: _Command) -> _Command:
        signature = inspect.signature(command)
        fixed = [
            each for each in signature.parameters.values() if each.kind is not each.VAR_KEYWORD
        ]
        more = [_parameter(option) for option in options]
        # What the framework reads a command's options from.
        vars(command)["__signature__"] = signature.replace(parameters=[*fixed, *more])
        return command

    return expanded


def _parameter(option: TrustOption) -> inspect.Parameter:
    said = option.about[0].upper() + option.about[1:]
    found = typer.Option(option.name, metavar=option.metavar, help=f"{said}. Repeat.")
    return inspect.Parameter(
        option.name.removeprefix("--").replace("-", "_"),
        inspect.Parameter.KEYWORD_ONLY,
        default=None,
        annotation=Annotated[list[str] | None, found],
    )


def _is_input(path: Path) -> bool:
    """Whether it stands for standard input."""
    return str(path) == STANDARD_INPUT


def _stands_alone(path: Path) -> bool:
    """Whether the file is meant as a receipt, a statement or the proof of an act; one that cannot be read
    is told of elsewhere."""
    try:
        raw = read(str(path), MAX_RECEIPT_BYTES)
    except UsageError:
        return False
    return any(
        meant(raw) for meant in (looks_like_receipt, looks_like_statement, looks_like_audit_proof)
    )


def _arguments(file: Path, proof: Path | None, options: list[str]) -> list[str]:
    """The stand-alone verifier's arguments."""
    alone = (PROOF_SUFFIX, OTS_SUFFIX, TLOG_SUFFIX)
    if proof is None and (_is_input(file) or file.name.endswith(alone) or _stands_alone(file)):
        return [*options, "--", str(file)]
    given = proof or next((path for path in _proof_paths(file) if path.exists()), None)
    if given is None:
        raise fail(
            f"there is no {printable(str(proof_path(file)))}; get it with `proof fetch FILE`, or"
            " name the proof",
            USAGE,
        )
    return [*options, "--", str(file), str(given)]


def _proof_paths(file: Path) -> tuple[Path, ...]:
    others = (file.with_name(file.name + suffix) for suffix in (TLOG_SUFFIX, OTS_SUFFIX))
    return proof_path(file), *others


def _verify_manifest(arguments: list[str], manifest: Path, folder: Path, *, as_json: bool) -> int:
    """The manifest's own proof, then the folder. 1 when the folder differs, else as the proof."""
    told = io.StringIO()
    with redirect_stdout(told):
        code = main(arguments, prog="proof verify")
    if code == EXIT_USAGE:
        return code
    compared = _compare(manifest, folder)
    if compared.differs:
        code = FAILED
    if as_json:
        facts = json.loads(told.getvalue()) | {"exitCode": code}
        print_json(facts | {"files": _wire(compared)})
    else:
        typer.echo(told.getvalue(), nl=False)
        _print(compared, folder)
    return code


def _compare(manifest: Path, folder: Path) -> _Comparison:
    if not folder.is_dir():
        raise fail(
            f"{printable(str(folder))} is not a folder; name the one the manifest is of", USAGE
        )
    try:
        with manifest.open("rb") as file:
            entries = manifests.parse(file.read(manifests.MAX_BYTES + 1))
    except OSError as error:
        raise fail(
            f"cannot read {printable(str(manifest))}: {error.strerror}; check its name and its mode",
            USAGE,
        ) from None
    except ManifestError as error:
        raise fail(f"{printable(str(manifest))}: {error.message}", FAILED) from None
    found = find_files(folder)
    hashed, unreadable = hash_all(found.sources)
    return _Comparison(
        manifests.compare(entries, folder, hashed), [*found.unreadable, *unreadable], found.skipped
    )


def _wire(compared: _Comparison) -> dict[str, Any]:
    difference = compared.difference
    return {
        "missing": [printable(path) for path in difference.missing],
        "changed": [printable(path) for path in difference.changed],
        "extra": [printable(path) for path in difference.extra],
        "unreadable": [problem.wire() for problem in compared.unreadable],
        "skipped": [problem.wire() for problem in compared.skipped],
    }


def _print(compared: _Comparison, folder: Path) -> None:
    for label in ("missing", "changed", "extra"):
        for path in getattr(compared.difference, label):
            typer.echo(f"{label:8}  {printable(path)}")
    for label in ("unreadable", "skipped"):
        for problem in getattr(compared, label):
            typer.echo(f"{label:8}  {printable(str(problem.path))}: {problem.reason}")
    same = "differs from" if compared.differs else "is exactly as"
    but = "; what was skipped no manifest covers" if compared.skipped else ""
    typer.echo(f"{printable(str(folder))} {same} the manifest says{but}.")
