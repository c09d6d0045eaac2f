"""curves.png and parallel.png: what they show of a sweep's trials, when they are drawn, and that they fail nothing."""

import math

import numpy as np
import pytest
from PIL import Image

from orchestrator.figures import drawing, overview, overview_drawing
from orchestrator.reporting.html.content import read_best
from tests.support.sweep_folders import INF, NAN, one, write_epochs, written

CONFIGS = [{"a": 0.0, "kind": "$x"}, {"a": 1.0, "kind": "y$"}, {"a": 0.25}]
NAMES = ("curves.png", "parallel.png")


def a_sweep(folder, **more):
    """Three trials of objectives 3, 5 and 4, and a diverged one."""
    values = [[1.0, 3.0], [2.0, 5.0], [3.0, 4.0]]
    trials = [one(own, config) for own, config in zip(values, CONFIGS, strict=True)]
    return written(folder / "own", [*trials, one([NAN], {"a": 0.5}, status="diverged", reason="at once")], **more)


def lines_of(axes) -> list[list[float]]:
    return [np.asarray(line.get_ydata()).tolist() for line in axes.lines]


def test_each_trial_has_a_curve_and_the_best_is_drawn_last_and_thick(tmp_path):
    figure = overview_drawing.curves(read_best(a_sweep(tmp_path), 200))
    [axes] = figure.axes
    curves = {line.get_label().split()[0]: line for line in axes.lines}
    assert [list(curves[id].get_ydata()) for id in ("0001", "0002", "0003")] == [[1, 3], [2, 5], [3, 4]]
    thick = max(axes.lines, key=lambda line: line.get_linewidth())
    assert thick is curves["0002"] and thick.get_zorder() == max(line.get_zorder() for line in axes.lines)
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert [label.split()[0] for label in labels] == ["0002", "0003", "0001"] and "kind=y$" in labels[0]
    assert axes.get_title() == "own: 4 trials" and axes.get_ylabel() == "m"
    figure.canvas.draw()


def test_more_than_the_best_five_are_grey(tmp_path):
    folder = written(tmp_path / "own", [one([0.0, float(number)], {"a": number}) for number in range(9)])
    axes = overview_drawing.curves(read_best(folder, 200)).axes[0]
    grey = [line for line in axes.lines if line.get_color() == overview_drawing.OTHERS]
    assert sorted(line.get_ydata()[-1] for line in grey) == [0, 1, 2, 3]
    assert all(line.get_label().startswith("_") for line in grey)


@pytest.mark.parametrize(("mode", "best"), [("max", "0002"), ("min", "0001")])
def test_the_mode_says_which_trial_is_the_best(tmp_path, mode, best):
    sweep = read_best(a_sweep(tmp_path, mode=mode), 200)
    [axes] = overview_drawing.curves(sweep).axes
    assert max(axes.lines, key=lambda line: line.get_linewidth()).get_label().startswith(best)
    assert f"red: {best} " in overview_drawing.parallel(sweep).texts[-1].get_text()


def test_a_line_passes_each_axis_at_the_value_of_its_trial(tmp_path):
    figure = overview_drawing.parallel(read_best(a_sweep(tmp_path), 200))
    [axes] = figure.axes
    lines = [line for line in lines_of(axes) if len(line) == 3]
    below = overview_drawing.BELOW
    assert len(lines) == 4
    for expected in ([0, 0.75, 0.0], [1, 0.25, 1.0], [0.25, below, 0.5], [0.5, below, below]):
        assert any(np.allclose(line, expected) for line in lines), (expected, lines)
    dashed = [line for line in axes.lines if line.get_linestyle() == "--"]
    assert len(dashed) == 1 and dashed[0].get_ydata()[0] == 0.5
    assert {"a", "kind", "m", "$x", "y$"} <= {text.get_text() for text in axes.texts}
    figure.canvas.draw()


def test_values_that_are_not_finite_break_the_curve_and_leave_the_scale_alone(tmp_path):
    folder = written(tmp_path / "own", [one([1.0, INF, NAN, 2.0], {"a": 1}), one([1.5], {"a": 2})])
    figure = overview_drawing.curves(read_best(folder, 200))
    low, high = figure.axes[0].get_ylim()
    assert 0 < low < 1 and 2 < high < 3
    assert [math.isfinite(y) for y in figure.axes[0].lines[-1].get_ydata()] == [True, False, False, True]
    figure.canvas.draw()


def test_of_a_large_sweep_the_best_are_drawn_and_no_other_is_read(tmp_path, monkeypatch):
    monkeypatch.setattr(overview, "MOST_TRIALS", 3)
    folder = written(tmp_path / "own", [one([float(number)] * 20_000, {"a": number}) for number in range(5)])
    for id in ("0001", "0002"):
        (folder / "trials" / id / "metrics.jsonl").unlink()
        (folder / "trials" / id / "metrics.jsonl").mkdir()
    sweep = read_best(folder, overview.MOST_TRIALS)
    [axes] = overview_drawing.curves(sweep).axes
    assert axes.get_title() == "own: the best 3 of 5 trials"
    assert sorted(line.get_ydata()[0] for line in axes.lines) == [2, 3, 4]
    assert all(len(line.get_ydata()) <= 2_100 for line in axes.lines)
    assert overview.draw_overview(folder) == []


def test_many_hyper_parameters_and_odd_values_fit_a_picture(tmp_path):
    configs = [{f"a{axis}": axis * number for axis in range(40)} | {"b": value} for number, value in
               enumerate([None, True, [1, 2], {"name": "$"}, "x" * 300])]  # fmt: skip
    folder = written(tmp_path / "own", [one([float(number)], config) for number, config in enumerate(configs)])
    assert overview.draw_overview(folder) == []
    with Image.open(folder / "parallel.png") as picture:
        assert picture.width < 8_000


def test_they_are_drawn_again_only_where_the_numbers_have_changed(tmp_path, monkeypatch):
    folder, made = a_sweep(tmp_path), []
    monkeypatch.setattr(
        overview.drawing, "content", lambda *words, true=drawing.content: made.append(1) or true(*words)
    )
    assert overview.draw_overview(folder) == [] and len(made) == 2
    before = {name: ((folder / name).stat().st_ino, (folder / name).read_bytes()) for name in NAMES}
    assert overview.draw_overview(folder) == [] and len(made) == 2
    assert {name: ((folder / name).stat().st_ino, (folder / name).read_bytes()) for name in NAMES} == before
    write_epochs(folder / "trials" / "0001", "m", [1.0, 3.0, 2.0])
    assert overview.draw_overview(folder) == [] and len(made) == 4
    assert (folder / "curves.png").read_bytes() != before["curves.png"][1]


@pytest.mark.parametrize(
    "damage", [lambda file: file.unlink(), lambda file: file.write_bytes(file.read_bytes()[:-999])]
)
def test_a_picture_that_is_lost_or_damaged_is_drawn_again(tmp_path, damage):
    folder = a_sweep(tmp_path)
    overview.draw_overview(folder)
    before = (folder / "curves.png").read_bytes()
    damage(folder / "curves.png")
    assert overview.draw_overview(folder) == [] and (folder / "curves.png").read_bytes() == before


def test_without_what_they_show_there_are_none(tmp_path):
    folder = written(tmp_path / "own", [one([], {"a": 1}, status="failed"), one([], {"a": 1}, status="failed")])
    assert overview.draw_overview(folder) == []
    assert not (folder / "curves.png").exists() and not (folder / "parallel.png").exists()


def broken(*_, **__):
    raise MemoryError


@pytest.mark.parametrize("fault", ["no results", "no room", "no memory"])
def test_whatever_goes_wrong_is_told_and_fails_nothing(tmp_path, monkeypatch, fault):
    folder = a_sweep(tmp_path)
    if fault == "no results":
        (folder / "results.json").write_text("[")
    elif fault == "no room":
        (folder / "curves.png").mkdir()
    else:
        monkeypatch.setattr(overview.overview_drawing, "curves", broken)
    [line] = overview.draw_overview(folder)
    assert line.startswith(f"{folder}: its curves could not be drawn (") and "\n" not in line
    assert not [file for file in folder.iterdir() if file.name.startswith(".")]
