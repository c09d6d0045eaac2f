"""The store that keeps trials' files at home: who may write, and what a kill leaves. Without Ray."""

import errno
import json
import shutil
from contextlib import suppress
from pathlib import Path

import pytest

from orchestrator.clusters.trial_store import LeaseLost, TrialStore
from orchestrator.storage.trial_folder import results
from tests.support.full_disk import longest_file
from tests.support.small_runs import a_run
from tests.support.trial_folders import config_of, folder_in, lines_in, numbers
from tests.support.trial_stores import files_in, write

TRIAL = "0001"
STEPS = 6  # renames in a commit: pictures, two files, metrics, the former checkpoint, the new one


class Killed(BaseException):
    """Stands for the end of the store's process."""


@pytest.fixture
def store(tmp_path) -> TrialStore:
    return TrialStore(str(tmp_path))


@pytest.fixture
def home(tmp_path) -> Path:
    return tmp_path / "trials" / TRIAL


@pytest.fixture
def token(store) -> int:
    return store.lease(TRIAL)["token"]


def put(store: TrialStore, token: int, **files: bytes) -> None:
    """Write small files, and commit them. `__` stands for a `/` in a name, and `_` for a dot."""
    named = {name.replace("__", "/").replace("_", "."): data for name, data in files.items()}
    for name, data in named.items():
        store.write(TRIAL, token, name, 0, data)
    store.commit(TRIAL, token, {name: len(data) for name, data in named.items()})


def test_only_the_last_one_to_lease_a_trial_may_write(store, home, token):
    store.write(TRIAL, token, "best.pt", 0, b"old")
    newer = store.lease(TRIAL)["token"]
    with pytest.raises(LeaseLost, match=f"trial {TRIAL}"):
        store.write(TRIAL, token, "best.pt", 0, b"old")
    with pytest.raises((LeaseLost, OSError)):
        store.commit(TRIAL, token, {"best.pt": 3})
    store.note(TRIAL, token, "within_epoch.json", "[1]")
    put(store, newer, best_pt=b"new")
    assert files_in(home) == {"best.pt": b"new"}


def test_a_lease_that_is_lost_before_the_commit_shows_nothing(store, home, token, monkeypatch):
    store.write(TRIAL, token, "best.pt", 0, b"old")
    store.write(TRIAL, token, "config.json", 0, b"old")
    monkeypatch.setattr(TrialStore, "lease", leased_without_cleaning)
    store.lease(TRIAL)
    with pytest.raises(LeaseLost):
        store.commit(TRIAL, token, {"best.pt": 3, "config.json": 3})
    assert files_in(home) == {}


def leased_without_cleaning(store: TrialStore, trial: str) -> None:
    """What a commit finds that runs at the same time as a lease."""
    store.tokens[trial] += 1


def test_trials_have_leases_of_their_own(store, tmp_path, token):
    store.lease("0002"), store.lease("0002")
    put(store, token, best_pt=b"mine")
    assert files_in(tmp_path / "trials") == {"0001/best.pt": b"mine"}


def test_a_lease_tells_which_files_there_are(store, token):
    put(store, token, checkpoint_pt=b"first", pictures__0001__a_png=b"png")
    put(store, token, checkpoint_pt=b"second one")
    sizes = {"checkpoint.pt": 10, "checkpoint.previous.pt": 5, "pictures/0001/a.png": 3}
    assert store.lease(TRIAL) == {"token": 2, "files": sizes}


def test_a_new_lease_removes_what_an_older_one_has_half_written(store, home, token):
    (home / "within_epoch.json").write_text("[3, 0.5, 9.0]")
    for name in ("best.pt", "pictures/0002/a.png"):
        store.write(TRIAL, token, name, 0, b"half")
    assert len([path for path in home.rglob("*") if path.is_file()]) == 3
    assert store.lease(TRIAL)["files"] == {}
    assert list(home.rglob("*")) == [home / "pictures"]


def test_nothing_is_seen_before_the_commit_and_all_of_it_after(store, home, token, tmp_path):
    node = tmp_path / "node"
    node.mkdir()
    data = bytes(range(256)) * 20
    (node / "best.pt").write_bytes(data)
    (node / "empty").write_bytes(b"")
    sizes = write(store, TRIAL, token, node, ["best.pt", "empty"])
    assert files_in(home) == {}
    store.commit(TRIAL, token, sizes)
    assert files_in(home) == {"best.pt": data, "empty": b""}
    assert not list(home.glob(".*"))


def test_the_pictures_of_an_epoch_are_seen_all_at_once(store, home, token):
    for name in ("a.png", "b.png"):
        store.write(TRIAL, token, f"pictures/0002/{name}", 0, b"png")
    assert not list((home / "pictures").glob("[!.]*"))
    store.commit(TRIAL, token, {"pictures/0002/a.png": 3, "pictures/0002/b.png": 3})
    assert files_in(home) == {"pictures/0002/a.png": b"png", "pictures/0002/b.png": b"png"}


def test_pictures_that_are_there_stay(store, home, token):
    put(store, token, pictures__0002__a_png=b"png")
    put(store, token, pictures__0002__a_png=b"again")
    assert files_in(home) == {"pictures/0002/a.png": b"png"}
    assert not list((home / "pictures").glob(".*"))


def test_the_checkpoint_is_seen_last_and_the_one_before_is_kept(store, home, token, monkeypatch):
    put(store, token, checkpoint_pt=b"1")
    shown, replace = [], Path.replace
    monkeypatch.setattr(Path, "replace", lambda path, to: shown.append(to.name) or replace(path, to))
    put(store, token, checkpoint_pt=b"2", metrics_jsonl=b"2", best_pt=b"2", pictures__0002__a_png=b"2")
    assert shown[-3:] == ["metrics.jsonl", "checkpoint.previous.pt", "checkpoint.pt"]
    assert set(shown[:-3]) == {"best.pt", "0002"}
    assert (home / "checkpoint.previous.pt").read_bytes() == b"1"


@pytest.mark.parametrize("sizes", [{"best.pt": 5}, {"config.json": 4, "best.pt": 5}])
def test_a_file_that_has_not_arrived_whole_shows_nothing(store, home, token, sizes):
    store.write(TRIAL, token, "best.pt", 0, b"four")
    store.write(TRIAL, token, "config.json", 0, b"four")
    with pytest.raises(OSError, match="best.pt: has not arrived whole"):
        store.commit(TRIAL, token, sizes)
    assert files_in(home) == {}


def test_a_file_that_has_not_arrived_at_all_is_an_error(store, home, token):
    with pytest.raises(FileNotFoundError):
        store.commit(TRIAL, token, {"best.pt": 5})


def test_a_shorter_file_follows_a_longer_one_whose_sending_failed(store, home, token):
    store.write(TRIAL, token, "best.pt", 0, b"longer")
    put(store, token, best_pt=b"short")
    assert files_in(home) == {"best.pt": b"short"}


OUTSIDE = ["../0002/best.pt", "/etc/passwd", "pictures/0001/../../../../../x", "pictures/../../x", "link/x", ".."]


@pytest.mark.parametrize("name", OUTSIDE)
def test_a_trial_writes_nowhere_else(store, home, token, name, tmp_path_factory):
    outside = tmp_path_factory.mktemp("outside")
    (home / "link").symlink_to(outside)
    with pytest.raises(ValueError, match="is not in the sweep's folder"):
        store.write(TRIAL, token, name, 0, b"x")
    with pytest.raises((ValueError, OSError)):
        store.commit(TRIAL, token, {name: 1})
    assert list(home.iterdir()) == [home / "link"] and not list(outside.iterdir())


@pytest.mark.parametrize("path", ["../x", "/etc/passwd", "trials/0001/../../../x", "trials/0001/link", ""])
def test_nothing_else_is_read(store, home, token, path, tmp_path):
    (home / "link").symlink_to("/etc/passwd")
    for ask in (lambda: store.locate(path), lambda: store.read(path, 0, 9)):
        with pytest.raises(ValueError, match="is not in the sweep's folder"):
            ask()


@pytest.mark.parametrize("trial", ["..", "../..", "/tmp"])
def test_no_other_folder_is_leased(store, trial, tmp_path):
    before = files_in(tmp_path)
    for take in (lambda: store.lease(trial), lambda: store.append(trial, "a", "b")):
        with pytest.raises(ValueError, match="is not in the sweep's folder"):
            take()
    assert files_in(tmp_path) == before


def test_a_file_is_read_in_parts(store, token):
    put(store, token, best_pt=b"0123456789")
    path = f"trials/{TRIAL}/best.pt"
    assert store.locate(path) == 10
    assert [store.read(path, offset, 4) for offset in (0, 4, 8, 12)] == [b"0123", b"4567", b"89", b""]
    with pytest.raises(FileNotFoundError):
        store.locate(f"trials/{TRIAL}/absent")


def test_lines_are_appended_without_a_lease(store, home):
    store.append(TRIAL, "restarts.txt", "one")
    store.append(TRIAL, "restarts.txt", "two")
    assert (home / "restarts.txt").read_text() == "one\ntwo\n"


def test_a_note_is_there_until_it_is_emptied(store, home, token):
    store.note(TRIAL, token, "within_epoch.json", "[2, 0.5, 7.0]")
    assert json.loads((home / "within_epoch.json").read_text()) == [2, 0.5, 7.0]
    for _ in range(2):
        store.note(TRIAL, token, "within_epoch.json", "")
        assert files_in(home) == {}


def test_a_full_disk_is_told_with_its_number(store, home, token):
    put(store, token, best_pt=b"before")
    with longest_file(4096), pytest.raises(OSError, match=r"File too large|No space") as caught:
        store.write(TRIAL, token, "best.pt", 0, bytes(8192))
    assert caught.value.errno in (errno.EFBIG, errno.ENOSPC)
    assert files_in(home) == {"best.pt": b"before"}


def test_each_slot_that_holds_a_lease_is_named_once(store):
    slots = [type("Slot", (), {"_actor_id": number})() for number in (1, 2)]
    for trial, slot in (("0001", slots[0]), ("0002", slots[0]), ("0003", slots[1]), ("0004", None)):
        store.lease(trial, slot)
    assert store.holding() == slots
    store.lease("0003", slots[0])
    assert store.holding() == slots[:1]


def tiny_run() -> dict:
    return config_of(a_run(epochs=3, data={"name": "digits", "train_rows": 64, "val_rows": 32}), pictures_every=1)


@pytest.fixture(scope="module")
def nodes(tmp_path_factory) -> list[Path]:
    """What a node has of a trial after its first epoch, after the second, and after the third, which is the last."""
    path, kept = tmp_path_factory.mktemp("node"), tmp_path_factory.mktemp("after")
    epochs = (result["epoch"] for result in results(tiny_run(), folder_in(path)))
    return [shutil.copytree(path, kept / str(epoch)) for epoch in epochs]


def commit_all(store: TrialStore, token: int, node: Path) -> None:
    names = [name for name in files_in(node) if name != "checkpoint.previous.pt"]
    store.commit(TRIAL, token, write(store, TRIAL, token, node, names))


@pytest.mark.parametrize("after", range(STEPS + 1))
def test_a_kill_within_a_commit_leaves_what_a_trial_goes_on_from(store, home, token, nodes, after):
    commit_all(store, token, nodes[0])
    left, replace = [after], Path.replace

    def mortal(path: Path, to: Path) -> Path:
        if not left[0]:
            raise Killed
        left[0] -= 1
        return replace(path, to)

    whole = False
    with pytest.MonkeyPatch.context() as patch, suppress(Killed):
        patch.setattr(Path, "replace", mortal)
        commit_all(store, token, nodes[1])
        whole = True
    assert whole == (after == STEPS) and not left[0]
    first, *_ = list(results(tiny_run(), folder_in(home)))
    assert first["epoch"] == (2 if whole else 1) and "notice" not in first
    assert numbers(lines_in(home)) == numbers(lines_in(nodes[2]))
    mine, others = files_in(home), files_in(nodes[2])
    assert mine.keys() == others.keys()
    pictures = [name for name in mine if name.startswith("pictures")]
    assert len(pictures) >= 3 and all(mine[name] == others[name] for name in (*pictures, "best.pt"))
