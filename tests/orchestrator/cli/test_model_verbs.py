"""The verbs `draw`, `export`, `encode` and `sample`, and models that are read from what they wrote."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from orchestrator.cli.models import FORMATS
from orchestrator.export import formats, loading
from orchestrator.storage import layout
from tests.support.figures import a_sweep
from tests.support.small_runs import a_run
from trainables.inference import fitted


@pytest.fixture(scope="module")
def out(tmp_path_factory) -> Path:
    """A sweep of an image model of which the rows say that only three axes are relevant, and a model of vectors."""
    out = tmp_path_factory.mktemp("out")
    circle = a_run("vae", data={"name": "circle", "train_rows": 300, "val_rows": 90})
    folder = a_sweep(out, "two", [({"n": 1}, a_run("ard_vae")), ({"n": 2}, circle)])
    file = layout.trial_folder(folder, "0001") / layout.FITTED
    known = fitted.read(file, "best", 2)
    score = known.score_D.clone()
    score[[1, 3, 5]] = 0.0
    fitted.checkpoint.save(file, {"best": vars(known) | {"score_D": score}})
    return out


def test_draw_makes_the_pictures_of_one_trial_or_of_all_and_makes_none_again(vaeorch, out):
    places = {trial: out / "two" / "trials" / trial / "pictures" / "0002" for trial in ("0001", "0002")}
    code, said, error = vaeorch("draw", "two/0001", "--out", out)
    assert (code, said.split(), error) == (0, ["0001", str(places["0001"])], "")
    names = {"reconstructions.png", "samples.png", "samples_pruned.png", "traversals.png", "variances.png"}
    assert {path.name for path in places["0001"].iterdir()} == names and not places["0002"].exists()
    before = {path: path.stat().st_mtime_ns for path in places["0001"].iterdir()}
    code, said, _ = vaeorch("draw", "two", "--out", out)
    assert code == 0 and set(said.split()) == {"0001", "0002", *map(str, places.values())}
    assert {path: path.stat().st_mtime_ns for path in places["0001"].iterdir()} == before
    assert {path.name for path in places["0002"].iterdir()} == {"samples.png"}


def test_draw_of_no_trial_or_of_a_damaged_model_is_one_line_each(vaeorch, out, tmp_path):
    code, _, error = vaeorch("draw", "two/0009", "--out", out)
    assert code == 2 and error.startswith("two/0009: no trained trial of two.")
    shutil.copytree(out / "two", tmp_path / "two", ignore=shutil.ignore_patterns("pictures"))
    (tmp_path / "two" / "trials" / "0001" / "best.pt").write_bytes(b"no model")
    code, _, error = vaeorch("draw", "two/0001", "--out", tmp_path)
    assert code == 2 and error.startswith("0001: ") and "not a whole checkpoint" in error


def export(vaeorch, out, *words):
    return vaeorch("export", "two/0001", "--out", out, *words)


def test_an_exported_model_is_the_same_without_any_of_the_runs_files(vaeorch, out, tmp_path):
    code, said, _ = export(vaeorch, out, "--to", tmp_path / "m")
    files = ("model.safetensors", "config.json", "README.md")
    assert (code, said.split()) == (0, [str(tmp_path / "m" / name) for name in files])
    shutil.move(tmp_path / "m", tmp_path / "elsewhere")
    model, there = loading.load("two/0001", out=out), loading.load(tmp_path / "elsewhere")
    x = np.random.default_rng(0).random((5, 1, 8, 8), dtype=np.float32)
    assert np.array_equal(there.represent(x), model.represent(x)) and np.array_equal(there.sample(4), model.sample(4))
    assert np.array_equal(there.relevance.score, model.relevance.score)
    assert there.metrics.equals(model.metrics) and there.origin.epoch == 2
    card = (tmp_path / "elsewhere" / "README.md").read_text()
    for fact in ("# two/0001", "`ard_vae`", "Licence: CC BY 4.0.", "| val/elbo |", "torch 2."):
        assert fact in card


def test_a_pruned_model_is_exported_with_a_report_and_equals_the_masked_one(vaeorch, out, tmp_path):
    code, said, _ = export(vaeorch, out, "--prune", "--to", tmp_path / "m")
    assert code == 0 and "latent axes                  6 -> 3" in said
    for fact in ("parameters", "megabytes", "milliseconds for 90 rows", "squared error"):
        assert fact in said and f"| {fact} |" in (tmp_path / "m" / "README.md").read_text()
    model, small = loading.load("two/0001", out=out), loading.load(tmp_path / "m")
    assert small.latent_dim == 3 and small.origin.axes == (0, 2, 4)
    x = np.random.default_rng(0).random((5, 1, 8, 8), dtype=np.float32)
    held = model.represent(x)
    held[:, [1, 3, 5]] = model.relevance.mean[[1, 3, 5]]
    assert np.allclose(small.reconstruct(x), model.decode(held), atol=1e-5)
    report = json.loads((tmp_path / "m" / "config.json").read_text())["more"]["pruning"]
    assert report["parameters"] == [sum(map(np.size, weights(m))) for m in (model, small)]


def weights(model):
    vae = model.module.vae
    return [value.numpy() for part in (vae.encoder, vae.mapping, vae.decoder) for value in part.parameters()]


def test_onnx_and_torch_are_written_with_config_and_card(vaeorch, out, tmp_path):
    for form, suffix in (("onnx", "onnx"), ("torch", "pt2")):
        assert export(vaeorch, out, "--format", form, "--to", tmp_path / form)[0] == 0
        there = sorted(path.name for path in (tmp_path / form).iterdir())
        assert there == ["README.md", "config.json", f"decoder.{suffix}", f"encoder.{suffix}"]


def test_a_folder_that_is_there_is_not_written_over(vaeorch, out, tmp_path):
    (tmp_path / "m").mkdir()
    assert export(vaeorch, out, "--to", tmp_path / "m")[0] == 0  # it was empty
    before = (tmp_path / "m" / "config.json").read_bytes()
    code, _, told = export(vaeorch, out, "--to", tmp_path / "m")
    assert code == 2 and told.strip() == f"{tmp_path}/m: is there already. Choose another --to, or remove it."
    assert (tmp_path / "m" / "config.json").read_bytes() == before


def test_a_failed_export_leaves_nothing(vaeorch, out, tmp_path, monkeypatch):
    monkeypatch.setattr("orchestrator.export.folder.card", lambda *values: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        export(vaeorch, out, "--to", tmp_path / "m")
    assert list(tmp_path.iterdir()) == []


def test_a_model_is_exported_again_with_all_that_was_known_and_has_one_epoch(vaeorch, out, tmp_path, monkeypatch):
    assert export(vaeorch, out, "--prune", "--to", tmp_path / "m")[0] == 0
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    assert vaeorch("export", tmp_path / "m", "--to", ".")[0] == 0  # an empty folder that is there
    assert (tmp_path / "here" / "README.md").read_text() == (tmp_path / "m" / "README.md").read_text()
    assert (
        "These, and the evaluations, are of the model before it was pruned."
        in (tmp_path / "m" / "README.md").read_text()
    )
    code, _, told = vaeorch("export", f"{tmp_path}/m@last", "--to", tmp_path / "n")
    assert code == 2 and "Leave out @last" in told
    code, _, told = vaeorch("export", tmp_path / "m", "--register", "x")
    assert code == 2 and "has no run in MLflow" in told


def test_codes_are_never_written_over_the_rows_that_they_are_of(vaeorch, out, tmp_path):
    np.savez(tmp_path / "in.npz", x=np.zeros((3, 8, 8), np.float32))
    before = (tmp_path / "in.npz").read_bytes()
    code, _, told = vaeorch("encode", "two/0001", tmp_path / "in.npz", "--out", out, "-o", tmp_path / "in.npz")
    assert code == 2 and "would be written over by its codes" in told
    assert (tmp_path / "in.npz").read_bytes() == before
    assert vaeorch("encode", "two/0001", tmp_path / "in.npz", "--out", out, "-o", tmp_path / "Z.NPZ")[0] == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["Z.NPZ", "in.npz"]


def test_an_export_needs_a_place(vaeorch, out):
    code, _, told = export(vaeorch, out)
    assert code == 2 and told.startswith("say where to: --to DIR for files")


def damage(folder: Path, name: str, change) -> None:
    (folder / name).write_bytes(change((folder / name).read_bytes()))


DAMAGES = {
    "weights cut off": ("model.safetensors", lambda text: text[:100], "is damaged"),
    "no json": ("config.json", lambda text: text[:100], "config.json"),
    "another version": ("config.json", lambda text: text.replace(b'"format": 1', b'"format": 9'), "another version"),
    "another run": ("config.json", lambda text: text.replace(b'"latent_dim": 6', b'"latent_dim": 5'), "is damaged"),
}


@pytest.mark.parametrize("case", DAMAGES)
def test_a_damaged_export_is_told_in_one_line(vaeorch, out, tmp_path, case):
    name, change, words = DAMAGES[case]
    export(vaeorch, out, "--to", tmp_path / "m")
    damage(tmp_path / "m", name, change)
    code, _, told = vaeorch("sample", tmp_path / "m", "-o", tmp_path / "x.npz")
    assert code == 2 and words in told and told.count("\n") == 1


@pytest.mark.parametrize("suffix", [".npy", ".npz", ".folder"])
def test_files_of_rows_are_encoded_with_their_labels(vaeorch, out, tmp_path, suffix):
    x, y = np.random.default_rng(0).integers(0, 256, (10, 8, 8), dtype=np.uint8), np.arange(10) % 3
    file = tmp_path / f"rows{suffix}"
    if suffix == ".npy":
        np.save(file, x)
    elif suffix == ".npz":
        np.savez(file, x=x[..., None], y=y)
    else:
        for number, picture in enumerate(x):
            (file / f"{number % 3}").mkdir(parents=True, exist_ok=True)
            Image.fromarray(picture).save(file / f"{number % 3}" / f"{number:02d}.png")
        order = np.argsort(y, kind="stable")
        x, y = x[order], y[order]
    code, said, told = vaeorch("encode", "two/0001", file, "--out", out, "-o", tmp_path / "z.npz")
    assert code == 0, told
    model, found = loading.load("two/0001", out=out), np.load(tmp_path / "z.npz")
    assert np.allclose(found["mean"], model.encode(x[:, None]).mean, atol=1e-6)
    assert np.allclose(found["representation"], model.represent(x[:, None]), atol=1e-6)
    assert ("y" in found) == (suffix != ".npy")
    assert suffix == ".npy" or list(found["y"]) == list(y.astype(str) if suffix == ".folder" else y)  # folders' names
    assert said.startswith(f"{tmp_path}/z.npz: mean (10, 6), variance (10, 6), representation (10, 6)")


BAD_ROWS = {
    "other shape": (np.zeros((3, 5), np.float32), "shape (3, 5) does not fit"),
    "other range": (np.full((3, 8, 8), 9.0, np.float32), "values lie in [9, 9]"),
    "text": (np.array(["a", "b"]), "rows.npy"),
}


@pytest.mark.parametrize("case", BAD_ROWS)
def test_rows_that_do_not_fit_are_told_with_their_file(vaeorch, out, tmp_path, case):
    np.save(tmp_path / "rows.npy", BAD_ROWS[case][0])
    code, _, told = vaeorch("encode", "two/0001", tmp_path / "rows.npy", "--out", out, "-o", tmp_path / "z.npz")
    assert code == 2 and told.startswith(f"{tmp_path}/rows.npy: ") and BAD_ROWS[case][1] in told
    assert not (tmp_path / "z.npz").exists()


def test_samples_are_written_as_a_picture_or_as_arrays(vaeorch, out, tmp_path):
    assert vaeorch("sample", "two/0001", "--out", out, "-n", 10, "-o", tmp_path / "deep" / "x.npz")[0] == 0
    assert np.array_equal(np.load(tmp_path / "deep" / "x.npz")["x"], loading.load("two/0001", out=out).sample(10))
    assert vaeorch("sample", "two/0001", "--out", out, "-n", 10, "--seed", 3, "-o", tmp_path / "grid.png")[0] == 0
    assert Image.open(tmp_path / "grid.png").size == (274, 70)  # 8 and 2 images, 4 times enlarged, in frames of 2


def test_more_samples_than_memory_has_room_for_are_refused(vaeorch, out, tmp_path):
    code, _, told = vaeorch("sample", "two/0001", "--out", out, "-n", 10**12, "-o", tmp_path / "x.npz")
    assert code == 2 and told.startswith("sample: 1,000,000,000,000 rows: takes ") and told.count("\n") == 1


def test_labels_of_other_rows_are_refused(vaeorch, out, tmp_path):
    np.savez(tmp_path / "rows.npz", x=np.zeros((7, 8, 8)), y=np.arange(6))
    code, _, told = vaeorch("encode", "two/0001", tmp_path / "rows.npz", "--out", out, "-o", tmp_path / "z.npz")
    assert (code, told) == (2, f"{tmp_path}/rows.npz: y has shape (6,), x has 7 rows: write one label a row.\n")


def test_vectors_are_no_picture(vaeorch, out, tmp_path):
    code, _, told = vaeorch("sample", "two/0002", "--out", out, "-o", tmp_path / "x.png")
    assert code == 2 and "generates rows (2,), no images: name a .npz file" in told
    code, _, told = vaeorch("sample", "two/0002", "--out", out, "-o", tmp_path / "x.gif")
    assert code == 2 and "samples are written as .png or .npz" in told
    code, _, told = vaeorch("encode", "two/0002", tmp_path / "x.npy", "--out", out)
    assert code == 2 and "there is no such file" in told


def test_the_command_line_knows_the_formats_that_there_are():
    """It has them in words of its own, as it is to import nothing slow."""
    assert tuple(formats.FORMATS) == FORMATS
