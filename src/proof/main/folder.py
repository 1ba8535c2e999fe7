"""What the operating system says against the data folder, in words."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from proof.config import SettingsError


@contextmanager
def usable_folder(folder: Path) -> Iterator[None]:
    """Turn an OSError within the block into a SettingsError that names the folder and the remedy."""
    try:
        yield
    except OSError as error:
        reason = error.strerror
        if isinstance(error, FileExistsError | NotADirectoryError):
            reason = "it is, or lies in, a file"
        raise SettingsError(
            f"the data folder {folder} cannot be used: {reason};"
            " name another with --data or PROOF_DATA_DIR"
        ) from None
