"""vaeorch data: what it prints, its exit codes, and that a mistake is one line."""

import json
import os
import pty
import shutil
import signal
import subprocess
import sys

import pytest

from orchestrator.cli import main as cli
from tests.support import ROOT, warm
from tests.support.prepared_sets import AT_HAND, IMAGES, flip, saved, shards_in
from trainables.common.records import name_of, summary
from trainables.data import DATASETS
from trainables.data.loading import load_splits, read_facts
from trainables.data.prepared import index_file
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
    (["prepare"], "Missing argument 'NAME'."),
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
