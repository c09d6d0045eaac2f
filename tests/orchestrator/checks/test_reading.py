"""What is said while data are read, before anything starts; and what `data info` says of one's own."""

import io

import numpy as np
import pytest

from orchestrator.checks import reading
from orchestrator.errors import UserError
from orchestrator.terminal import PlainConsole
from tests.support.data_files import picture, put
from trainables.data.access import HERE
from trainables.data.sets.array import Array
from trainables.data.sets.digits import Digits

SPEC = """\
name: own
run:
  method: {name: vae}
  network: {name: mlp, hidden: [4], latent_dim: 2}
  data: {name: array, path: PATH}
  batch_size: 5
  epochs: 1
"""


def folder(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (6, 8, 8)).astype(np.uint8)
    files = {f"{['ant', 'bee'][row % 2]}/{row}.png": picture(image) for row, image in enumerate(pixels)}
    put(tmp_path / "own", files | {"notes.txt": b"", ".ipynb_checkpoints/0.png": picture(pixels[0])})
    return tmp_path / "own"


@pytest.fixture
def floats(tmp_path):
    """Floats from 0 to 255, as pixels have them."""
    np.save(tmp_path / "x.npy", np.random.default_rng(0).random((30, 4)) * 255)
    return tmp_path / "x.npy"


def test_train_tells_what_it_reads_and_what_is_to_be_noted_before_the_first_epoch(floats, tmp_path, vaeorch):
    (tmp_path / "own.yaml").write_text(SPEC.replace("PATH", str(floats)))
    code, out, _ = vaeorch("train", tmp_path / "own.yaml", "--out", tmp_path / "runs")
    first, second, third, *_ = out.splitlines()
    assert code == 0 and first == f"reading      array path={floats}"
    assert second.startswith("note         array: values go from ") and "'scale: 255' brings them into [0, 1]" in second
    assert third.startswith("epoch 1/1")
    loss = [float(third.split("val/loss ")[1].split()[0])]
    code, out, _ = vaeorch("train", tmp_path / "own.yaml", "--out", tmp_path / "good", "--set", "run.data.scale=255")
    assert code == 0 and "note" not in out
    assert float(out.split("val/loss ")[1].split()[0]) < loss[0] / 1_000


def test_bernoulli_on_values_beyond_names_the_scale(floats, tmp_path, vaeorch):
    (tmp_path / "own.yaml").write_text(SPEC.replace("PATH", str(floats)))
    words = ["train", tmp_path / "own.yaml", "--out", tmp_path / "runs", "--set", "run.likelihood.name=bernoulli"]
    code, _, err = vaeorch(*words)
    assert code == 2 and "those of 'array' by its 'scale'" in err
    assert vaeorch(*words, "--set", "run.data.scale=255")[0] == 0


def test_info_of_one_s_own_pictures_tells_classes_range_and_what_was_left_out(tmp_path, vaeorch):
    code, out, _ = vaeorch("data", "info", "array", "--set", f"images={folder(tmp_path)}", "--data-root", tmp_path)
    assert code == 0
    for line in (
        "  a row     1x8x8 in [0, 1]",
        "  note      2 files of 8 were left out: 1 .txt, 1 hidden.",
        "  note      2 classes, names as labels 0, 1, ... in the order of sorting, with rows: ant 3, bee 3.",
    ):
        assert line in out.splitlines()


def test_info_tells_the_values_of_one_s_own_floats(floats, tmp_path, vaeorch):
    code, out, _ = vaeorch("data", "info", "array", "--set", f"path={floats}", "--data-root", tmp_path)
    assert code == 0 and "  a row     4 of any size" in out and "  note      values go from " in out


@pytest.mark.parametrize(("name", "classes"), [("mnist", 10), ("omniglot", 1623), ("imagenet32", 1000), ("circle", 0)])
def test_info_tells_the_classes_of_published_sets(tmp_path, vaeorch, name, classes):
    _, out, _ = vaeorch("data", "info", name, "--data-root", tmp_path)
    assert (f"  classes   {classes}" in out.splitlines()) == bool(classes)


def test_prepare_tells_the_notes_too(tmp_path, vaeorch):
    code, out, _ = vaeorch("data", "prepare", "array", "--set", f"images={folder(tmp_path)}", "--data-root", tmp_path)
    assert code == 0 and "note      2 files of 8 were left out: 1 .txt, 1 hidden." in out.splitlines()


def said(dataset, terminal: bool, monkeypatch) -> str:
    monkeypatch.setattr(reading, "EVERY_S", 0.0)
    stream = io.StringIO()
    reading.load_all([dataset, dataset], None, PlainConsole(file=stream, force_terminal=terminal, width=200))
    return stream.getvalue()


def test_elsewhere_than_on_a_terminal_lines_tell_how_far_it_is(tmp_path, monkeypatch):
    text = said(Array(images=str(folder(tmp_path))), False, monkeypatch)
    first, train, val, *notes = text.splitlines()
    assert first == f"reading      array images={tmp_path / 'own'}"
    assert (train, val) == ("reading      array: 5 of 5 rows", "reading      array: 1 of 1 rows")
    assert len(notes) == 2 and all(note.startswith("note         array: ") for note in notes)


def test_a_terminal_has_a_bar_of_rows(tmp_path, monkeypatch):
    text = said(Array(images=str(folder(tmp_path))), True, monkeypatch)
    assert "array: rows" in text and "note         array: 2 files of 8 were left out" in text
    assert "reading      digits" in said(Digits(), True, monkeypatch)


def test_a_large_file_of_one_s_own_is_told_of_when_a_spec_is_checked(floats, tmp_path, monkeypatch, vaeorch):
    (tmp_path / "own.yaml").write_text(SPEC.replace("PATH", str(floats)))
    words = ["sweep", tmp_path / "own.yaml", "--dry-run", "--set", "trials=1"]
    assert vaeorch(*words)[2] == ""
    monkeypatch.setattr(reading, "SMALL_BYTES", 10)
    assert vaeorch(*words)[2] == f"reading      array path={floats}, 0.0 MiB\n"


def test_many_pictures_are_told_of_when_a_spec_is_checked(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(reading, "EVERY_S", 0.0)
    monkeypatch.setattr("trainables.data.formats.folders.AT_ONCE", 4)
    assert reading.facts_of(Array(images=str(folder(tmp_path))), HERE).train_rows == 5
    assert capsys.readouterr().err == "reading      array: 4 of 6 rows\n"


def test_data_that_cannot_be_read_are_a_line(tmp_path):
    with pytest.raises(UserError, match="there is no such file: mend the path"):
        reading.load_all([Array(path=str(tmp_path / "x.npy"))], None, PlainConsole(file=io.StringIO()))
