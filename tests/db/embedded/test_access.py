"""Who gets into the running server, and with which rights."""

import asyncio
from dataclasses import replace
from pathlib import Path

import asyncpg
import pytest
from tests.db.embedded.sessions import query, superuser_of

from proof.db.embedded import EmbeddedCluster, current_settings
from proof.db.embedded.passwords import read_passwords

KEYS = "keys/postgresql.json"


def test_every_file_and_folder_is_closed_to_others(
    cluster: EmbeddedCluster, data_dir: Path
) -> None:
    found = [data_dir, *data_dir.rglob("*")]
    assert {path for path in found if path.lstat().st_mode & 0o077} == set()
    assert (data_dir / KEYS).stat().st_mode & 0o777 == 0o600
    assert (data_dir / "keys").stat().st_mode & 0o777 == 0o700
    assert any(path.is_socket() for path in found)


def test_only_passwords_over_the_socket_open_the_server(
    cluster: EmbeddedCluster, data_dir: Path
) -> None:
    superuser = superuser_of(cluster, read_passwords(data_dir / KEYS).superuser)
    rules = query(superuser, "SELECT type || ' ' || auth_method FROM pg_hba_file_rules")
    assert rules == ["local scram-sha-256"]
    assert query(superuser, "SHOW listen_addresses") == [""]


@pytest.mark.parametrize("user", ["proof_superuser", "proof_owner", "proof_app", "postgres"])
def test_a_wrong_password_is_refused(cluster: EmbeddedCluster, user: str) -> None:
    for database in ("proof", "postgres"):
        forged = replace(cluster.connection("app"), user=user, password="0" * 64, database=database)
        with pytest.raises(asyncpg.InvalidPasswordError):
            query(forged, "SELECT 1")


def test_no_password_is_refused(
    cluster: EmbeddedCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGPASSFILE", str(tmp_path / "none"))
    monkeypatch.delenv("PGPASSWORD", raising=False)
    host = cluster.connection("app").host
    with pytest.raises((asyncpg.InterfaceError, asyncpg.InvalidPasswordError)):
        asyncio.run(asyncpg.connect(host=host, user="proof_app", database="proof"))


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE TABLE public.own (n int)",
        "CREATE SCHEMA own",
        "CREATE TEMPORARY TABLE own (n int)",
        "CREATE ROLE another",
        "CREATE DATABASE another",
        "ALTER ROLE proof_app SUPERUSER",
        "ALTER SYSTEM SET fsync = off",
        "SET ROLE proof_owner",
        "SET SESSION AUTHORIZATION proof_superuser",
        "SELECT pg_read_file('pg_hba.conf')",
        "COPY (SELECT 1) TO PROGRAM 'true'",
    ],
)
def test_the_application_role_cannot(cluster: EmbeddedCluster, statement: str) -> None:
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        query(cluster.connection("app"), statement)


@pytest.mark.parametrize("database", ["postgres", "template1"])
def test_the_application_role_enters_no_other_database(
    cluster: EmbeddedCluster, database: str
) -> None:
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        query(replace(cluster.connection("app"), database=database), "SELECT 1")


def test_the_owner_owns_the_database_and_nothing_above_it(cluster: EmbeddedCluster) -> None:
    owner = cluster.connection("owner")
    assert query(
        owner,
        "SELECT rolsuper OR rolcreaterole OR rolcreatedb OR rolreplication OR rolbypassrls"
        " FROM pg_roles WHERE rolname = current_user",
    ) == [False]
    assert query(
        owner, "SELECT datdba::regrole::text FROM pg_database WHERE datname = 'proof'"
    ) == ["proof_owner"]
    query(owner, "CREATE TABLE kept (n int)")
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        query(cluster.connection("app"), "SELECT n FROM kept")


def test_the_password_is_not_shown(cluster: EmbeddedCluster, data_dir: Path) -> None:
    shown = repr(cluster.connection("app")) + repr(read_passwords(data_dir / KEYS))
    assert cluster.connection("app").password not in shown


def test_no_file_overrides_a_setting(cluster: EmbeddedCluster) -> None:
    in_force = query(
        cluster.connection("owner"), "SELECT name FROM pg_settings WHERE source = 'command line'"
    )
    assert {item.name.lower() for item in current_settings()} <= {name.lower() for name in in_force}


def test_the_cluster_has_checksums_and_the_c_locale(cluster: EmbeddedCluster) -> None:
    owner = cluster.connection("owner")
    assert query(owner, "SHOW data_checksums") == ["on"]
    assert query(
        owner,
        "SELECT datcollate || ' ' || datctype || ' ' || pg_encoding_to_char(encoding)"
        " FROM pg_database WHERE datname = 'proof'",
    ) == ["C C UTF8"]
