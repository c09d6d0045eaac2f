"""vaeorch data: what it prints, its exit codes, and that a mistake is one line."""

import json
import os
import pty
import shutil
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from orchestrator.cli import main as cli
from tests.support import ROOT, warm
from tests.support.data_files import picture, put
from tests.support.prepared_sets import AT_HAND, IMAGES, flip, saved, shards_in
from trainables.common.records import name_of, summary
from trainables.data import DATASETS
from trainables.data.loading import load_splits, read_facts
from trainables.data.prepared import index_file
from trainables.data.sets.array import Array
from trainables.data.sets.digits import Digits
from trainables.data.sets.sprites import Sprites


@pytest.fixture
def data(vaeorch, tmp_path):
    """Runs `vaeorch data` on a data root of its own: (exit code, stdout, stderr)."""
    return lambda *words, root=tmp_path: vaeorch("data", *words, "--data-root", root)


def lines_of(out: str) -> dict[str, list[str]]:
    """Name -> the columns of its line."""
    return {line.split()[0]: [part.strip() for part in line.split("  ") if part.strip()] for line in out.splitlines()}


def test_list_has_a_line_for_each_data_set(data):
    code, out, _ = data("list")
    assert code == 0 and list(lines_of(out)) == ["NAME", *map(name_of, DATASETS)]
    for record in DATASETS:
        name, shape, rows, files, number, what, licence = lines_of(out)[name_of(record)]
        assert (what, licence, number) == (summary(record).rstrip("."), f"[{record.licence}]", "no")
        expected = "your own" if name == "array" else "none needed" if name in AT_HAND else "absent"
        assert files == expected
        if name != "array":
            facts = read_facts(record())
            assert (shape, rows) == ("x".join(map(str, facts.shape)), f"{facts.train_rows:,} + {facts.val_rows:,}")


def test_list_tells_which_files_are_there_and_what_is_prepared(data, tmp_path):
    for name in ("train-images-idx3-ubyte", "train-labels-idx1-ubyte.gz"):
        (tmp_path / "MNIST" / "raw" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "MNIST" / "raw" / name).touch()
    (tmp_path / "freyfaces").mkdir()
    (tmp_path / "freyfaces" / "freyfaces.npy").touch()
    data("prepare", "circle")
    data("prepare", "circle", "--set", "rows=30")
    found = lines_of(data("list")[1])
    assert [found[name][3] for name in ("mnist", "mnist32", "frey", "cifar10")] == [
        "2 of 4",
        "2 of 4",
        "there",
        "absent",
    ]
    assert (found["circle"][4], found["cross"][4]) == ("2", "no")


def test_info_tells_settings_facts_files_source_and_what_is_prepared(data, tmp_path, real_data):
    code, out, _ = data("info", "mnist", "--set", "val_from_train=5000", root=real_data)
    assert code == 0
    for line in (
        "mnist: Handwritten digits, 28x28 grey, 10 classes.",
        "  settings  val_from_train=5000",
        "  a row     1x28x28 in [0, 1]",
        "  rows      55,000 to train",
        "  home      yann.lecun.com/exdb/mnist",
    ):
        assert line in out.splitlines()
    assert "train-images-idx3-ubyte.gz: there, " in out and "LeCun, Bottou" in out
    _, out, _ = data("info", "mnist")
    assert "train-images-idx3-ubyte.gz: absent" in out
    assert f"  prepared  not in {tmp_path}/prepared/mnist-" in out


def test_a_set_is_prepared_told_of_and_found_sound(data, tmp_path):
    code, out, err = data("prepare", "digits")
    folder = index_file.folder_of(Digits(), tmp_path)
    size = index_file.bytes_of(index_file.read_index(folder)) / (1 << 20)
    assert (code, err) == (0, "") and out == f"prepared  {folder}  1,797 rows, 2 shards, {size:.1f} MiB\n"
    assert data("verify", "digits") == (0, out.replace("prepared  ", "sound  "), "")
    _, out, _ = data("info", "digits", "--set", "train_rows=10")
    assert f"  prepared  {folder}, {size:.1f} MiB" in out and "  rows      10 to train" in out
    before = (folder / "index.json").stat().st_mtime_ns
    assert data("prepare", "digits")[0] == 0 and (folder / "index.json").stat().st_mtime_ns == before


def test_settings_make_a_set_of_their_own(data, tmp_path):
    assert data("prepare", "sprites", "--set", "side=32", "--set", "val_from_train=100")[0] == 0
    assert index_file.folder_of(Sprites(side=32, val_from_train=100), tmp_path).exists()
    code, _, err = data("verify", "sprites")
    assert (code, err) == (2, f"{index_file.folder_of(Sprites(), tmp_path)}: no finished set: prepare it first.\n")
    _, out, _ = data("info", "sprites")
    assert f"{index_file.folder_of(Sprites(side=32, val_from_train=100), tmp_path)}, with other settings" in out


def test_a_set_may_be_prepared_below_another_root_and_trained_on_from_there(data, tmp_path):
    (tmp_path / "files").mkdir()
    dataset = saved(tmp_path / "files" / "x.npy", IMAGES)
    words = ["array", "--set", f"path={dataset.path}"]
    assert data("prepare", *words, "--to", tmp_path / "to", root=tmp_path / "files")[0] == 0
    shutil.rmtree(tmp_path / "files")
    assert data("verify", *words, root=tmp_path / "to")[0] == 0
    assert len(load_splits(dataset, tmp_path / "to").train) == 27


def test_verify_tells_each_damaged_file_in_a_line_and_exits_with_2(data, tmp_path):
    data("prepare", "digits")
    first, second = shards_in(index_file.folder_of(Digits(), tmp_path))
    flip(first, first.stat().st_size // 2)
    second.unlink()
    code, out, err = data("verify", "digits")
    assert (code, out) == (2, "")
    assert err == (
        f"{first}: column x has a wrong checksum: delete it and prepare or fetch the set again.\n"
        f"{second}: is missing: prepare or fetch the set again.\n"
    )


@pytest.mark.parametrize(("words", "said"), [
    (["info", "mnits"], "unknown data set 'mnits'. Did you mean 'mnist'? Known: digits, mnist, "),
    (["prepare", "celeba", "--set", "crop=149"], "--set crop=149: crop: unknown word 149. Did you mean '148'? Known: "),
    (["prepare", "celeba", "--set", "crp=148"], "--set crp=148: crp: unknown key. Did you mean 'crop'? Known: "),
    (["verify", "celeba", "--set", "signed=1"], "--set signed=1: signed: must be true or false, not 1."),
    (["info", "celeba", "--set", "crop"], "--set crop: must be PATH=VALUE"),
    (["info", "array"], "data set array: array needs one of 'path', a file, and 'images', a folder"),
    (["info", "array", "--set", "path=/x.npy"], "/x.npy: there is no such file: mend the path."),
    (["prepare", "dsprites"], "ROOT: no dsprites/dsprites_ndarray_co1sh3sc6or40x32y32_64x64.npz: get it from "),
    (["prepare", "digits", "--to", "/proc/none"], "/proc/none/prepared/digits-9ac0f63f03a0: cannot be written ("),
    (["verify", "digits"], "ROOT/prepared/digits-9ac0f63f03a0: no finished set: prepare it first."),
    (["prepare"], "Missing argument 'NAME|SPEC'."),
    (["prepair", "digits"], "No such command 'prepair'."),
])  # fmt: skip
def test_a_mistake_is_one_line_and_exit_code_2(data, tmp_path, words, said):
    code, out, err = data(*words)
    assert (code, out, len(err.splitlines())) == (2, "", 1)
    assert err.startswith(said.replace("ROOT", str(tmp_path)))


SPEC = """\
name: tiny
run:
  method: {name: vae}
  network: {name: mlp, hidden: [16], latent_dim: 2}
  data: {name: digits, train_rows: 200, val_rows: 50}
  epochs: 1
"""


def test_training_on_a_damaged_set_is_refused_before_it_starts(data, tmp_path, monkeypatch, capsys):
    data("prepare", "digits")
    first, _ = shards_in(index_file.folder_of(Digits(), tmp_path))
    first.write_bytes(first.read_bytes()[:-1])
    (tmp_path / "tiny.yaml").write_text(SPEC)
    for verb in ("train", "sweep"):
        words = [verb, tmp_path / "tiny.yaml", "--out", tmp_path / "runs", "--data-root", tmp_path]
        monkeypatch.setattr(sys, "argv", ["vaeorch", *map(str, words)])
        with pytest.raises(SystemExit) as end:
            cli.main()
        said = capsys.readouterr().err
        assert end.value.code == 2 and said.startswith(f"{first}: ") and len(said.splitlines()) == 1
        assert not (tmp_path / "runs" / "tiny").exists()


def test_trained_through_the_command_line_a_prepared_set_gives_the_same_metrics(data, tmp_path, monkeypatch):
    data("prepare", "digits")
    (tmp_path / "tiny.yaml").write_text(SPEC)
    found = []
    for name, root in (("files", tmp_path / "none"), ("mapped", tmp_path)):
        words = ["train", tmp_path / "tiny.yaml", "--name", name, "--out", tmp_path / "runs", "--data-root", root]
        monkeypatch.setattr(sys, "argv", ["vaeorch", *map(str, words)])
        cli.main()
        line = json.loads((tmp_path / "runs" / name / "metrics.jsonl").read_text())
        found.append({key: value for key, value in line.items() if "/" in key})
    assert found[0] == found[1] and "val/elbo" in found[0]


WAITS = """
import itertools, time
from orchestrator.cli.main import main
from trainables.data.prepared import prepare, shards

prepare.SHARD_BYTES = 2_000_000
number, true = itertools.count(1), shards.content_of
shards.content_of = lambda *words: time.sleep(600 if next(number) == 4 else 0) or true(*words)
main()
"""


def test_a_terminal_has_a_progress_bar_and_ctrl_c_is_heard(tmp_path):
    command = [sys.executable, "-c", WAITS, "data", "prepare", "sprites", "--data-root", str(tmp_path)]
    ours, theirs = pty.openpty()
    process = warm.Popen(command, stdout=subprocess.PIPE, stderr=theirs, cwd=ROOT, text=True)
    os.close(theirs)
    seen = b""
    while b"MB" not in seen:
        seen += os.read(ours, 10_000)
    assert b"sprites: preparing" in seen
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate()
    assert (process.returncode, out) == (130, "")
    folder = index_file.folder_of(Sprites(), tmp_path)
    assert not (folder / "index.json").exists() and not list(folder.glob(".*.arrow.*"))
    command[2] = "from orchestrator.cli.main import main; main()"
    done = warm.run(command, capture_output=True, text=True, cwd=ROOT)
    assert (done.returncode, done.stderr) == (0, "") and done.stdout.startswith(f"prepared  {folder}  6,144 rows, ")


@pytest.fixture
def own(tmp_path) -> Path:
    """A file of a user's own: 20 grey images of 8x6 pixels, of two classes."""
    x = np.random.default_rng(0).integers(0, 256, (20, 8, 6)).astype(np.uint8)
    np.savez(tmp_path / "own.npz", x=x, y=np.array(["ant", "bee"] * 10), z=0)
    return tmp_path / "own.npz"


def test_info_of_one_s_own_data_tells_the_rows_of_each_class_in_each_split(data, own):
    code, out, _ = data("info", "array", "--set", f"path={own}", "--set", "crop=[7, 6]", "--set", "resize=5")
    splits = load_splits(Array(path=str(own)))
    counts = [Counter(part.y.tolist()) for part in (splits.train, splits.val)]
    assert code == 0
    for line in (
        "  a row     1x5x5 in [0, 1]",
        "  rows      18 to train",
        "  rows      2 to validate",
        "  classes   2",
        f"  class     ant: {counts[0][0]} to train, {counts[1][0]} to validate",
        f"  class     bee: {counts[0][1]} to train, {counts[1][1]} to validate",
        "  note      keys beside x and y were left out: 'z'.",
        "  note      images of 8x6 are stretched to 5x5: 'crop' leaves proportions as they are.",
    ):
        assert line in out.splitlines()


def test_info_of_pictures_counts_classes_without_decoding_any(data, tmp_path, monkeypatch):
    pixels = np.zeros((4, 4), np.uint8)
    put(tmp_path / "own", {f"{name}/{row}.png": picture(pixels) for name in ("ant", "bee") for row in range(3)})
    monkeypatch.setattr("trainables.data.formats.decoding.Album.pixels", lambda *_: pytest.fail("decoded"))
    _, out, _ = data("info", "array", "--set", f"images={tmp_path / 'own'}", "--set", "val_fraction=0.5")
    found = [line.split(": ")[1] for line in out.splitlines() if line.startswith("  class  ")]
    numbers = [[int(word) for word in line.split() if word.isdigit()] for line in found]
    assert len(numbers) == 2 and np.sum(numbers, 0).tolist() == [3, 3] and np.sum(numbers, 1).tolist() == [3, 3]


def test_info_without_labels_says_so_and_of_many_classes_names_the_first(data, tmp_path):
    np.save(tmp_path / "x.npy", np.random.default_rng(0).random((60, 3)))
    assert "  classes   none: there are no labels\n" in data("info", "array", "--set", f"path={tmp_path / 'x.npy'}")[1]
    np.savez(tmp_path / "x.npz", x=np.random.default_rng(0).random((60, 3)), y=np.arange(60))
    _, out, _ = data("info", "array", "--set", f"path={tmp_path / 'x.npz'}")
    assert "  classes   60\n  class     0: " in out and "  class     ... and 40 more\n" in out


def test_info_takes_the_data_of_a_spec(data, own, tmp_path):
    (tmp_path / "own.yaml").write_text(f"name: own\nrun:\n  data: {{name: array, path: {own}, resize: 5}}\n")
    _, out, _ = data("info", tmp_path / "own.yaml", "--set", "crop=6")
    assert out == data("info", "array", "--set", f"path={own}", "--set", "crop=6", "--set", "resize=5")[1]
    assert data("prepare", tmp_path / "own.yaml")[0] == 0
    assert index_file.folder_of(Array(path=str(own), resize=5), tmp_path).exists()


@pytest.mark.parametrize(("text", "said"), [
    ("name: own\n", ":1: run.data: is missing."),
    ("name: own\nrun:\n  data: mnist\n", ":3: run.data: must be a mapping such as {name: mnist}, not 'mnist'."),
    ("run:\n  data:\n    name: mnits\n", ":3: run.data.name: unknown data set 'mnits'. Did you mean 'mnist'? Known: "),
    ("run:\n  data:\n    name: array\n    path: x.npy\n    crop: 0\n",
     ":5: run.data.crop: must be a side or [height, width], in pixels from 1 to 16384."),
    ("run: [\n", ":2: is not YAML: "),
])  # fmt: skip
def test_a_mistake_in_the_data_of_a_spec_is_told_with_its_line(data, tmp_path, text, said):
    (tmp_path / "own.yaml").write_text(text)
    code, out, err = data("info", tmp_path / "own.yaml")
    assert (code, out, len(err.splitlines())) == (2, "", 1) and err.startswith(f"{tmp_path}/own.yaml{said}")


@pytest.mark.parametrize(("settings", "said"), [
    (["crop=9"], "8x6 pixels, height x width, are less than the crop 9x9: crop less."),
    (["resize=big"], "must be a side or [height, width], in pixels from 1 to 16384."),
])  # fmt: skip
def test_images_that_cannot_be_made_so_are_told_in_a_line(data, own, settings, said):
    words = [word for setting in settings for word in ("--set", setting)]
    code, out, err = data("info", "array", "--set", f"path={own}", *words)
    assert (code, out, len(err.splitlines())) == (2, "", 1) and err.endswith(f"{said}\n")


@pytest.mark.parametrize("name", ["array", "digits", "circle"])
def test_info_draws_a_contact_sheet(data, own, tmp_path, name):
    settings = ["--set", f"path={own}"] if name == "array" else []
    sheet = tmp_path / "new" / "sheet.png"
    code, out, _ = data("info", name, *settings, "--sheet", sheet)
    assert code == 0 and out.endswith(f"  sheet     {sheet}\n")
    with Image.open(sheet) as picture:
        assert picture.format == "PNG" and min(picture.size) > 100


def test_a_contact_sheet_replaces_no_picture_of_the_data(data, tmp_path):
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    for k in range(3):
        Image.new("L", (8, 8), 60 * k).save(pictures / f"{k}.png")
    before = (pictures / "0.png").read_bytes()
    code, out, err = data("info", "array", "--set", f"images={pictures}", "--sheet", pictures / "0.png")
    assert (code, out) == (2, "") and f"lies among the data in {pictures}. Name a file elsewhere." in err
    assert (pictures / "0.png").read_bytes() == before


def test_a_contact_sheet_is_a_png_in_a_place_that_can_be_written(data, tmp_path):
    code, out, err = data("info", "digits", "--sheet", tmp_path / "sheet.jpg")
    assert (code, out) == (2, "") and "a contact sheet is a PNG: name a file that ends in .png." in err
    code, out, err = data("info", "digits", "--sheet", "/proc/none/sheet.png")
    assert (code, out, len(err.splitlines())) == (2, "", 1) and "Choose another file by --sheet." in err
