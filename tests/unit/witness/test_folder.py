"""A witness's folder: made whole, private, and never served without the memory of its keys."""

import json
import shutil
import stat
from contextlib import ExitStack
from pathlib import Path

import pytest
from tests.support.witnessed_logs import NaiveLog

from proof.verify.evidence.log.note import COSIGNER_KEY, MLDSA_COSIGNER_KEY
from proof.verify.evidence.log.policy import parse_policy
from proof.witness.administration import add_log, remove_log, report
from proof.witness.decision import FIRST_HEAD, Head
from proof.witness.errors import WitnessError
from proof.witness.folder import (
    Identity,
    create,
    held_folder,
    held_mark,
    open_store,
    policy_lines,
    read_identity,
    state_directory,
)
from proof.witness.store import Advance

NAME = "witness.example/w1"
LOG = NaiveLog("log.example/folder").grow(b"0", b"1", b"2")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    create(tmp_path / "w", NAME)
    return tmp_path / "w"


def commit(folder: Path, size: int) -> int:
    """Advance the log to that size; how many commits there are then."""
    store = open_store(folder, read_identity(folder))
    (log,) = store.logs()
    _, commits = store.advance([Advance(LOG.origin, log.head, Head(size, bytes(32), 0, b"", b""))])
    store.close()
    return commits


def start(folder: Path, state: Path | None) -> ExitStack:
    """What `proof witness serve` demands before it answers; it runs until the stack is closed."""
    with ExitStack() as stack:
        identity = read_identity(folder)
        stack.enter_context(held_folder(folder))
        mark = stack.enter_context(held_mark(identity, state))
        store = open_store(folder, identity)
        stack.callback(store.close)
        if mark is not None:
            mark.require(store.commits)
            mark.advance(store.commits)
        return stack.pop_all()


def test_both_keys_are_made_and_read_again(folder: Path) -> None:
    identity = read_identity(folder)
    assert [key.key_type for key in identity.keys] == [COSIGNER_KEY, MLDSA_COSIGNER_KEY]
    assert {key.name for key in identity.keys} == {NAME}
    again = read_identity(folder)
    assert again.vkeys == identity.vkeys
    assert [key.seed for key in again.keys] == [key.seed for key in identity.keys]


def test_only_its_owner_can_read_it(folder: Path) -> None:
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {0o600}
    for path, private in ((folder, "700"), (folder / "witness.key", "600")):
        path.chmod(int(private, 8) | 0o044)
        with pytest.raises(WitnessError, match=f"chmod {private}"):
            read_identity(folder)
        path.chmod(int(private, 8))


def test_the_keys_are_one_party_in_a_policy(folder: Path) -> None:
    identity = read_identity(folder)
    lines = [line.replace(" URL", " https://witness.example") for line in policy_lines(identity)]
    group = lines[-1].split()[1]
    policy = parse_policy("\n".join([*lines, f"quorum {group}", ""]).encode())
    assert [witness.key for witness in policy.witnesses] == [key.public for key in identity.keys]
    assert all(policy.satisfied({witness.name}) for witness in policy.witnesses)
    assert not policy.satisfied(set())
    assert not policy.splits()


@pytest.mark.parametrize("name", ["", "two words", "plus+sign", "new\nline", "n" * 256])
def test_a_name_that_no_signature_can_carry_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(WitnessError, match=r"witness\.example\.com/w1"):
        create(tmp_path / "w", name)
    assert not (tmp_path / "w").exists()


@pytest.mark.parametrize("left", ["witness.key", "witness.sqlite"])
def test_no_witness_is_made_over_another(folder: Path, left: str) -> None:
    for path in folder.iterdir():
        if path.name != left:
            path.unlink()
    before = (folder / left).read_bytes()
    with pytest.raises(WitnessError, match="name another folder"):
        create(folder, NAME)
    assert [path.name for path in folder.iterdir()] == [left]
    assert (folder / left).read_bytes() == before


def test_a_folder_in_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for folder in (tmp_path / "file", tmp_path / "file" / "w"):
        with pytest.raises(WitnessError, match="cannot be used: it is, or lies in, a file"):
            create(folder, NAME)


def test_a_folder_without_a_witness_says_how_one_is_made(tmp_path: Path) -> None:
    with pytest.raises(WitnessError, match="proof witness init"):
        read_identity(tmp_path)


@pytest.mark.parametrize(
    "change",
    [{"name": None}, {"name": 7}, {"ed25519": "00"}, {"ml-dsa-44": "zz"}, {"ed25519": None}],
)
def test_a_key_file_that_was_changed_is_refused(folder: Path, change: dict[str, object]) -> None:
    path = folder / "witness.key"
    kept = json.loads(path.read_text()) | change
    path.write_text(json.dumps({name: value for name, value in kept.items() if value is not None}))
    with pytest.raises(WitnessError, match=r"witness\.key is not as"):
        read_identity(folder)


def test_keys_without_their_memory_are_not_served(folder: Path, tmp_path: Path) -> None:
    (folder / "witness.sqlite").unlink()
    with pytest.raises(WitnessError, match=r"nobody knows what its keys signed.*another"):
        start(folder, tmp_path / "state")


def test_keys_with_the_memory_of_others_are_not_served(folder: Path, tmp_path: Path) -> None:
    create(tmp_path / "other", NAME)
    shutil.copy(tmp_path / "other" / "witness.sqlite", folder / "witness.sqlite")
    with pytest.raises(WitnessError, match=r"memory of other keys.*another"):
        start(folder, tmp_path / "state")


def test_a_memory_that_was_put_back_is_not_served(folder: Path, tmp_path: Path) -> None:
    """The folder is copied, goes on, and the copy is put in its place or beside it."""
    state = tmp_path / "state"
    add_log(folder, LOG.vkey, None, None)
    commit(folder, 1)
    start(folder, state).close()
    shutil.copytree(folder, tmp_path / "copy")
    commit(folder, 2)
    start(folder, state).close()
    with pytest.raises(WitnessError, match=r"remembers 1 commits, and this machine 2.*another"):
        start(tmp_path / "copy", state)
    shutil.copytree(tmp_path / "copy", folder, dirs_exist_ok=True)
    with pytest.raises(WitnessError, match="an older copy was put back"):
        start(folder, state)
    # What this machine cannot remember, it cannot tell.
    start(folder, None).close()


@pytest.mark.parametrize("content", [b"garbage", bytes(20)])
def test_a_damaged_mark_is_told(folder: Path, tmp_path: Path, content: bytes) -> None:
    start(folder, tmp_path / "state").close()
    (mark,) = (tmp_path / "state" / "proof" / "witnesses").iterdir()
    mark.write_bytes(content)
    with pytest.raises(WitnessError, match=rf"{mark.name}.* is damaged.*remove it"):
        start(folder, tmp_path / "state")


def test_a_folder_that_was_moved_is_served(folder: Path, tmp_path: Path) -> None:
    add_log(folder, LOG.vkey, None, None)
    commit(folder, 1)
    start(folder, tmp_path / "state").close()
    folder.rename(tmp_path / "elsewhere")
    start(tmp_path / "elsewhere", tmp_path / "state").close()


def test_one_process_serves_a_folder_or_a_copy_of_it(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder, tmp_path / "copy")
    with start(folder, tmp_path / "state"):
        with pytest.raises(WitnessError, match="another process serves"):
            start(folder, tmp_path / "state")
        with pytest.raises(WitnessError, match="is served already"):
            start(tmp_path / "copy", tmp_path / "state")
    start(tmp_path / "copy", tmp_path / "state").close()


def test_where_nothing_can_be_kept_there_is_no_mark(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for place in (None, tmp_path / "file"):
        with held_mark(read_identity(folder), place) as mark:
            assert mark is None


def test_the_state_directory_is_that_of_the_user() -> None:
    assert state_directory({"XDG_STATE_HOME": "/s", "HOME": "/h"}) == Path("/s")
    assert state_directory({"HOME": "/h"}) == Path("/h/.local/state")
    assert state_directory({}) is None


def test_a_log_is_named_like_its_key_unless_it_is_told_otherwise(folder: Path) -> None:
    assert add_log(folder, LOG.vkey, None, None) == (LOG.origin, True)
    assert add_log(folder, LOG.vkey, None, None) == (LOG.origin, False)
    assert add_log(folder, LOG.vkey, "other.example", None) == ("other.example", True)
    assert [(log.origin, log.head) for log in report(folder).logs] == [
        (LOG.origin, FIRST_HEAD),
        ("other.example", FIRST_HEAD),
    ]


def test_a_log_begins_at_a_checkpoint_that_its_key_signed(folder: Path) -> None:
    add_log(folder, LOG.vkey, None, LOG.checkpoint(2))
    (log,) = report(folder).logs
    assert log.head == Head(2, LOG.root(2), 0, LOG.body(2), LOG.key.sign(LOG.body(2)))


def test_a_checkpoint_to_begin_at_that_proves_nothing_is_refused(folder: Path) -> None:
    other = NaiveLog("other.example")
    for checkpoint, said in (
        (b"nothing", "the checkpoint is not a text"),
        (LOG.checkpoint(2, key=other.key), "no key that is trusted"),
        (LOG.checkpoint(2).replace(b"\n2\n", b"\n3\n"), "does not verify"),
    ):
        with pytest.raises(WitnessError, match=said):
            add_log(folder, LOG.vkey, None, checkpoint)
    with pytest.raises(WitnessError, match=f"of {LOG.origin}, not of elsewhere"):
        add_log(folder, LOG.vkey, "elsewhere", LOG.checkpoint(2))
    assert report(folder).logs == []


@pytest.mark.parametrize("origin", ["", "\n", "two\nlines", "n" * 256, "ä" * 128])
def test_an_origin_that_cannot_be_cosigned_is_refused(folder: Path, origin: str) -> None:
    if origin:
        with pytest.raises(WitnessError, match="an origin is one line"):
            add_log(folder, LOG.vkey, origin, None)
    else:
        assert add_log(folder, LOG.vkey, origin, None) == (LOG.origin, True)


def test_the_longest_origin_is_cosigned_by_both_keys(folder: Path) -> None:
    log = NaiveLog("ä" * 127 + "n").grow(b"0")
    assert add_log(folder, log.vkey, None, None) == (log.origin, True)
    assert all(key.cosign(log.body(), 7) for key in read_identity(folder).keys)


def test_what_is_no_log_s_key_is_refused(folder: Path) -> None:
    identity: Identity = read_identity(folder)
    for vkey in (*identity.vkeys, "nothing", LOG.vkey[:-4] + "AAAA"):
        with pytest.raises(WitnessError):
            add_log(folder, vkey, None, None)
    assert report(folder).logs == []


def test_a_log_or_one_of_its_keys_is_removed(folder: Path) -> None:
    second = NaiveLog("second.example")
    add_log(folder, LOG.vkey, None, LOG.checkpoint(2))
    add_log(folder, second.vkey, LOG.origin, None)
    assert remove_log(folder, second.vkey) == [(LOG.origin, second.vkey)]
    assert remove_log(folder, LOG.origin) == [(LOG.origin, LOG.vkey)]
    with pytest.raises(WitnessError, match="proof witness list"):
        remove_log(folder, LOG.origin)
    (log,) = report(folder).logs
    assert (log.keys, log.head.size) == ((), 2)
