"""The dispute on the page for auditors comes out as it is told there, with the published receipts."""

import re
import shlex
import shutil
from pathlib import Path

import pytest
from tests.support.receipt_vectors import FOLDER

from proof.verify.cli import main
from proof.web.contents import source

# What the page calls them, and which of the published files they are.
FILES = {
    "receipt.json": "tied/with-statement.json",
    "shortened.json": "refused/truncated-with-its-old-signature.json",
    "bodies.ndjson": "webhooks.ndjson",
    "address.json": "disclosure.json",
    "receipts.key": "receipts.key",
    "log.key": "log.key",
}
PROVIDER = "mercuryo"
STEPS = re.findall(r"```sh\nproof-verify (.*?)\n```.*?```\n(.*?)```", source("auditing"), re.DOTALL)


@pytest.mark.parametrize(("command", "said"), STEPS)
def test_each_step_says_what_the_page_says(
    command: str,
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name, published in FILES.items():
        shutil.copy(FOLDER / published, tmp_path / name)
    monkeypatch.chdir(tmp_path)
    code = main(shlex.split(command))
    out = capsys.readouterr().out
    # The page names no provider; the published receipt has to.
    lines = [line for line in said.replace("<provider>", PROVIDER).splitlines() if line]
    assert lines
    assert [line for line in lines if line not in out] == []
    assert code == (1 if lines[0].startswith(("Refused", "Not what")) else 0)


def test_the_page_shows_every_way_to_look() -> None:
    options = " ".join(command for command, _ in STEPS)
    assert len(STEPS) == 4
    assert "--webhooks" in options
    assert "--disclosure" in options
