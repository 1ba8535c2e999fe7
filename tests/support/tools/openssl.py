"""The program `openssl` of the tests that have it judge what Proof signs."""

import os
import shutil
import subprocess

_INSTALL_S = 300


class OpensslMissingError(Exception):
    """There is no openssl on PATH and it could not be installed."""


def install() -> None:
    """Put openssl on PATH, as root with Debian's package. Raises OpensslMissingError with what to do."""
    if shutil.which("openssl"):
        return
    if os.geteuid() != 0:
        raise OpensslMissingError(
            "the tests need openssl; install it with `apt-get install openssl`"
        )
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for command in (["update"], ["install", "-y", "--no-install-recommends", "openssl"]):
        done = subprocess.run(
            ["apt-get", *command],
            env=environment,
            capture_output=True,
            text=True,
            timeout=_INSTALL_S,
        )
        if done.returncode:
            raise OpensslMissingError(
                f"apt-get {command[0]} failed; install openssl: {done.stderr}"
            )
