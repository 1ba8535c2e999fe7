"""The page's recipe for chains that cost nothing, run as it stands with real nodes; only ports differ."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from tests.support.ports import free_port
from tests.support.tools import anvil, bitcoind

PAGE = Path("src/proof/web/pages/chains.md")
_SECTION = "## Try it without money\n"
_LIMIT_S = 280


@pytest.fixture
def ports() -> dict[str, int]:
    return {port: free_port() for port in ("18443", "8545", "8420")}


@pytest.fixture
def environment(tmp_path: Path, ports: dict[str, int]) -> dict[str, str]:
    """A home of its own, with the programs that the recipe names on the path."""
    programs = tmp_path / "bin"
    programs.mkdir()
    node = bitcoind.command()
    cli = [*node[:-1], str(Path(node[-1]).with_name("bitcoin-cli"))]
    proof = [str(Path(sys.executable).with_name("proof"))]
    for name, command in (
        ("bitcoind", node),
        ("bitcoin-cli", cli),
        ("anvil", anvil.command()),
        ("proof", proof),
    ):
        (programs / name).write_text(f'#!/bin/sh\nexec {" ".join(command)} "$@"\n')
        (programs / name).chmod(0o755)
    settings = tmp_path / ".bitcoin"
    settings.mkdir()
    (settings / "bitcoin.conf").write_text(
        f"listen=0\n[regtest]\nrpcport={ports['18443']}\nprinttoconsole=0\n"
    )
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PROOF_")}
    return kept | {
        "HOME": str(tmp_path),
        "PATH": f"{programs}:{os.environ['PATH']}",
        "PROOF_PORT": str(ports["8420"]),
        "ANVIL_PORT": str(ports["8545"]),
    }


def recipe(ports: dict[str, int]) -> tuple[str, str]:
    """What is typed in the first terminal and in the second."""
    section = PAGE.read_text().partition(_SECTION)[2].partition("\n## ")[0]
    first, second = re.findall(r"```sh\n(.*?)```", section, re.DOTALL)
    for port, ours in ports.items():
        first, second = first.replace(port, str(ours)), second.replace(port, str(ours))
    return first.replace("anvil --", f"anvil --port {ports['8545']} --"), second


def test_the_recipe_leads_to_proofs_in_both_chains(
    tmp_path: Path, ports: dict[str, int], environment: dict[str, str]
) -> None:
    first, second = recipe(ports)
    answered = f"(: < /dev/tcp/127.0.0.1/{ports['8420']}) 2> /dev/null"
    ready = f"until {answered}; do sleep 0.5; done"
    script = f"set -e\n{first.rstrip()} > serve.log 2>&1 &\n{ready}\nset -x\n{second}"
    # What the recipe starts in the background would run on: all of it is ended with the shell's group.
    shell = subprocess.Popen(
        ["bash", "-c", script],
        cwd=tmp_path,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        said, _ = shell.communicate(timeout=_LIMIT_S)
    finally:
        os.killpg(shell.pid, signal.SIGTERM)
        subprocess.run(
            ["bitcoin-cli", "-regtest", "stop"], env=environment, check=False, capture_output=True
        )
    assert "Established: 'chains.toml'" in said, said[-3_000:]
    assert "regtest network" in said
    assert (tmp_path / "chains.toml.eth.proof.json").exists()
