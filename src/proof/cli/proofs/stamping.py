"""proof stamp: files and folders, hashed here, submitted in few requests."""

import asyncio
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from proof.cli.output import (
    FAILED,
    USAGE,
    Json,
    err,
    fail,
    print_json,
    printable,
    progress,
    write_atomically,
)
from proof.cli.proofs.client import (
    MAX_HASHES,
    ApiKey,
    SubmitAnswer,
    Target,
    Url,
    connected,
    stated_api_errors,
)
from proof.cli.proofs.collecting import Collection, FolderManifest, collect
from proof.cli.proofs.fetching import (
    DEFAULT_TIMEOUT_S,
    PROOF_SUFFIX,
    FetchRequest,
    FetchResult,
    Timeout,
    exit_code,
    fetch_proofs,
    print_fetched,
    proof_path,
)


def register(app: typer.Typer) -> None:
    """Add the command."""

    @app.command()
    def stamp(
        url: Url,
        api_key: ApiKey,
        paths: Annotated[
            list[Path] | None, typer.Argument(metavar="PATH", help="Files and folders.")
        ] = None,
        sha256: Annotated[
            list[str] | None, typer.Option("--sha256", help="A hash instead of a file. Repeat.")
        ] = None,
        manifest: Annotated[
            Path | None,
            typer.Option(help="Where a folder's manifest goes. [FOLDER.proof-manifest.json]"),
        ] = None,
        force: Annotated[
            bool, typer.Option("--force", help="Replace a manifest or a proof of something else.")
        ] = False,
        wait: Annotated[
            bool, typer.Option("--wait", help="Wait for the proofs and write them.")
        ] = False,
        timeout_s: Timeout = DEFAULT_TIMEOUT_S,
        as_json: Json = False,
    ) -> None:
        """Timestamp files and folders. They are hashed here and do not leave this machine.

        A folder yields a manifest beside it that lists every file and is stamped too; symbolic links
        in it are not followed. With --wait, proofs of files named here and of manifests are written
        as FILE.proof.json. What cannot be read is reported, the rest is stamped, and the exit code
        is 1.

        Example: proof stamp contract.pdf photos/ --wait
        """
        target = Target.checked(url, api_key)
        if not paths and not sha256:
            raise fail(
                "there is nothing to stamp; name files or folders, or give --sha256 HEX", USAGE
            )
        collected = collect(paths or [], sha256 or [], manifest)
        if not collected.digests():
            _print_unreadable(collected)
            raise fail("nothing to stamp could be read; check the names and modes above", FAILED)
        _require_room(collected.manifests, force=force)
        answers = _submit(target, collected.digests())
        _write(collected.manifests)
        wanted = _wanted(collected) if wait else []
        with stated_api_errors():
            fetched = fetch_proofs(target, wanted, timeout_s, force=force) if wanted else []
        if as_json:
            print_json(_wire(collected, answers, fetched))
        else:
            _print(collected, answers, fetched, waited=wait)
        raise typer.Exit(FAILED if collected.unreadable else exit_code(fetched))


def chunks(digests: Sequence[str], size: int = MAX_HASHES) -> Iterator[Sequence[str]]:
    """The requests that submit `digests`: at most `size` in each, as few as can be."""
    return (digests[start : start + size] for start in range(0, len(digests), size))


def _require_room(found: Sequence[FolderManifest], *, force: bool) -> None:
    """Before anything is submitted: no manifest of other content is replaced unasked."""
    for manifest in found:
        try:
            same = manifest.path.read_bytes() == manifest.content
        except FileNotFoundError:
            continue
        except OSError as error:
            raise fail(
                f"cannot read {printable(str(manifest.path))}: {error.strerror};"
                " check its name and its mode",
                FAILED,
            ) from None
        if not same and not force:
            raise fail(
                f"{printable(str(manifest.path))} is a manifest of other content; keep it by giving"
                " --manifest FILE, or replace it with --force",
                FAILED,
            )


def _submit(target: Target, digests: Sequence[str]) -> list[SubmitAnswer]:
    done: list[SubmitAnswer] = []

    async def submit() -> None:
        with progress("stamping", len(digests)) as advance:
            async with connected(target) as api:
                for chunk in chunks(digests):
                    done.append(await api.submit(chunk))
                    advance(len(chunk))

    try:
        with stated_api_errors():
            asyncio.run(submit())
    except typer.Exit:
        if done:
            count = sum(len(answer.sha256) + len(answer.existing) for answer in done)
            err.print(f"{count} of {len(digests)} hashes are stamped; running this again is safe")
        raise
    return done


def _write(found: Sequence[FolderManifest]) -> None:
    # Only now: a manifest on disk has been stamped. If we stop before, running again gives the same.
    for manifest in found:
        try:
            write_atomically(manifest.path, manifest.content)
        except OSError as error:
            raise fail(
                f"the hashes are stamped, but {printable(str(manifest.path))} cannot be written"
                f" ({error.strerror}); run this again with --manifest FILE",
                FAILED,
            ) from None


def _wanted(collected: Collection) -> list[FetchRequest]:
    """Proofs of what was named. A folder's files are covered by its manifest, and stay as they are."""
    bare = [FetchRequest(sha256, Path(sha256 + PROOF_SUFFIX)) for sha256 in collected.hashes]
    files = [FetchRequest(file.sha256, proof_path(file.path)) for file in collected.files]
    return [
        *bare,
        *files,
        *(FetchRequest(m.sha256, proof_path(m.path)) for m in collected.manifests),
    ]


def _wire(
    collected: Collection, answers: Sequence[SubmitAnswer], fetched: Sequence[FetchResult]
) -> dict[str, Any]:
    new = {sha256 for answer in answers for sha256 in answer.sha256}
    return {
        "hashes": [{"sha256": sha256, "new": sha256 in new} for sha256 in collected.hashes],
        "files": [
            {
                "path": printable(str(file.path)),
                "size": file.size,
                "sha256": file.sha256,
                "new": file.sha256 in new,
            }
            for file in (*collected.files, *collected.in_folders)
        ],
        "manifests": [
            {
                "folder": printable(str(manifest.folder)),
                "path": printable(str(manifest.path)),
                "sha256": manifest.sha256,
                "new": manifest.sha256 in new,
            }
            for manifest in collected.manifests
        ],
        "requests": [
            {
                "dateCreated": answer.date_created,
                "new": len(answer.sha256),
                "existing": len(answer.existing),
                "trees": msgspec.to_builtins(answer.trees),
            }
            for answer in answers
        ],
        "proofs": [result.wire() for result in fetched],
        "skipped": [problem.wire() for problem in collected.skipped],
        "unreadable": [problem.wire() for problem in collected.unreadable],
    }


def _print(
    collected: Collection,
    answers: Sequence[SubmitAnswer],
    fetched: Sequence[FetchResult],
    *,
    waited: bool,
) -> None:
    new = {sha256 for answer in answers for sha256 in answer.sha256}
    rows = [(sha256, "") for sha256 in collected.hashes]
    rows += [(file.sha256, str(file.path)) for file in (*collected.files, *collected.in_folders)]
    rows += [(manifest.sha256, str(manifest.path)) for manifest in collected.manifests]
    lines = [
        f"{'new' if sha256 in new else 'known':5}  {sha256}  {printable(name)}".rstrip()
        for sha256, name in rows
    ]
    typer.echo("\n".join(lines))
    print_fetched(fetched)
    _print_unreadable(collected)
    err.print(_summary(collected, len(new), waited=waited), markup=False)


def _print_unreadable(collected: Collection) -> None:
    for problem in collected.unreadable:
        name = printable(str(problem.path))
        err.print(f"proof: cannot read {name}: {problem.reason}", markup=False, style="red")


def _summary(collected: Collection, new: int, *, waited: bool) -> str:
    count = len(collected.digests())
    parts = [f"{count} hashes stamped: {new} new, {count - new} known"]
    if collected.skipped:
        parts.append(f"{len(collected.skipped)} symbolic links or special files skipped")
    if not waited:
        parts.append("get a proof with `proof fetch FILE` or `proof fetch SHA256`")
    return "; ".join(parts)
