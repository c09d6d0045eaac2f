"""Preparing a set: killed anywhere it goes on, two processes share the work, and what stands in the way is told."""

import os
import resource
import signal
import subprocess
import sys
import time
import weakref
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.support import warm
from tests.support.data_files import complaint
from tests.support.prepared_sets import (
    IMAGES,
    SMALL,
    dsprites,
    flip,
    pictures,
    prepared_in,
    same_sets,
    saved,
    shards_in,
)
from trainables.common.errors import DataError
from trainables.common.records import name_of
from trainables.data import DATASETS
from trainables.data.formats.blocks import Npz, gather
from trainables.data.loading import load_splits
from trainables.data.prepared import index_file, mapped, prepare, sources, verify
from trainables.data.sets.array import Array
from trainables.data.sets.digits import Digits
from trainables.data.sets.sprites import Sprites

NOWHERE = Path("/there/is/no/such/folder")
SHARD_BYTES = 2 << 20
SHARDS = 12  # of sprites, 11 to train and 1 to validate


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture(scope="module")
def sprites(tmp_path_factory) -> dict[str, bytes]:
    """The files of the prepared sprites."""
    with pytest.MonkeyPatch.context() as patch:
        folder = prepared_in(tmp_path_factory.mktemp("sprites"), Sprites(), NOWHERE, patch, SHARD_BYTES)
    assert len(shards_in(folder)) == SHARDS
    return contents(folder)


def started(root: Path, before: str = "", after: str = "") -> warm.Popen:
    """Another process that prepares the sprites."""
    code = f"""
import os, signal, sys
from pathlib import Path
from trainables.data.prepared import prepare, shards
from trainables.data.sets.sprites import Sprites
prepare.SHARD_BYTES = {SHARD_BYTES}
{before}
print("starts", flush=True)
prepare.prepare(Sprites(), Path({str(NOWHERE)!r}), Path({str(root)!r}))
{after}
"""
    return warm.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)


KILLED = """
count, real = 0, os.{name}
def counted(*words):
    global count
    count += 1
    if count == {number}:
        os.kill(os.getpid(), signal.SIGKILL)
    return real(*words)
os.{name} = counted
"""


@pytest.mark.parametrize("number", [1, 7, SHARDS + 1, SHARDS + 2])
def test_a_preparation_killed_at_a_file_goes_on_from_there(tmp_path, monkeypatch, sprites, number):
    """Killed when a file's content is written but not named: a shard, the index, and after it."""
    process = started(tmp_path, KILLED.format(name="fsync", number=number))
    assert process.wait() == -signal.SIGKILL
    folder = index_file.folder_of(Sprites(), tmp_path)
    there = {path: path.stat().st_ino for path in shards_in(folder)}
    assert len(there) == min(number - 1, SHARDS)
    assert (folder / "index.json").exists() == (number == SHARDS + 2)
    prepared_in(tmp_path, Sprites(), NOWHERE, monkeypatch, SHARD_BYTES)
    assert contents(folder) == sprites
    assert {path: path.stat().st_ino for path in there} == there  # none was made again


SLOW = """
import time
real = os.fsync
os.fsync = lambda file: time.sleep(0.1) or real(file)
"""


def test_a_preparation_killed_at_any_time_goes_on(tmp_path, sprites):
    """Again and again, each time after a little longer; what can be seen of it is never half a set."""
    folder, kills = index_file.folder_of(Sprites(), tmp_path), 0
    for pause in np.linspace(0.0, 0.3, 5):
        process = started(tmp_path, SLOW)
        process.stdout.readline()
        time.sleep(pause)
        process.send_signal(signal.SIGKILL)
        kills += process.wait() == -signal.SIGKILL
        for path in shards_in(folder):
            assert path.read_bytes() == sprites[path.name]
    assert kills > 1
    assert started(tmp_path).wait() == 0
    assert contents(folder) == sprites


COUNTED = """
made, real = [], shards.content_of
shards.content_of = lambda *words: made.append(1) or real(*words)
"""


def test_two_processes_do_not_make_a_shard_twice(tmp_path, sprites):
    both = [started(tmp_path, COUNTED, "print(len(made))") for _ in range(2)]
    made = [int(process.communicate()[0].split()[-1]) for process in both]
    assert sorted(made) == [0, SHARDS] and contents(index_file.folder_of(Sprites(), tmp_path)) == sprites


def test_a_shard_that_is_damaged_or_of_another_set_is_made_again(tmp_path, monkeypatch, sprites):
    folder = prepared_in(tmp_path, Sprites(), NOWHERE, monkeypatch, SHARD_BYTES)
    first, second, third = shards_in(folder)[:3]
    flip(first, first.stat().st_size // 2)
    second.write_bytes(third.read_bytes())
    (folder / "index.json").unlink()
    prepared_in(tmp_path, Sprites(), NOWHERE, monkeypatch, SHARD_BYTES)
    assert contents(folder) == sprites


def test_progress_is_told_in_bytes_up_to_all_of_them(tmp_path, monkeypatch):
    monkeypatch.setattr(prepare, "SHARD_BYTES", SHARD_BYTES)
    told = []
    prepare.prepare(Sprites(), NOWHERE, tmp_path, lambda done, of: told.append((done, of)))
    assert {of for _, of in told} == {6_144 * 64 * 64} and told[0][0] == 0 and told[-1][0] == told[-1][1]
    assert len(told) == SHARDS + 1 and told == sorted(told)


@pytest.mark.parametrize("together", [1, 4, 1_000])
def test_a_file_read_from_the_front_is_gone_through_once_for_many_shards(tmp_path, monkeypatch, together):
    """Once for each so many shards of a split, and never are the rows of more than these in memory."""
    dataset, passes, asked = dsprites(tmp_path, monkeypatch), [], []
    real = Npz.bytes_of
    monkeypatch.setattr(Npz, "bytes_of", lambda self, name: passes.append(name) or real(self, name))
    monkeypatch.setattr(prepare, "AT_ONCE_BYTES", together * 10 * 4_096)
    alive = []

    def counted(blocks, index):
        assert not any(rows() is not None for rows in alive)
        asked.append(len(index))
        rows = gather(blocks, index)
        alive.append(weakref.ref(rows))
        return rows

    monkeypatch.setattr("trainables.data.sets.dsprites.gather", counted)
    folder = prepared_in(tmp_path, dataset, tmp_path, monkeypatch, 10 * 4_096)
    assert len(shards_in(folder)) == 34 + 5
    assert passes == ["imgs"] * (
        2 + -(-34 // together) + -(-5 // together)
    )  # the first two for no rows: one block each
    assert max(asked) == min(10 * together, 334)


@pytest.mark.parametrize("name", [name_of(record) for record in DATASETS if record.home])
def test_the_files_that_a_set_wants_are_those_that_it_misses(name, tmp_path):
    [record] = [record for record in DATASETS if name_of(record) == name]
    names = record().wanted()
    if not name.startswith(("mnist", "fashion")):  # they say which files to download
        assert complaint(record(), tmp_path).startswith(f"{tmp_path}: no {' nor '.join(names[0])}: ")
    else:
        assert [packed for _, packed in names] == [f"{plain}.gz" for plain, _ in names] and len(names) == 4


@pytest.mark.parametrize("name", SMALL)
def test_an_index_names_each_file_that_its_set_was_made_from_and_none_can_be_missed(name, tmp_path, monkeypatch):
    dataset = SMALL[name](tmp_path, monkeypatch)
    index = index_file.read_index(prepare.prepare(dataset, tmp_path, tmp_path / "to"))
    assert [made["file"] for made in index["made_from"]] == [
        next(some for some in names if (tmp_path / some).exists()) for names in dataset.wanted()
    ]
    for made in index["made_from"]:
        path = tmp_path / made["file"]
        if path.is_file():
            assert (made["bytes"], made["sha256"]) == (path.stat().st_size, sha256(path))
        path.rename(tmp_path / "away")
        with pytest.raises(DataError):
            load_splits(dataset, tmp_path)
        (tmp_path / "away").rename(path)


def sha256(path: Path) -> str:
    return subprocess.run(["sha256sum", path], capture_output=True, text=True, check=True).stdout.split()[0]


OTHERS = 255 - IMAGES


def own(kind: str, root: Path, images: np.ndarray) -> Array:
    return pictures(root, images) if kind == "images" else saved(root / "x.npy", images)


def own_file(kind: str, root: Path) -> Path:
    return root / "own" / "a" / "000.png" if kind == "images" else root / "x.npy"


@pytest.mark.parametrize("kind", ["path", "images"])
class TestOnesOwnFilesThatChange:
    def test_are_refused_until_they_are_prepared_again(self, kind, tmp_path):
        dataset = own(kind, tmp_path, IMAGES)
        folder = prepare.prepare(dataset, tmp_path)
        own(kind, tmp_path, OTHERS)
        place = getattr(dataset, kind)
        assert complaint(dataset, tmp_path) == (
            f"{place}: has changed since {folder} was made: prepare it again; of a bucket, "
            "push it to another prefix then, and name that as data root."
        )
        assert prepare.prepare(dataset, tmp_path) == folder
        same_sets(load_splits(dataset, tmp_path), load_splits(dataset, NOWHERE))
        prepared, bare = (load_splits(dataset, root).train.x for root in (tmp_path, NOWHERE))
        assert np.array_equal(np.sort(prepared.index_select(0, torch.arange(27)).flatten()), np.sort(bare.flatten()))

    def test_are_the_same_if_only_their_time_is_another(self, kind, tmp_path, monkeypatch):
        dataset = own(kind, tmp_path, IMAGES)
        prepare.prepare(dataset, tmp_path)
        assert not read_again(dataset, tmp_path, monkeypatch)
        os.utime(own_file(kind, tmp_path), (1, 1))
        assert read_again(dataset, tmp_path, monkeypatch)
        assert isinstance(load_splits(dataset, tmp_path).train.x, mapped.Mapped)

    def test_may_be_gone(self, kind, tmp_path):
        dataset = own(kind, tmp_path, IMAGES)
        expected = load_splits(dataset, tmp_path)
        prepare.prepare(dataset, tmp_path)
        Path(getattr(dataset, kind)).rename(tmp_path / "away")
        same_sets(load_splits(dataset, tmp_path), expected)

    def test_are_told_apart_while_a_set_is_being_prepared(self, kind, tmp_path, monkeypatch):
        """Shards of the former files are made again, though nobody had seen them as a set."""
        dataset = own(kind, tmp_path, IMAGES)
        folder = prepared_in(tmp_path, dataset, tmp_path, monkeypatch, 300)
        (folder / "index.json").unlink()
        own(kind, tmp_path, OTHERS)
        prepared_in(tmp_path, dataset, tmp_path, monkeypatch, 300)
        same_sets(load_splits(dataset, tmp_path), load_splits(dataset, NOWHERE))


def read_again(dataset: Array, root: Path, monkeypatch) -> bool:
    """Whether the files are read when the prepared set is opened."""
    read, real = [], sources.content_of
    with monkeypatch.context() as patch:
        patch.setattr(sources, "content_of", lambda *words: read.append(1) or real(*words))
        load_splits(dataset, root)
    return bool(read)


def refusal(root: Path, to: Path) -> str:
    with pytest.raises(DataError) as caught:
        prepare.prepare(Digits(), root, to)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_folder_that_cannot_be_written_is_told_with_another_way():
    said = refusal(NOWHERE, Path("/proc/none"))
    assert said.startswith(f"{index_file.folder_of(Digits(), Path('/proc/none'))}: cannot be written (")
    assert said.endswith("): name another folder to prepare into (--to).")


def test_a_disk_without_room_is_told_before_anything_is_written(tmp_path, monkeypatch):
    monkeypatch.setattr("shutil.disk_usage", lambda path: type("Usage", (), {"free": 40_000}))
    folder = index_file.folder_of(Digits(), tmp_path)
    assert refusal(NOWHERE, tmp_path) == (
        f"{folder}: 0.1 MiB are to be written, but 0.0 MiB are free: "
        "free room, or name another folder to prepare into (--to)."
    )
    assert not list(folder.iterdir())


def test_a_disk_that_takes_no_more_is_told_and_leaves_no_half_file(tmp_path):
    """The system's limit of a file's size stands for a full disk: it, too, comes in the middle of a file."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, before[1]))
    try:
        said = refusal(NOWHERE, tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    folder = index_file.folder_of(Digits(), tmp_path)
    assert said == f"{folder}: cannot be written (File too large): name another folder to prepare into (--to)."
    assert not list(folder.iterdir())


def test_what_is_wrong_with_the_files_is_told_as_ever(tmp_path, monkeypatch):
    dataset = SMALL["imagenet32"](tmp_path, monkeypatch)
    (tmp_path / "imagenet32" / "val_data.npz").unlink()
    with pytest.raises(DataError, match=f"{tmp_path}: no imagenet32/val_data.npz: get it from "):
        prepare.prepare(dataset, tmp_path, tmp_path / "to")


def place_of(folder: Path, name: str) -> int:
    """Where the bytes of a column begin in the first shard."""
    index = index_file.read_index(folder)
    columns = mapped.shard_columns(folder, index, "train", 0, index["splits"]["train"]["shards"][0])
    path, plain = folder / "train-00000.arrow", np.ascontiguousarray(columns[name]).tobytes()
    return path.read_bytes().index(plain)


SETS = {"x": "imagenet32", "y": "imagenet32", "factors": "dsprites", "attributes": "celeba"}


@pytest.mark.parametrize("column", SETS)
@pytest.mark.parametrize("bit", [1, 128])
def test_verify_finds_a_bit_in_any_column(tmp_path, monkeypatch, column, bit):
    dataset = SMALL[SETS[column]](tmp_path, monkeypatch)
    folder = prepare.prepare(dataset, tmp_path, tmp_path / "to")
    assert list(verify.damages(dataset, folder)) == []
    path = folder / "train-00000.arrow"
    flip(path, place_of(folder, column) + 9, bit)
    assert list(verify.damages(dataset, folder)) == [
        f"{path}: column {column} has a wrong checksum: delete it and prepare or fetch the set again."
    ]
    others = {file: file.stat().st_mtime_ns for file in folder.glob("*.arrow") if file != path}
    prepare.prepare(dataset, tmp_path, tmp_path / "to")  # which makes what is damaged anew, and that alone
    assert {file: file.stat().st_mtime_ns for file in others} == others
    assert list(verify.damages(dataset, folder)) == []


def test_verify_finds_a_bit_anywhere_in_a_shard_and_in_the_index(tmp_path, monkeypatch):
    """Heads, ends, padding, checksums and all: one line, which names the file. Nothing that opens it crashes."""
    folder = prepared_in(tmp_path, Digits(), NOWHERE, monkeypatch, 20_000)
    path, index, rng = folder / "train-00003.arrow", folder / "index.json", np.random.default_rng(0)
    for file in (path, index):
        content = file.read_bytes()
        for place in rng.choice(len(content), 250, replace=False).tolist():
            flip(file, place, 1 << int(rng.integers(8)))
            [said] = verify.damages(Digits(), folder)
            assert said.startswith(f"{file}: ") and said.endswith("prepare or fetch the set again.")
            assert "\n" not in said
            try:
                load_splits(Digits(), tmp_path).train.batch(torch.arange(1_500))
            except DataError as error:
                assert str(error).startswith(f"{file}: ")
            file.write_bytes(content)
    assert list(verify.damages(Digits(), folder)) == []


def test_verify_tells_each_damaged_file_and_missing_ones(tmp_path, monkeypatch):
    folder = prepared_in(tmp_path, Digits(), NOWHERE, monkeypatch, SHARD_BYTES // 100)
    first, second, *_ = shards_in(folder)
    first.unlink()
    second.write_bytes(second.read_bytes()[:-8])
    told = []
    said = list(verify.damages(Digits(), folder, lambda *bytes: told.append(bytes)))
    assert [line.partition(": ")[0] for line in said] == [str(first), str(second)]
    assert told[-1][0] == told[-1][1] == index_file.bytes_of(index_file.read_index(folder))
    with pytest.raises(DataError, match="no finished set: prepare it first"):
        list(verify.damages(Digits(val_rows=3), folder.parent))
