"""`proof serve` as an operator meets it: starting, stopping, being killed, being misused."""

import json
import os
import re
import signal
import stat
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from tests.support.served import Server, served, unstarted

PATIENCE_S = 120.0


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with served() as running:
        yield running


def test_health_and_documents(server: Server) -> None:
    assert get(f"{server.url}/healthz") == {"status": "ok"}
    assert get(f"{server.url}/readyz") == {"status": "ready"}
    assert get(f"{server.url}/openapi.json")["openapi"] == "3.1.0"


def test_a_second_start_says_what_to_do(server: Server) -> None:
    again = server.run_process("serve")
    assert again.returncode == 2
    assert "choose another with --port" in again.stderr
    other_port = server.run_process("serve", "--port", "0")
    assert other_port.returncode == 2
    assert "choose another --data" in other_port.stderr
    assert "Traceback" not in again.stderr + other_port.stderr


def test_nothing_in_the_data_directory_is_for_others(server: Server) -> None:
    keys = server.data_dir / "keys"
    assert stat.S_IMODE(keys.stat().st_mode) == 0o700
    for path in keys.rglob("*"):
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path


def test_no_secret_in_process_titles_or_the_log(server: Server) -> None:
    partner = server.add_partner(name="Titles")
    secrets = [value for part in ("production", "sandbox") for value in partner[part].values()]
    tokens = [value for value in secrets if value.startswith(("proof_", "whsec_"))]
    passwords = json.loads((server.data_dir / "keys" / "postgresql.json").read_text()).values()
    request = urllib.request.Request(
        f"{server.url}/v1/timestamp/{'0' * 64}", headers={"x-api-key": tokens[1]}
    )
    with pytest.raises(urllib.error.HTTPError) as unknown:
        urllib.request.urlopen(request)
    assert unknown.value.code == 404
    unknown.value.close()
    seen = server.log() + "".join(map(command_line, every_process()))
    for secret in [*tokens, *passwords]:
        assert secret not in seen


def test_keys_that_others_can_read_refuse_the_start() -> None:
    with unstarted() as server:
        (server.data_dir / "keys").chmod(0o750)
        refused = server.run_process("serve")
        assert refused.returncode == 2
        assert "chmod 700" in refused.stderr
        (server.data_dir / "keys").chmod(0o700)
        server.start()


def test_sigterm_finishes_what_was_accepted(server: Server) -> None:
    key = server.add_partner()["production"]["api_key"]
    statuses: list[int] = []
    stopping = threading.Event()

    def press() -> None:
        number = 0
        while not stopping.is_set():
            number += 1
            digest = f"{threading.get_ident():032x}{number:032x}"[-64:]
            try:
                statuses.append(post(f"{server.url}/v1/timestamp", key, {"sha256": [digest]}))
            except urllib.error.HTTPError as error:
                with error:
                    statuses.append(error.code)
            except (ConnectionError, urllib.error.URLError):
                return

    threads = [threading.Thread(target=press) for _ in range(8)]
    for thread in threads:
        thread.start()
    until(lambda: len(statuses) > 50)
    assert server.stop() == 0
    stopping.set()
    for thread in threads:
        thread.join()
    assert set(statuses) == {200}
    server.start()
    checked = json.loads(server.run("fsck", "--json").stdout)
    assert checked["findings"] == []


def test_a_process_that_dies_is_started_again(server: Server) -> None:
    before = apis(server)
    os.kill(before[0], signal.SIGKILL)
    until(lambda: len(set(apis(server)) - {before[0]}) == len(before))
    until(lambda: ready(server))


def test_killing_the_supervisor_ends_all_its_processes(server: Server) -> None:
    pids = children(server.process.pid)
    assert len(pids) >= 3
    server.process.kill()
    server.process.wait()
    until(lambda: not any(Path(f"/proc/{pid}").exists() and not zombie(pid) for pid in pids))
    server.start()


def test_the_parts_share_a_database_of_ones_own(
    owner_arguments: dict[str, Any], database_arguments: dict[str, Any]
) -> None:
    """`proof db migrate`, then api and worker by themselves, with two roles."""
    with unstarted() as any_server:  # lends its environment, port and folder
        own = {
            "PROOF_DATABASE_URL": url_of(database_arguments),
            "PROOF_DATABASE_OWNER_URL": url_of(owner_arguments),
        }
        migrated = any_server.run("db", "migrate", **own)
        assert migrated.returncode == 0, migrated.stderr
        parts = [
            subprocess.Popen(
                [sys.executable, "-m", "proof", part],
                env=any_server.environment | own,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            for part in ("api", "worker")
        ]
        try:
            until(lambda: ready(any_server))
            with urllib.request.urlopen(f"{any_server.url}/log/key") as reply:
                assert len(reply.read().splitlines()) == 2
            # Until it does, a process ends by the signal and not by itself.
            until(lambda: all(heeds_sigterm(part.pid) for part in parts))
        finally:
            for part in parts:
                part.terminate()
            assert [part.wait(PATIENCE_S) for part in parts] == [0, 0]


def url_of(arguments: dict[str, Any]) -> str:
    host = quote(arguments["host"], safe="")
    login = f"{arguments['user']}:{arguments['password']}"
    return f"postgresql://{login}@/{arguments['database']}?host={host}&port={arguments['port']}"


def get(url: str) -> Any:
    with urllib.request.urlopen(url) as reply:
        return json.loads(reply.read())


def post(url: str, key: str, body: object) -> int:
    request = urllib.request.Request(url, json.dumps(body).encode(), {"x-api-key": key})
    with urllib.request.urlopen(request) as reply:
        return int(reply.status)


def ready(server: Server) -> bool:
    try:
        return bool(get(f"{server.url}/readyz") == {"status": "ready"})
    except urllib.error.HTTPError as error:
        error.close()
        return False
    except OSError:
        return False


def until(condition: Any) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def children(pid: int) -> list[int]:
    return list(map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split()))


def apis(server: Server) -> list[int]:
    return [pid for pid in children(server.process.pid) if command_line(pid).endswith("api")]


def heeds_sigterm(pid: int) -> bool:
    """Whether a process has a handler for SIGTERM by now."""
    caught = re.search(r"^SigCgt:\s*(\w+)", Path(f"/proc/{pid}/status").read_text(), re.M)
    return caught is not None and bool(int(caught[1], 16) >> (signal.SIGTERM - 1) & 1)


def zombie(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True


def every_process() -> list[int]:
    return [int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit()]


def command_line(pid: int) -> str:
    try:
        return (
            Path(f"/proc/{pid}/cmdline")
            .read_bytes()
            .decode(errors="replace")
            .replace("\0", " ")
            .strip()
        )
    except (FileNotFoundError, ProcessLookupError):
        return ""
