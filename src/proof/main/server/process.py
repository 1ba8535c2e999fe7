"""`python -m proof.main.server.process PART`: what `proof serve` becomes, and the processes it starts.

These run for years, so they have nothing of the commands loaded, which would make each of them a quarter
larger and the one that watches over the others twice as large.
"""

import gc
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    # Only for type checkers: modules are imported when the part is known.
    from proof.cli.installation import ServerOptions
    from proof.config import Settings

_MODULE = "proof.main.server.process"


def become_supervisor(options: "ServerOptions", environment: dict[str, str]) -> NoReturn:
    """Go on as the process that runs everything, with these options of `proof serve`."""
    given = (options.data_dir, options.host, options.port, options.processes)
    words = ["" if each is None else str(each) for each in given]
    program = [*command("serve"), *words]
    os.execve(sys.executable, program, environment)  # noqa: S606 - our own program, without a shell


def command(part: str) -> list[str]:
    """The words that start a part of a server."""
    return [sys.executable, "-m", _MODULE, part]


def run(part: str, *options: str) -> int:
    """Until told to stop; the exit code. What cannot be done is said as the commands say it."""
    # structlog would load it to draw tracebacks in a terminal: 5 MB that JSON lines do without.
    sys.modules["rich"] = None  # type: ignore[assignment]
    import structlog  # noqa: F401

    # The documentation's list of commands needs it, once somebody reads that.
    del sys.modules["rich"]
    from proof.core.errors import ProofError

    try:
        return _PARTS[part](options)
    except ProofError as error:
        return _failed(error)


def _failed(error: Exception) -> int:
    import typer

    from proof.cli.output import stated_errors

    try:
        with stated_errors():
            raise error
    except typer.Exit as ended:
        return ended.exit_code


def _serve(options: Sequence[str]) -> int:
    from proof.main.server.supervise import Supervisor

    data_dir, host, port, processes = options
    settings = _settings(
        data_dir=Path(data_dir) if data_dir else None,
        host=host or None,
        port=int(port) if port else None,
        processes=int(processes) if processes else None,
    )
    _keep_what_is_loaded()
    return Supervisor(settings, lambda served: _announce(served, bool(data_dir or port))).run()


def _api(_options: Sequence[str]) -> int:
    from proof.main.checks.preconditions import OF_API, require
    from proof.main.server.processes import run_api

    settings = _settings()
    _keep_what_is_loaded()
    require(settings, OF_API)
    run_api(settings)
    return 0


def _worker(_options: Sequence[str]) -> int:
    from proof.main.checks.preconditions import OF_WORKER, require
    from proof.main.server.worker import run_worker_process

    settings = _settings()
    _keep_what_is_loaded()
    require(settings, OF_WORKER)
    run_worker_process(settings)
    return 0


_PARTS: dict[str, Callable[[Sequence[str]], int]] = {
    "serve": _serve,
    "api": _api,
    "worker": _worker,
}


def _settings(**options: object) -> "Settings":
    from proof.config import load_settings
    from proof.main.parts.keys import forget_key_variable

    settings = load_settings(os.environ, **options)
    forget_key_variable(os.environ)
    return settings


def _announce(settings: "Settings", named: bool) -> None:
    """Say where it serves; `named`: with options that commands do not have in their settings."""
    from proof.partners.types import Environment

    lines = [
        *([_DEVELOPMENT] if settings.mode == "development" else []),
        f"production  {settings.base_url(Environment.PRODUCTION)}",
        f"sandbox     {settings.base_url(Environment.SANDBOX)}",
        f"data        {settings.data_dir}",
    ]
    if named:
        places = f"PROOF_DATA_DIR={quote(str(settings.data_dir))} PROOF_PORT={settings.port}"
        lines.append(f"commands    reach it after: export {places}")
    sys.stderr.write("".join(f"{line}\n" for line in lines))
    sys.stderr.flush()


_DEVELOPMENT = "Proof runs in development mode, with keys of its own making: not for real partners."


def _keep_what_is_loaded() -> None:
    """Looking for garbage in what is imported takes time, and copies memory that forks share."""
    gc.freeze()
    gc.enable()


if __name__ == "__main__":
    gc.disable()
    sys.exit(run(*sys.argv[1:]))
