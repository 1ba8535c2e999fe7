"""A command that would use other data than the running server's says so, and the server how to reach it."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.served import Server, unstarted


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """With a folder of its own, and commands that were told so."""
    with unstarted() as running:
        folder = running.environment.pop("PROOF_DATA_DIR")
        running.options = ("--data", folder)
        running.start()
        running.environment["PROOF_DATA_DIR"] = folder
        yield running


def test_serve_with_a_folder_of_its_own_says_how_commands_reach_it(server: Server) -> None:
    assert f"export PROOF_DATA_DIR={server.data_dir} PROOF_PORT=" in server.log()


def test_a_command_with_another_folder_names_the_one_that_is_served(
    server: Server, tmp_path: Path
) -> None:
    elsewhere = str(tmp_path / "data")
    wrong = server.run("partner", "list", PROOF_DATA_DIR=elsewhere)
    assert f"has the data folder {server.data_dir}" in wrong.stderr
    assert f"this command uses the data folder {elsewhere}" in wrong.stderr
    assert f"--data {server.data_dir}" in wrong.stderr
    assert wrong.stderr.count("to reach that one") == 1
    checked = server.run("config", "check", PROOF_DATA_DIR=elsewhere)
    assert f"has the data folder {server.data_dir}" in checked.stderr
    right = server.run("partner", "list")
    assert (right.returncode, right.stderr) == (0, "")


def test_a_command_with_another_database_says_so(server: Server) -> None:
    url = "postgresql://a:secret@127.0.0.1:1/x"
    wrong = server.run("partner", "list", PROOF_DATABASE_URL=url)
    assert "this command uses the database 127.0.0.1:1/x" in wrong.stderr
    assert "secret" not in wrong.stderr
