"""/tsa over HTTP."""

import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from tests.db.api.table import STAMP_QUERY
from tests.support.application import Platform, Stage, staged

from proof.db.embedded import EmbeddedCluster
from proof.partners.access.anonymous import AnonymousRates

Run = Callable[[Any], Any]
QUERY_TYPE = [("content-type", "application/timestamp-query")]


def test_a_token_verifies_with_the_published_chain(
    run: Run, platform: Platform, tmp_path: Path
) -> None:
    answer = run(platform.call("POST", "/tsa", STAMP_QUERY, headers=QUERY_TYPE))
    chain = run(platform.call("GET", "/tsa/chain"))
    assert answer.headers["content-type"] == "application/timestamp-reply"
    (tmp_path / "reply").write_bytes(answer.body)
    (tmp_path / "query").write_bytes(STAMP_QUERY)
    (tmp_path / "chain").write_bytes(chain.body)
    trust = ["-untrusted", "chain", "-CAfile", "chain"]
    shown = subprocess.run(
        ["openssl", "ts", "-verify", "-in", "reply", "-queryfile", "query", *trust],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert "Verification: OK" in shown.stdout, shown.stderr


def test_what_the_authority_refuses_is_an_answer(run: Run, platform: Platform) -> None:
    answer = run(platform.call("POST", "/tsa", b"no DER", headers=QUERY_TYPE))
    assert answer.status == 200
    assert b"not a DER-encoded TimeStampReq" in answer.body


def test_it_exists_without_prefix_only(run: Run, platform: Platform) -> None:
    assert run(platform.call("POST", "/sandbox/tsa", STAMP_QUERY)).status == 404


def test_a_request_over_the_limit_is_not_read(run: Run, platform: Platform) -> None:
    assert run(platform.call("POST", "/tsa", bytes(4097))).status == 413


def altered(cluster: EmbeddedCluster, folder: Path, **changes: Any) -> Any:
    return staged(cluster, folder, altered=lambda services: replace(services, **changes))


def test_where_it_is_off_it_is_not_found(cluster: EmbeddedCluster, tmp_path: Path) -> None:
    with altered(cluster, tmp_path, tsa=None) as found:
        stage: Stage = found
        answer = stage.run(stage.platform.call("POST", "/tsa", STAMP_QUERY))
        assert answer.status == 404
        assert "tsa_enabled" in answer.message
        assert stage.run(stage.platform.call("GET", "/tsa/chain")).status == 404


def test_one_address_cannot_have_it_alone(cluster: EmbeddedCluster, tmp_path: Path) -> None:
    rates = AnonymousRates(20, 100, now=lambda: 0.0)
    with altered(cluster, tmp_path, anonymous=rates) as found:
        stage: Stage = found
        statuses = [stage.run(stage.platform.call("POST", "/tsa", STAMP_QUERY)) for _ in range(3)]
        assert [answer.status for answer in statuses] == [200, 200, 429]
        assert statuses[-1].headers["retry-after"] == "3"
        other = stage.run(stage.platform.call("POST", "/tsa", STAMP_QUERY, address="198.51.100.4"))
        assert other.status == 200
