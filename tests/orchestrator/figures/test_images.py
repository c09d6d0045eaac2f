"""Figures of images from a small sweep, their files, and the command that draws them."""

import csv
import io

import numpy as np
import pytest
from PIL import Image

from orchestrator.cli import main as cli
from orchestrator.errors import UserError
from orchestrator.figures import drawing, listing
from orchestrator.figures.output import files_of
from orchestrator.figures.table import FIGURES
from orchestrator.sweep.ranking import ranked
from orchestrator.sweep.results import read_results
from tests.support.evaluations import a_model
from tests.support.figures import a_sweep, figure, measure, note
from trainables.evaluations.context import EvaluationContext
from trainables.figures import sheets
from trainables.train import Report, Training, train


@pytest.fixture(scope="module")
def out(tmp_path_factory):
    """`images`: a VAE, ARD-VAE and a hierarchy; the first was measured."""
    folder = tmp_path_factory.mktemp("out")
    examples = {"vae": "vae", "ard_vae": "ard_vae", "hierarchical": "intel_vae hierarchical"}
    sweep = a_sweep(folder, "images", [({"method.name": name}, a_model(of)) for name, of in examples.items()])
    measure(sweep, "0001", "mse")
    return folder


def test_reconstructions_are_captioned_by_what_was_measured(out):
    measured = measure(out / "images", "0001", "mse")["mse"]
    found = figure(out, "images", "reconstructions")
    assert [sheet.title for sheet in found.panels] == [f"vae\nMSE {measured:.3g}", "ard_vae", "hierarchical"]
    assert [sheet.images_RCHWK.shape for sheet in found.panels] == [(8, 8, 8, 8, 1)] * 3
    note(out / "images", "0002", "rate", {"rate": 12.345})
    assert figure(out, "images", "reconstructions", "0002").panels[0].title == "ard_vae\nrate 12.3"


def test_the_model_is_that_of_the_best_or_the_last_epoch_as_asked_or_as_the_spec_evaluates(tmp_path):
    run = a_model()
    sweep = a_sweep(tmp_path, "epochs", [({}, run)])
    Report(0, 0, 0.0, {}, Training(run)).save_model(sweep / "trials" / "0001" / "best.pt")
    untrained, last = (sheets.samples(EvaluationContext(made)) for made in (Training(run), trained_on(run)))
    assert (untrained != last).any()

    def shown(checkpoint):
        return figure(tmp_path, "epochs", "samples", checkpoint=checkpoint).panels[0].images_RCHWK

    assert [(shown(which) == untrained).all() for which in ("best", "last", None)] == [True, False, True]
    assert (shown("last") == last).all()
    (sweep / "spec.yaml").write_text("evaluate: {checkpoint: last}\n")
    assert [(shown(which) == last).all() for which in ("best", "last", None)] == [False, True, True]
    [note] = figure(tmp_path, "epochs", "reconstructions", checkpoint="last").notes
    assert note.endswith("--metrics mse,rate --checkpoint last")


def test_of_a_configurations_seeds_the_best_is_drawn_in_whichever_order_they_are_named(tmp_path):
    a_sweep(tmp_path, "seeds", [({}, a_model(seed=seed)) for seed in (0, 1)])
    best = ranked(read_results(tmp_path, "seeds"))[0]["id"]
    shown = [figure(tmp_path, "seeds", "samples", trials).panels for trials in ("0001,0002", "0002,0001", best)]
    pictures = [sheet.images_RCHWK for [sheet] in shown]
    assert all((picture == pictures[2]).all() for picture in pictures)


def trained_on(run):
    *_, report = train(run)
    return report.training


def test_irrelevant_axes_are_framed(out):
    found = figure(out, "images", "traversals", "0002")
    [sheet] = found.panels
    shares = [float(row.partition(": ")[2].rstrip("%")) for row in sheet.rows]
    assert shares == sorted(shares, reverse=True)
    assert sum(shares) == pytest.approx(100, abs=0.1)
    ax = drawing.draw(found).axes[0]
    assert len(ax.patches) == len(sheet.rejected)
    assert [label.get_text() for label in ax.get_yticklabels()] == list(sheet.rows)


def test_only_a_hierarchy_has_levels(out):
    found = figure(out, "images", "levels")
    assert [sheet.title for sheet in found.panels] == ["hierarchical"]
    assert [row.partition(":")[0] for row in found.panels[0].rows] == ["level 1", "level 2"]
    with pytest.raises(UserError, match="images: no levels: no model of it has levels"):
        figure(out, "images", "levels", "0001")


def test_the_csv_holds_every_pixel_that_is_drawn(out):
    found = figure(out, "images", "samples")
    lines = list(csv.DictReader(io.StringIO(listing.as_text(found))))
    assert len(lines) == 3 * 64
    for panel, ax in zip(found.panels, drawing.draw(found).axes, strict=False):
        board = np.asarray(ax.images[0].get_array())
        for line in (line for line in lines if line["panel"] == panel.title):
            y, x = (int(line[place]) * 9 for place in ("row", "column"))  # images of 8x8, a pixel apart
            pixels = [int(line[f"pixel_{number}"]) for number in range(64)]
            assert pixels == board[y : y + 8, x : x + 8].ravel().tolist()


@pytest.mark.parametrize(
    ("file", "formats", "names"),
    [
        ("a.svg", (), ["a.svg"]),
        ("a", (), ["a.png"]),
        ("a.v2", ("pdf",), ["a.v2.pdf"]),
        ("a.png", ("svg", "pdf", "svg"), ["a.svg", "a.pdf"]),
    ],
)
def test_the_format_is_that_of_the_option_or_of_the_name(file, formats, names, tmp_path):
    assert [path.name for path, _ in files_of(tmp_path / file, formats)] == names


@pytest.mark.parametrize("suffix", ["csv", "JPG"])
def test_other_suffixes_are_refused(suffix, tmp_path):
    with pytest.raises(UserError, match=f"a.{suffix}: a figure is a png, svg, pdf, with a CSV beside it"):
        files_of(tmp_path / f"a.{suffix}", ())


def run(monkeypatch, *words):
    monkeypatch.setattr("sys.argv", ["vaeorch", *map(str, words)])
    cli.main()


def test_the_command_writes_each_format_and_the_data_beside_it(out, tmp_path, monkeypatch, capsys):
    file = tmp_path / "new" / "a.png"
    words = ["figure", "images", "samples", "--out", out, "-o", file, "--trials", "0001"]
    run(monkeypatch, *words, *(word for form in ("png", "svg", "pdf") for word in ("--format", form)))
    assert sorted(path.name for path in file.parent.iterdir()) == ["a.csv", "a.pdf", "a.png", "a.svg"]
    assert capsys.readouterr().out.split() == [str(file.with_suffix(f".{end}")) for end in ("png", "svg", "pdf", "csv")]
    assert Image.open(file).size[0] > 200
    assert file.with_suffix(".pdf").read_bytes().startswith(b"%PDF")
    assert "<svg" in file.with_suffix(".svg").read_text()
    before = {path: path.read_bytes() for path in file.parent.iterdir()}
    run(monkeypatch, *words, *(word for form in ("png", "svg", "pdf") for word in ("--format", form)))
    assert {path: path.read_bytes() for path in file.parent.iterdir()} == before


def test_without_a_file_it_goes_to_the_sweeps_folder(out, monkeypatch, capsys):
    run(monkeypatch, "figure", "images/0002", "samples", "--out", out)
    folder = out.resolve() / "images" / "figures"
    assert capsys.readouterr().out.split() == [str(folder / "samples.png"), str(folder / "samples.csv")]


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["images", "smples"], "smples: no kind of figure. Did you mean 'samples'? Known: mapping,"),
        (["images", "mapping", "--trials", "0001"], "images: no mapping: no model of it has a mapping g"),
        (["images"], "name a sweep and a kind of figure; --list lists the kinds"),
        (["nowhere", "samples"], "no trained models here"),
    ],
)
def test_mistakes_are_told_in_one_line(out, words, line, monkeypatch, capsys):
    with pytest.raises(SystemExit) as error:
        run(monkeypatch, "figure", *words, "--out", out)
    assert error.value.code == 2
    [told] = capsys.readouterr().err.splitlines()
    assert line in told


def test_a_place_that_cannot_be_written_is_told(out, tmp_path, monkeypatch, capsys):
    (tmp_path / "file").touch()
    with pytest.raises(SystemExit):
        run(monkeypatch, "figure", "images/0001", "samples", "--out", out, "-o", tmp_path / "file" / "a.png")
    [told] = capsys.readouterr().err.splitlines()
    assert told.startswith(f"{tmp_path / 'file' / 'a.png'}: cannot be written: ")
    assert told.endswith("Choose another file by -o.")


def test_the_list_has_each_kind_with_the_figures_that_it_draws(monkeypatch, capsys):
    run(monkeypatch, "figure", "--list")
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == list(FIGURES)
    assert next(line for line in lines if line.startswith("levels")).split()[1:3] == ["Intel", "B.2"]
