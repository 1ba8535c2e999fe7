"""proof statement: the days there are, and a day's two files, which the verifier accepts."""

import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import typer
from tests.db.cli.commands import Proof, added, done
from tests.db.cli.conftest import Local
from tests.db.receipts.test_stamping import TODAY, TurnedClock, stamp_all
from tests.support.ramp import hear, make_transaction, said
from typer.testing import CliRunner, Result

from proof.cli.installation import ServerOptions
from proof.cli.invoker import invoker
from proof.cli.ramp import statement
from proof.db import Database
from proof.partners.environments import environment_id
from proof.partners.types import Environment
from proof.ramp.providers.protocols import ProviderStatus
from proof.receipts.keys import ensure_key, verifier_keys
from proof.receipts.stamping import Stamper
from proof.receipts.statements import StatementMaker
from proof.timestamps.anchors.log.service import ensure_log
from proof.verify.cli import main

PRODUCTION = Environment.PRODUCTION
DAY = "2026-05-04"


@pytest.fixture
def commands(local: Local) -> Callable[..., Result]:
    """Runs `proof statement …`."""
    app = typer.Typer()

    def opened(options: ServerOptions) -> Any:
        return local

    app.callback()(lambda: None)
    statement.register(app, opened)
    return lambda *arguments: CliRunner().invoke(app, arguments)


def test_the_days_there_are_and_the_files_of_one(
    commands: Proof, proof: Proof, local: Local, tmp_path: Path
) -> None:
    partner = added(proof)["partner_id"]
    where = (partner, "--env", "production")
    assert "none yet" in done(commands("statement", "list", *where))
    keys = tmp_path / "receipts.key"

    async def prepared(database: Database) -> None:
        await ensure_log(database, local.secrets, PRODUCTION, "proof.example/log")
        async with database.transaction() as tx:
            await ensure_key(tx, local.secrets, PRODUCTION, invoker(), TODAY)
            owner = await environment_id(tx, partner, PRODUCTION)
            keys.write_text("\n".join(await verifier_keys(tx, PRODUCTION)))
        made = await make_transaction(database, local.secrets, owner)
        await hear(database, local.secrets, said(made, ProviderStatus.COMPLETED))
        clock = TurnedClock()
        await stamp_all(database, Stamper(database, clock))
        clock.moment = TODAY + timedelta(days=2)
        maker = StatementMaker(database, clock)
        while await maker.step():
            pass

    local.with_database(prepared)
    days = [DAY, "2026-05-05"]
    assert done(commands("statement", "list", *where)).split() == days
    listed = json.loads(done(commands("statement", "list", *where, "--json")))
    assert listed == {"statements": days}

    export = ("statement", "export", partner, DAY, "--env", "production", "--to")
    place = tmp_path / f"{partner}-production-{DAY}"
    assert f"{place}.json" in commands(*export, str(tmp_path)).stderr
    told = json.loads(done(commands(*export, str(tmp_path), "--json")))
    assert told == {"statement": f"{place}.json", "list": f"{place}.csv"}
    assert not [*tmp_path.glob(".*")]
    # No worker appended to the log, so it has no proof yet.
    assert main([f"{place}.json", f"{place}.csv", "--receipt-key", str(keys)]) == 3

    for day, folder, code, words in (
        ("2026-05-03", tmp_path, 1, "the first is that of 2026-05-04"),
        ("2026-05-06", tmp_path, 1, "the newest is that of 2026-05-05"),
        ("4.5.2026", tmp_path, 1, "write one like 2026-11-21"),
        (DAY, tmp_path / "nowhere", 1, "name a folder"),
    ):
        refused = commands(*export[:3], day, *export[4:], str(folder))
        assert (refused.exit_code, words in refused.stderr) == (code, True), refused.stderr
