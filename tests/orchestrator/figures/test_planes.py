"""Figures of planes from a small sweep: which panels there are, and that their CSV holds what matplotlib draws."""

import csv
import io

import numpy as np
import pytest

from orchestrator.errors import UserError
from orchestrator.figures import drawing, listing
from orchestrator.figures.panels import Curve, Points
from tests.support.evaluations import a_model
from tests.support.figures import a_sweep, figure
from trainables.train import Report, Training

PLANE = {"network": {"name": "mlp", "hidden": [8], "latent_dim": 2}}
SETS = {"circle": "intel_vae sphere", "mog": "intel_vae sectors"}


def a_point_model(example, data, **changes):
    few = {"name": data, "train_rows": 300, "val_rows": 60}
    return a_model(example, few, **(PLANE | {"likelihood": {"name": "gaussian"}} | changes))


@pytest.fixture(scope="module")
def out(tmp_path_factory):
    """Sweeps: `grid`, two data sets and two methods, with two seeds of one; `digits`, of images."""
    folder = tmp_path_factory.mktemp("out")
    runs = []
    for data, example in SETS.items():
        runs.append(({"data.name": data, "method.name": "vae"}, a_point_model("vae", data)))
        mapping = example.partition(" ")[2]
        config = {"data.name": data, "method.name": "intel_vae", "method.mapping.name": mapping}
        runs += [(config, a_point_model(example, data, seed=seed)) for seed in (0, 1)]
    a_sweep(folder, "grid", runs)
    a_sweep(folder, "digits", [({"method.name": "vae"}, a_model(**PLANE))])
    return folder


def titles(found):
    return [panel.title for panel in found.panels]


def test_a_grid_of_methods_has_a_row_for_each_data_set_and_a_column_for_each_method(out):
    found = figure(out, "grid", "methods-grid")
    assert titles(found) == [f"{data}: {what}" for data in SETS for what in ("data", "vae", "intel_vae")]
    assert found.columns == 3
    first_row = {panel.frame for panel in found.panels[:3]}
    assert len(first_row) == 1
    ((low, high), _) = first_row.pop()
    assert all(low < xy[0] < high for panel in found.panels[:3] for xy in panel.marks[0].xy_N2)


def test_a_model_that_has_diverged_is_left_out_and_told(tmp_path):
    changes = {"vae": {"name": "vae"}, "beta_vae": {"name": "beta_vae", "beta": 2.0}}
    runs = {name: a_point_model("vae", "circle", method=method) for name, method in changes.items()}
    sweep = a_sweep(tmp_path, "broken", [({"method.name": name}, run) for name, run in runs.items()])
    spoil(sweep / "trials" / "0001" / "best.pt", runs["vae"])
    found = figure(tmp_path, "broken", "methods-grid")
    assert [bool(panel.marks) for panel in found.panels] == [True, False, True]
    told = "vae: not drawn: the model's weights are not finite: it has diverged, take an earlier checkpoint."
    assert found.notes == [told]
    for kind in ("latent-space", "relevance"):
        assert told in figure(tmp_path, "broken", kind).notes
    with pytest.raises(
        UserError, match="broken: no methods-grid: the model's weights are not finite: .* Kinds that fit"
    ):
        figure(tmp_path, "broken", "methods-grid", "0001")


def spoil(checkpoint, run):
    training = Training(run)
    next(training.learner.parameters()).data.fill_(float("nan"))
    Report(1, 0, 0.0, {}, training).save_model(checkpoint)


def test_a_method_without_a_model_of_a_data_set_leaves_its_place_empty(out):
    found = figure(out, "grid", "methods-grid", "0001,0004,0005")
    assert [bool(panel.marks) for panel in found.panels] == [True, True, False, True, True, True]
    drawing.draw(found)


def test_the_csv_holds_what_is_drawn(out):
    found = figure(out, "grid", "latent-space")
    lines = list(csv.DictReader(io.StringIO(listing.as_text(found))))
    axes = drawing.draw(found).axes
    for panel, ax in zip(found.panels, axes, strict=False):
        drawn = {cloud.get_label(): np.asarray(cloud.get_offsets()) for cloud in ax.collections}
        assert set(drawn) == {mark.label for mark in panel.marks}
        for label, xy_N2 in drawn.items():
            rows = [line for line in lines if (line["panel"], line["label"]) == (panel.title, label)]
            assert [(float(row["x"]), float(row["y"])) for row in rows] == [tuple(map(float, xy)) for xy in xy_N2]
    assert len(lines) == sum(len(mark.xy_N2) for panel in found.panels for mark in panel.marks)


def test_a_users_dollars_and_braces_are_no_mathematics(out, tmp_path):
    title = r"x=$\frac{ _ $ $"
    a_sweep(tmp_path, "odd", [({"a": title}, a_model(**PLANE)), ({"a": "b"}, a_model(**PLANE))])
    found = figure(tmp_path, "odd", "codes")
    picture = drawing.draw(found)
    picture.canvas.draw()
    assert picture.axes[0].get_title() == f"a={title}"


def test_a_fixed_mapping_is_drawn_once_whatever_the_data_and_the_seed(out):
    found = figure(out, "grid", "mapping")
    assert titles(found) == [
        "circle intel_vae sphere: y",
        "circle intel_vae sphere: z",
        "mog intel_vae sectors: y",
        "mog intel_vae sectors: z",
    ]
    clouds = [[mark for mark in panel.marks if isinstance(mark, Points)] for panel in found.panels]
    assert [len(own) for own in clouds] == [1, 1, 5, 5]
    assert all(any(isinstance(mark, Curve) for mark in panel.marks) for panel in found.panels)


def test_codes_are_in_the_colours_of_their_classes_and_what_is_not_measured_is_told(out):
    found = figure(out, "digits", "codes")
    assert [mark.label for mark in found.panels[0].marks] == list("0123456789")
    [note] = found.notes
    assert note == f"MMD: not measured, left out. vaeorch evaluate digits --out {out} --trials all --metrics mmd"


def test_an_unfit_sweep_is_refused_in_one_line_that_says_which_kinds_fit(out):
    with pytest.raises(UserError) as error:
        figure(out, "digits", "methods-grid")
    [line] = error.value.lines
    assert line.startswith("digits: no methods-grid: its data are no points of a plane, but 1x8x8. Kinds that fit: lat")
    with pytest.raises(UserError, match="no model of it has a mapping g"):
        figure(out, "digits", "mapping")
