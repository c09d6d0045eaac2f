"""Figures of classes and of attributes against the tables that the evaluations keep."""

import csv
import json

import numpy as np
import pytest
import torch

from orchestrator.errors import UserError
from orchestrator.figures import drawing
from tests.support.evaluations import a_model
from tests.support.figures import a_sweep, figure, measure, note
from trainables.evaluations.context import EvaluationContext
from trainables.run import Run
from trainables.train import reopen

MAGNITUDES = """\
class,axis,magnitude,active
0,0,2.0,1
0,1,1.5,1
0,2,0.1,0
1,0,2.2,1
1,1,0.2,0
1,2,0.1,0
2,0,1.9,1
2,1,0.1,0
2,2,0.3,1
3,0,2.0,1
3,1,0.1,0
3,2,0.1,0
"""
ATTRIBUTES = """\
size,attribute,accuracy,majority
50,Smiling,{a},0.5
50,Bald,{b},0.9
500,Smiling,{c},0.5
500,Bald,{d},0.9
"""


def of_size(size, example="vae", **changes):
    return a_model(example, network={"name": "mlp", "hidden": [8], "latent_dim": size}, **changes)


@pytest.fixture(scope="module")
def out(tmp_path_factory):
    """`classes`: a model with known magnitudes; `sizes`: VAEs of two sizes, one with two seeds, and a hierarchy."""
    folder = tmp_path_factory.mktemp("out")
    note(
        a_sweep(folder, "classes", [({}, of_size(3))]),
        "0001",
        "magnitudes",
        {"active_per_class": 50.0},
        magnitudes=MAGNITUDES,
    )
    runs = [
        ({"method.name": "vae", "network.latent_dim": 2}, of_size(2)),
        ({"method.name": "vae", "network.latent_dim": 2}, of_size(2, seed=1)),
        ({"method.name": "vae", "network.latent_dim": 4}, of_size(4)),
        ({"method.name": "intel_vae", "network.latent_dim": 6}, of_size(6, "intel_vae hierarchical")),
    ]
    sweep = a_sweep(folder, "sizes", runs)
    for trial, numbers in {
        "0001": (0.6, 0.9, 0.7, 0.91),
        "0002": (0.5, 0.9, 0.9, 0.93),
        "0003": (0.65, 0.9, 0.8, 0.9),
        "0004": (0.7, 0.95, 0.85, 0.96),
    }.items():
        text = ATTRIBUTES.format(**dict(zip("abcd", numbers, strict=True)))
        note(sweep, trial, "attributes", {"attributes_50": 0.8}, attributes=text)
    return folder


def test_magnitudes_are_those_that_were_evaluated_and_active_axes_have_a_colour(out):
    found = figure(out, "classes", "class-magnitudes")
    assert [bool(panel.marks) for panel in found.panels] == [True] * 4 + [False]
    first = found.panels[0]
    assert first.title.endswith("class 0\n2 of 3 axes active (67%)")
    assert [(mark.label, mark.x, mark.y) for mark in first.marks] == [
        ("active", [0, 1], [2.0, 1.5]),
        ("not active", [2], [0.1]),
    ]
    ax = drawing.draw(found).axes[0]
    assert sorted(bar.get_height() for bar in ax.patches) == [0.1, 1.5, 2.0]
    assert sorted(bar.get_x() + bar.get_width() / 2 for bar in ax.patches) == [0, 1, 2]


def test_magnitudes_of_a_real_evaluation_are_the_mean_sizes_of_its_codes(tmp_path):
    sweep = a_sweep(tmp_path, "real", [({}, of_size(3))])
    share = measure(sweep, "0001", "magnitudes", rows=90)["active_per_class"]
    panels = [panel for panel in figure(tmp_path, "real", "class-magnitudes").panels if panel.marks]
    home = sweep / "trials" / "0001"
    run = Run.model_validate(json.loads((home / "config.json").read_text())["run"])
    seen = EvaluationContext(reopen(run, None, home / "best.pt").training)
    z_NL, y_N = seen.codes("sampled", None).numpy(), seen.rows(None).y.numpy()
    assert len(panels) == 10
    for label, panel in enumerate(panels):
        drawn = {axis: size for mark in panel.marks for axis, size in zip(mark.x, mark.y, strict=True)}
        assert drawn == pytest.approx(dict(enumerate(np.abs(z_NL[y_N == label]).mean(0))), rel=1e-5)
    active = sum(len(mark.x) for panel in panels for mark in panel.marks if mark.label == "active")
    assert share == pytest.approx(100 * active / 30)


def test_classes_are_called_by_their_names(tmp_path):
    """Those of text labels of one's own data, in the tables of evaluations and in all figures of classes."""
    names = np.array(["$a$", "bee", "cat"] * 40)
    np.savez(tmp_path / "own.npz", x=np.random.default_rng(0).random((120, 6, 6)).astype(np.float32), y=names)
    run = of_size(2, data={"name": "array", "path": str(tmp_path / "own.npz")})
    sweep = a_sweep(tmp_path, "own", [({}, run)])
    measure(sweep, "0001", "magnitudes", rows=90)
    [table] = (sweep / "trials" / "0001" / "evaluations").rglob("magnitudes.csv")
    lines = list(csv.DictReader(table.read_text().splitlines()))
    assert {(line["class"], line["name"]) for line in lines} == {("0", "$a$"), ("1", "bee"), ("2", "cat")}
    bars = figure(tmp_path, "own", "class-magnitudes")
    assert [panel.title.splitlines()[0].partition(", ")[2] for panel in bars.panels[:3]] == [
        "class $a$", "class bee", "class cat",
    ]  # fmt: skip
    [sheet] = figure(tmp_path, "own", "class-traversals").panels
    assert [row.partition(":")[0] for row in sheet.rows] == ["class $a$", "class bee", "class cat"]
    [codes] = figure(tmp_path, "own", "codes").panels
    assert [mark.label for mark in codes.marks] == ["$a$", "bee", "cat"]


def test_a_class_is_varied_along_the_axis_that_sets_it_apart(out):
    found = figure(out, "classes", "class-traversals")
    [sheet] = found.panels
    assert sheet.rows == ["class 0: axis 1", "class 1: axis 0", "class 2: axis 2"]
    home = out / "classes" / "trials" / "0001"
    run = Run.model_validate(json.loads((home / "config.json").read_text())["run"])
    seen = EvaluationContext(reopen(run, None, home / "best.pt").training)
    first = int((seen.rows(None).y == 2).nonzero()[0])
    z_L = seen.codes("representation", None)[first].clone()
    z_L[2] = -3 * seen.relevance().variance_D[2].sqrt()
    with torch.no_grad():
        expected = (seen.vae.decode(z_L[None]).mean_BX[0].clamp(0, 1) * 255).round()
    np.testing.assert_array_equal(sheet.images_RCHWK[2, 0, ..., 0], expected[0].numpy())


def test_attributes_are_those_that_were_evaluated(out):
    found = figure(out, "sizes", "attribute-accuracy")
    assert found.columns == 2
    assert [plot.title for plot in found.panels] == [
        f"{name}, {size} training rows" for name in ("all attributes", "Smiling", "Bald") for size in (50, 500)
    ]
    vae, intel, majority = found.panels[3].marks  # Smiling from 500
    assert (vae.label, vae.x) == ("vae", [2, 4])
    assert vae.y == pytest.approx([0.8, 0.8])
    assert vae.error == pytest.approx([0.1, 0])
    assert (intel.label, intel.x, intel.style) == ("intel_vae", [2, 6], "level")
    assert intel.y == pytest.approx([0.85, 0.85])
    assert (majority.label, majority.y) == ("most frequent value", [0.5, 0.5])
    whole = found.panels[0].marks[0]  # all attributes from 50
    assert whole.y == pytest.approx([(0.75 + 0.7) / 2, 0.775])
    drawing.draw(found)


@pytest.mark.parametrize(
    ("kind", "metric"),
    [
        ("class-magnitudes", "magnitudes"),
        ("class-traversals", "magnitudes"),
    ],
)
def test_what_nobody_measured_is_asked_for_by_the_command_that_does(out, kind, metric):
    with pytest.raises(UserError) as error:
        figure(out, "sizes", kind)
    [line] = error.value.lines
    assert line.endswith(f"was not measured yet: vaeorch evaluate sizes --out {out} --trials all --metrics {metric}")


def test_attributes_that_nobody_measured_are_asked_for(out):
    with pytest.raises(UserError, match="attributes was not measured yet: vaeorch evaluate classes .*attributes$"):
        figure(out, "classes", "attribute-accuracy")
