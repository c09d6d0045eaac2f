"""Prepared sets read: the same rows as from the files, bit for bit, mapped; and what is said of damaged ones."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.support import prepared_sets, warm
from tests.support.data_files import complaint
from tests.support.prepared_sets import AT_HAND, REAL, SMALL, flip, prepared_in, same_sets, shards_in
from tests.support.small_runs import a_run
from trainables.common.errors import DataError
from trainables.data import chunks
from trainables.data.loading import load_splits, read_facts
from trainables.data.prepared import index_file, mapped, prepare, shards
from trainables.data.sets.array import Array
from trainables.data.sets.celeba import CelebA
from trainables.data.sets.digits import Digits
from trainables.data.sets.mnist import FashionMnist, Mnist, Mnist01, Mnist32
from trainables.data.sets.sprites import Sprites
from trainables.pictures import span_of
from trainables.run import Run
from trainables.train import train

NOWHERE = Path("/there/is/no/such/folder")
SOME_SHARDS = 20_000  # bytes of a shard: a few hundred digits

needs_proc = pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="needs /proc")


@pytest.fixture
def digits(tmp_path, monkeypatch):
    """A data root where the digits are prepared, in five shards to train and one to validate."""
    folder = prepared_in(tmp_path, Digits(), NOWHERE, monkeypatch, SOME_SHARDS)
    assert len(shards_in(folder)) == 6
    return tmp_path


@pytest.mark.parametrize("name", AT_HAND)
def test_a_set_without_files_is_prepared_with_the_rows_that_it_has(name, tmp_path, monkeypatch):
    prepared_in(tmp_path, AT_HAND[name], NOWHERE, monkeypatch, 1 << 20)
    same_sets(load_splits(AT_HAND[name], tmp_path), load_splits(AT_HAND[name], NOWHERE))


@pytest.mark.parametrize("name", SMALL)
def test_a_set_of_files_is_prepared_with_the_rows_that_it_has(name, tmp_path, monkeypatch):
    """In shards of a few rows; the prepared set needs the files no more."""
    files, root = tmp_path / "files", tmp_path / "root"
    files.mkdir()
    dataset = SMALL[name](files, monkeypatch)
    expected, facts = load_splits(dataset, files), read_facts(dataset, files)
    folder = prepared_in(root, dataset, files, monkeypatch, 50_000 if "array" not in name else 300)
    assert len(shards_in(folder)) > 3
    files.rename(tmp_path / "gone")
    same_sets(load_splits(dataset, root), expected)
    assert read_facts(dataset, root) == load_splits(dataset, root).facts() == facts


@pytest.mark.parametrize("name", REAL)
def test_a_real_set_is_prepared_with_the_rows_that_it_has(name, real_data, tmp_path):
    dataset, root = prepared_sets.real(name, real_data)
    prepare.prepare(dataset, root, tmp_path)
    same_sets(load_splits(dataset, tmp_path), load_splits(dataset, root))


def test_a_key_tells_apart_what_has_other_rows_and_nothing_else():
    assert index_file.key(Digits()) == index_file.key(Digits(train_rows=10, val_rows=7)) == "digits-9ac0f63f03a0"
    differing = [Mnist(), Mnist(val_from_train=5_000), Mnist01(), Mnist01(ones=2), CelebA(), CelebA(crop=148)]
    assert len({index_file.key(dataset) for dataset in differing}) == len(differing)


def test_rows_asked_for_are_the_first_ones_over_several_shards(digits):
    part = {"train_rows": 700, "val_rows": 20}
    same_sets(load_splits(Digits(**part), digits), load_splits(Digits(**part), NOWHERE))
    with pytest.raises(DataError, match="1501 rows asked for, but digits has 1500"):
        load_splits(Digits(train_rows=1_501), digits)


@pytest.mark.parametrize(("dataset", "key"), [
    (Mnist(), "mnist-0c7a84cdee95"),
    (Mnist32(), "mnist32-f931bc4aa383"),
    (Mnist01(zeros=1, ones=3), "mnist01-955f2839d1f9"),
    (FashionMnist(val_from_train=5_000), "fashion_mnist-1b9575277816"),
])  # fmt: skip
def test_a_set_that_was_prepared_before_it_had_another_setting_keeps_its_key(dataset, key):
    assert index_file.key(dataset) == key
    assert index_file.key(dataset.model_copy(update={"binary": True})) != key


@pytest.mark.parametrize("shard_bytes", [SOME_SHARDS, 1 << 26])
def test_rows_are_taken_as_from_a_tensor(tmp_path, monkeypatch, shard_bytes):
    """By slices, masks and indices, one after the other, and in batches; nothing is read before."""
    prepared_in(tmp_path, Digits(), NOWHERE, monkeypatch, shard_bytes)
    ours, theirs = load_splits(Digits(), tmp_path).train, load_splits(Digits(), NOWHERE).train
    mixed, mask = torch.randperm(1_500, generator=torch.Generator().manual_seed(0)), torch.arange(1_500) % 3 == 0
    for index in (slice(1_000), slice(900, None), slice(3, 1_400, 7), mask, mixed, mixed[:0], torch.tensor([5, 5, -1])):
        some, others = ours.take(index), theirs.take(index)
        prepared_sets.same_rows(some, others)
        assert some.x.parts is ours.x.parts
        prepared_sets.same_rows(some.take(slice(2, 9)), others.take(slice(2, 9)))
    for index in mixed.split(64):
        assert torch.equal(ours.batch(index), theirs.batch(index))
    assert torch.equal(torch.cat([piece.batch(torch.arange(len(piece))) for piece in chunks(ours, 333)]),
                       theirs.batch(torch.arange(1_500)))  # fmt: skip


@pytest.mark.parametrize("method", ["ard_vae", "vimae"])
def test_training_on_a_prepared_set_gives_the_same_numbers(digits, method):
    run = a_run(method)
    ours, theirs = ([*train(run, root)][-1] for root in (digits, NOWHERE))
    assert isinstance(ours.training.splits.train.x, mapped.Mapped) and isinstance(
        theirs.training.splits.train.x, torch.Tensor
    )
    assert json.dumps(ours.metrics) == json.dumps(theirs.metrics)
    pairs = zip(ours.training.learner.state_dict().values(), theirs.training.learner.state_dict().values(), strict=True)
    assert all(torch.equal(mine, other) for mine, other in pairs)


@needs_proc
def test_rows_lie_in_the_mapped_files_and_cannot_be_written_to(digits):
    rows = load_splits(Digits(), digits).train
    lines = [line.split() for line in Path("/proc/self/maps").read_text().splitlines() if line.endswith(".arrow")]
    spans = [(*(int(end, 16) for end in words[0].split("-")), words[1], words[-1]) for words in lines]
    for number, part in enumerate(rows.x.parts):
        start = part.ctypes.data
        [(mode, name)] = [span[2:] for span in spans if span[0] <= start and start + part.nbytes <= span[1]]
        assert name.endswith(f"train-{number:05}.arrow") and mode.startswith("r--")
        with pytest.raises(ValueError, match="read-only"):
            part[0] = 0


@needs_proc
def test_an_open_set_holds_no_files_open(digits):
    """A large one has more shards than a process may have files open."""
    before = len(list(Path("/proc/self/fd").iterdir()))
    kept = [load_splits(Digits(), digits) for _ in range(50)]
    assert len(list(Path("/proc/self/fd").iterdir())) == before and len(kept) == 50


CHILD = """
import re, resource, sys
from pathlib import Path
from trainables.data.sets.array import Array
from trainables.run import Run
from tests.support.small_runs import a_run
from trainables.train import train
[*train(a_run())]  # loads all modules
run = Run.model_validate({run})
def kib(name): return int(re.search(name + r":\\s+(\\d+)", Path("/proc/self/status").read_text())[1])
limit = (kib("VmData") + {room} * 1024) * 1024
resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
[report] = train(run, Path({root!r}))
print(report.images)
"""


@needs_proc
def test_a_set_larger_than_memory_trains(tmp_path, monkeypatch):
    """290 MiB of pictures where a process may have 110 MiB more than its modules take. Read they would not fit."""
    np.lib.format.open_memmap(tmp_path / "x.npy", "w+", np.uint8, (100_000, 3, 32, 32))
    data = {"name": "array", "path": str(tmp_path / "x.npy")}
    network = {"name": "mlp", "hidden": [2], "latent_dim": 2}
    run = {"method": {"name": "vae"}, "network": network, "data": data, "epochs": 1, "batch_size": 250}
    prepared_in(tmp_path, Run.model_validate(run).data, tmp_path, monkeypatch, 64 << 20)

    def trained(root: Path) -> subprocess.CompletedProcess:
        code = CHILD.format(run=run, room=110, root=str(root))
        words = os.environ | {"MALLOC_MMAP_THRESHOLD_": "65536"}  # what is freed is given back to the system
        return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=words)

    done = trained(tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "90000\n"
    refused = trained(NOWHERE)
    assert refused.returncode != 0 and re.search("MemoryError|can't allocate|Unable to allocate", refused.stderr)


READER = """
import sys, torch
from pathlib import Path
from trainables.data.sets.sprites import Sprites
from trainables.data.loading import load_splits
rows = load_splits(Sprites(), Path({root!r})).train
for piece in torch.arange(len(rows)).split(100):
    rows.batch(piece)
print("read", flush=True)
sys.stdin.read()
"""


@needs_proc
def test_processes_share_the_pages_of_a_set(tmp_path, monkeypatch):
    """Each of two readers accounts for half of what both have mapped."""
    prepared_in(tmp_path, Sprites(), NOWHERE, monkeypatch, 8 << 20)
    command = [sys.executable, "-c", READER.format(root=str(tmp_path))]
    readers = [warm.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    try:
        for reader in readers:
            assert reader.stdout.readline() == "read\n"
        sizes = [mapped_kib(reader.pid) for reader in readers]
    finally:
        for reader in readers:
            reader.communicate()
    for rss, pss in sizes:
        assert rss * 1024 >= 5_632 * 64 * 64 and pss == pytest.approx(rss / 2, rel=0.02)


def mapped_kib(process: int) -> tuple[int, int]:
    """Resident and proportional size of all shards that a process has mapped."""
    mappings = re.split(r"^(?=[0-9a-f]+-[0-9a-f]+ )", Path(f"/proc/{process}/smaps").read_text(), flags=re.MULTILINE)
    ours = [mapping for mapping in mappings if "train-" in mapping.partition("\n")[0]]
    return tuple(
        sum(int(re.search(rf"^{word}:\s+(\d+)", each, re.MULTILINE)[1]) for each in ours) for word in ("Rss", "Pss")
    )


def other_set(folder: Path) -> None:
    """The index of another set, sound by itself."""
    index = index_file.read_index(folder)
    (folder / "index.json").write_bytes(index_file.written(index | {"data": {"name": "mnist"}}))


def rewritten(folder: Path, **changes) -> None:
    """A first shard as another writer might have made it, and the size that it has in the index."""
    index, path = index_file.read_index(folder), folder / "train-00000.arrow"
    rows = load_splits(Digits(), NOWHERE).train.take(
        slice(changes.pop("rows", index["splits"]["train"]["shards"][0]["rows"]))
    )
    head = shards.head_of(index_file.common(index) | changes.pop("common", {}), "train", changes.pop("first", 0))
    path.write_bytes(shards.content_of(mapped.replace(rows, **changes), head))
    index["splits"]["train"]["shards"][0]["bytes"] = path.stat().st_size
    (folder / "index.json").write_bytes(index_file.written(index))


def swapped(folder: Path) -> None:
    (folder / "train-00000.arrow").write_bytes((folder / "train-00001.arrow").read_bytes())


FIRST, INDEX = "train-00000.arrow", "index.json"


@pytest.mark.parametrize(("damage", "file", "said"), [
    (lambda folder: (folder / FIRST).unlink(), FIRST, "is missing"),
    (lambda folder: (folder / FIRST).write_bytes((folder / FIRST).read_bytes()[:-1]), FIRST,
     r"25,\d\d\d bytes, 25,\d\d\d expected"),
    (lambda folder: (folder / FIRST).write_bytes(b""), FIRST, r"0 bytes, 25,\d\d\d expected"),
    (lambda folder: (folder / FIRST).write_bytes(bytes((folder / FIRST).stat().st_size)), FIRST,
     r"damaged or something else \("),
    (swapped, FIRST, "its first_row is not what the index says"),
    (lambda folder: rewritten(folder, rows=7), FIRST, "7 rows, 312 expected"),
    (lambda folder: rewritten(folder, y=None), FIRST, "its columns is not what the index says"),
    (lambda folder: rewritten(folder, common={"format": 2}), FIRST, "its format is not what the index says"),
    (lambda folder: (folder / INDEX).write_text("{"), INDEX, "damaged or something else"),
    (lambda folder: (folder / INDEX).write_text("[]"), INDEX, "damaged or something else"),
    (lambda folder: (folder / INDEX).write_text('{"format": 2}'), INDEX, "format 2, 1 expected"),
    (lambda folder: flip(folder / INDEX, -20), INDEX, "wrong checksum"),
    (other_set, INDEX, "is of other settings"),
])  # fmt: skip
def test_a_damaged_set_is_refused_with_file_reason_and_cure_and_preparing_mends_it(digits, damage, file, said):
    folder = index_file.folder_of(Digits(), digits)
    damage(folder)
    words = complaint(Digits(), digits)
    assert re.fullmatch(rf"{folder / file}: {said}.*: (delete it and )?prepare or fetch the set again\.", words)
    assert prepare.prepare(Digits(), NOWHERE, digits) == folder
    same_sets(load_splits(Digits(), digits), load_splits(Digits(), NOWHERE))


def test_an_unfinished_set_is_no_set(digits):
    (index_file.folder_of(Digits(), digits) / "index.json").unlink()
    assert isinstance(load_splits(Digits(), digits).train.x, torch.Tensor)


def test_opening_reads_no_rows(digits):
    """Only heads and ends of the files: bytes in the middle may be anything."""
    folder = index_file.folder_of(Digits(), digits)
    for path in shards_in(folder):
        flip(path, path.stat().st_size // 2)
    assert len(load_splits(Digits(), digits).train) == 1_500


def test_images_without_bounds_are_shown_alike_from_memory_and_from_mapped_files(tmp_path):
    np.save(tmp_path / "x.npy", np.random.default_rng(0).normal(0, 5, (30, 8, 8)).astype(np.float32))
    dataset = Array(path=str(tmp_path / "x.npy"))
    files = load_splits(dataset, tmp_path).val
    prepare.prepare(dataset, tmp_path)
    rows = load_splits(dataset, tmp_path).val
    assert isinstance(rows.x, mapped.Mapped) and rows.range is None
    assert span_of(rows) == span_of(files) == (float(files.x.min()), float(files.x.max()))
