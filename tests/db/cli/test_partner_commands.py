"""proof partner and proof operator, as an operator types them."""

import json
from pathlib import Path

import pytest
from tests.db.cli.commands import ADD, SECRET, TRON, Proof, added, done, shown
from tests.db.cli.conftest import Local


def test_add_prints_what_the_contract_of_the_command_says(proof: Proof) -> None:
    sheet = added(proof)
    assert list(sheet) == ["partner_id", "production", "sandbox"]
    for environment, mark in (("production", "live"), ("sandbox", "test")):
        item = sheet[environment]
        assert list(item) == ["base_url", "client_token", "api_key", "widget_id", "webhook_secret"]
        assert item["client_token"].startswith(f"proof_{mark}_")
    assert sheet["sandbox"]["base_url"] == "https://proof.example/sandbox"


def test_add_takes_every_option(proof: Proof) -> None:
    partner_id = added(
        proof, "--ip", "2001:db8::/48", "--sandbox-ip", "198.51.100.0/24", "--timestamps-ip",
        "192.0.2.1", "--off-ramp", "--webhook", "https://a.example/x", "--sandbox-webhook",
        "https://a.example/y", "--widget-origin", "https://shop.example",
    )["partner_id"]  # fmt: skip
    record = shown(proof, partner_id)
    assert record["production"]["ips"] == ["203.0.113.7/32", "2001:db8::/48"]
    assert record["sandbox"]["ips"] == ["198.51.100.0/24"]
    assert record["sandbox"]["missing"] == []
    for environment, hook in (("production", "x"), ("sandbox", "y")):
        item = record[environment]
        assert item["timestamp_ips"] == ["192.0.2.1/32"]
        assert item["off_ramp"] is True
        assert item["webhook"] == f"https://a.example/{hook}"
        assert item["widget_origins"] == ["https://shop.example"]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--ip", "10.0.0.1/8"), "production.ips[1]"),
        (("--ip", "0.0.0.0/0"), "use --force"),
        (("--sandbox-webhook", "http://a.example"), "sandbox.webhook: the target URL"),
        (("--widget-origin", "x"), "production.widget_origins[0]"),
    ],
)
def test_what_is_refused_adds_nobody(
    proof: Proof, local: Local, options: tuple[str, ...], said: str
) -> None:
    result = proof(*ADD, *options)
    assert result.exit_code == 2
    assert said in result.stderr
    assert json.loads(done(proof("partner", "list", "--json"))) == []
    assert local.rows("SELECT 1 FROM audit_log") == []


def test_a_forced_network_is_noted(proof: Proof, local: Local) -> None:
    added(proof, "--ip", "0.0.0.0/0", "--force")
    (row,) = local.rows("SELECT after FROM audit_log WHERE action = 'partner.add'")
    assert json.loads(row["after"])["forced"] == ["production.ips: 0.0.0.0/0"]


def test_show_says_what_is_missing_and_no_secret(proof: Proof) -> None:
    partner_id = added(proof)["partner_id"]
    text = done(proof("partner", "show", partner_id))
    assert "missing        currencies: none is enabled" in text
    assert "USDT" in text
    for form in ([], ["--json"], ["--toml"]):
        assert not SECRET.search(done(proof("partner", "show", partner_id, *form)))


def test_an_empty_list_is_told_by_what_it_means_and_each_wallet_has_its_line(proof: Proof) -> None:
    lines = done(proof("partner", "show", added(proof)["partner_id"])).splitlines()
    sandbox = lines[lines.index("sandbox") :]
    assert "  ips            none: nobody is let in" in sandbox
    assert "  timestamp_ips  any address" in sandbox
    first = next(number for number, line in enumerate(sandbox) if line.startswith("  wallets"))
    assert [line.split()[-3:-1] for line in sandbox[first : first + 5]] == [
        ["BTC", "BTC"], ["ETH", "ETH"], ["USDT", "BEP20"], ["USDT", "ERC20"], ["USDT", "TRC20"]
    ]  # fmt: skip


def test_an_edit_that_names_nothing_is_refused(proof: Proof) -> None:
    partner_id = added(proof)["partner_id"]
    result = proof("partner", "edit", partner_id, "--env", "sandbox")
    assert (result.exit_code, "--help" in result.stderr) == (2, True)
    assert "sandbox.off_ramp" in done(
        proof("partner", "edit", partner_id, "--env", "sandbox", "--off-ramp")
    )


def test_everything_can_be_edited(proof: Proof) -> None:
    partner_id = added(proof)["partner_id"]
    done(
        proof(
            "partner", "edit", partner_id, "--name", "Acme 2", "--email", "two@acme.example",
            "--ip", "192.0.2.1", "--ip", "192.0.2.2", "--timestamps-ip", "192.0.2.0/24",
            "--off-ramp", "--own-address", "--currency", "USDT", "--currency", "BTC",
            "--network", "TRC20", "--wallet", f"USDT:TRC20:{TRON}",
            "--inactive-wallet", f"USDC:TRC20:{TRON}", "--amount", "USDT:TRC20:20:", "--widget-origin", "https://a.example",
            "--webhook", "https://a.example/hook", "--widget-type", "sell",
            "--widget-currencies", "USDT", "--widget-networks", "TRC20",
            "--widget-fiat-currency", "EUR", "--widget-fiat-currencies", "EUR",
            "--widget-lang", "en", "--widget-theme", "dark",
            "--widget-redirect-url", "https://a.example/done",
            "--limit-timestamps", "5", "--limit-proofs", "0", "--limit-status", "unlimited",
        )
    )  # fmt: skip
    record = shown(proof, partner_id)
    assert (record["name"], record["contact_email"]) == ("Acme 2", "two@acme.example")
    part = record["production"]
    expected = {
        "ips": ["192.0.2.1/32", "192.0.2.2/32"],
        "timestamp_ips": ["192.0.2.0/24"],
        "off_ramp": True,
        "own_address": True,
        "currencies": ["USDT", "BTC"],
        "networks": ["TRC20"],
        "wallets": [
            {"currency": "USDC", "network": "TRC20", "address": TRON, "active": False},
            {"currency": "USDT", "network": "TRC20", "address": TRON, "active": True},
        ],
        "amounts": [
            {"currency": "USDT", "network": "TRC20", "minimum": "20", "maximum": ""},
        ],
        "widget_origins": ["https://a.example"],
        "webhook": "https://a.example/hook",
        "limits": {"timestamps": 5, "proofs": 0, "status": "unlimited"},
        "widget_config": {
            "type": "sell", "currencies": ["USDT"], "networks": ["TRC20"], "fiat_currency": "EUR",
            "fiat_currencies": ["EUR"], "lang": "en", "theme": "dark",
            "redirect_url": "https://a.example/done",
        },
    }  # fmt: skip
    assert {name: part[name] for name in expected} == expected
    assert record["sandbox"]["ips"] == [], "the other environment is as it was"


def test_an_empty_value_empties_and_the_sandbox_is_named(proof: Proof) -> None:
    partner_id = added(
        proof, "--sandbox-ip", "192.0.2.1", "--sandbox-webhook", "https://a.example"
    )["partner_id"]
    changes = json.loads(
        done(
            proof(
                "partner", "edit", partner_id, "--environment", "sandbox", "--ip", "",
                "--webhook", "", "--wallet", "", "--json",
            )
        )
    )  # fmt: skip
    assert [change["field"] for change in changes["changes"]][:1] == ["sandbox.ips"]
    part = shown(proof, partner_id)["sandbox"]
    assert (part["ips"], part["webhook"], part["wallets"]) == ([], "", [])


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--wallet", "USDT:TRC20"), "CURRENCY:NETWORK:ADDRESS"),
        (("--wallet", f"USDT:TRC20:{TRON}x"), "production.wallets[0].address"),
        (("--limit-proofs", "-1"), "limit-proofs"),
        (("--limit-proofs", "many"), "limit-proofs"),
        (("--widget-type", "swap"), "widget-type"),
        (("--ip", "::/0"), "use --force"),
    ],
)
def test_a_wrong_option_changes_nothing(proof: Proof, options: tuple[str, ...], said: str) -> None:
    partner_id = added(proof)["partner_id"]
    before = shown(proof, partner_id)
    result = proof("partner", "edit", partner_id, "--name", "Other", *options)
    assert result.exit_code == 2
    assert said in result.stderr
    assert shown(proof, partner_id) == before


def test_suspend_and_resume(proof: Proof) -> None:
    partner_id = added(proof)["partner_id"]
    assert "is suspended" in done(proof("partner", "suspend", partner_id))
    (loads,) = json.loads(done(proof("partner", "list", "--json")))
    assert (loads["partner_id"], loads["status"]) == (partner_id, "suspended")
    assert "suspended" in done(proof("partner", "list"))
    assert json.loads(done(proof("partner", "resume", partner_id, "--json")))["status"] == "active"


@pytest.mark.parametrize("command", ["show", "suspend", "resume", "handover", "edit --off-ramp"])
def test_an_unknown_partner_is_named(proof: Proof, command: str) -> None:
    result = proof("partner", *command.split(), "ptr_nobody")
    assert result.exit_code == 2
    assert "there is no partner 'ptr_nobody'" in result.stderr


@pytest.fixture
def file(proof: Proof, tmp_path: Path) -> Path:
    """The partner file of a new partner, with another name and a limit in it."""
    text = done(proof("partner", "show", added(proof)["partner_id"], "--toml"))
    path = tmp_path / "acme.toml"
    path.write_text(
        text.replace('"Acme"', '"Renamed"').replace('proofs = "unlimited"', "proofs = 7", 1)
    )
    return path


def partner_of(file: Path) -> str:
    return file.read_text().split('"')[1]


def test_a_dry_run_shows_and_writes_nothing(proof: Proof, file: Path) -> None:
    before = shown(proof, partner_of(file))
    text = done(proof("partner", "apply", str(file), "--dry-run"))
    assert "would change" in text
    assert '- "Acme"' in text
    assert '+ "Renamed"' in text
    assert "production.limits.proofs" in text
    assert shown(proof, partner_of(file)) == before


def test_apply_makes_it_so_and_then_has_nothing_to_do(proof: Proof, file: Path) -> None:
    done_once = json.loads(done(proof("partner", "apply", str(file), "--yes", "--json")))
    assert done_once["applied"] is True
    assert [item["field"] for item in done_once["changes"]] == ["name", "production.limits.proofs"]
    assert shown(proof, partner_of(file))["name"] == "Renamed"
    again = json.loads(done(proof("partner", "apply", str(file), "--yes", "--json")))
    assert again["changes"] == []


def test_nobody_to_ask_means_no(proof: Proof, file: Path) -> None:
    before = shown(proof, partner_of(file))
    for options in ([], ["--json"]):
        result = proof("partner", "apply", str(file), *options, input="y\n")
        assert result.exit_code == 2
        assert "use --yes" in result.stderr
    assert shown(proof, partner_of(file)) == before


@pytest.mark.parametrize(("typed", "name"), [("y\n", "Renamed"), ("n\n", "Acme"), ("\n", "Acme")])
def test_apply_shows_and_asks(
    proof: Proof, file: Path, monkeypatch: pytest.MonkeyPatch, typed: str, name: str
) -> None:
    partner_id = partner_of(file)
    monkeypatch.setattr("proof.cli.partners.apply.is_interactive", lambda: True)
    result = proof("partner", "apply", str(file), input=typed)
    assert "would change" in result.stdout
    assert "Apply?" in result.stdout
    assert result.exit_code == (0 if name == "Renamed" else 1)
    assert shown(proof, partner_id)["name"] == name


def test_a_file_can_come_from_standard_input(proof: Proof, file: Path) -> None:
    done(proof("partner", "apply", "-", "--yes", input=file.read_text()))
    assert shown(proof, partner_of(file))["name"] == "Renamed"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "partner_id"),
        ("partner_id = 'ptr_nobody'\nname = 'x'", "there is no partner"),
        ("partner_id = 'ptr_nobody'\nnmae = 'x'", "unknown field `nmae`"),
        ("[", "not TOML"),
    ],
)
def test_a_wrong_file_is_refused(proof: Proof, tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "x.toml"
    path.write_text(text)
    result = proof("partner", "apply", str(path), "--yes")
    assert result.exit_code == 2
    assert said in result.stderr
    assert ("x.toml" in result.stderr) == (said != "there is no partner")


def test_a_missing_file_is_named(proof: Proof, tmp_path: Path) -> None:
    result = proof("partner", "apply", str(tmp_path / "none.toml"), "--yes")
    assert result.exit_code == 2
    assert "none.toml" in result.stderr
