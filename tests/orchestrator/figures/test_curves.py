"""Figures of numbers against the evaluations that made them, and against what training has recorded."""

import json
import statistics

import numpy as np
import pytest

from orchestrator.errors import UserError
from orchestrator.figures import drawing
from tests.support.evaluations import a_model
from tests.support.figures import a_sweep, figure, measure, note
from trainables.evaluations.context import EvaluationContext
from trainables.run import Run
from trainables.train import reopen

GAMMAS = (3.0, 0.5)  # not in order
PIXELS = {"features": "pixels"}


@pytest.fixture(scope="module")
def out(tmp_path_factory):
    """`sparse`: two seeds of a VAE, and Intel-VAE with two gammas, measured; `ard`: ARD-VAE of two sizes, not."""
    folder = tmp_path_factory.mktemp("out")
    runs = [({"method.name": "vae"}, a_model(seed=seed)) for seed in (0, 1)]
    for gamma in GAMMAS:
        method = {"name": "intel_vae", "mapping": {"name": "sparse", "gamma": gamma}}
        config = {"method.name": "intel_vae", "method.mapping.gamma": gamma}
        runs.append((config, a_model(method=method)))
    sweep = a_sweep(folder, "sparse", runs)
    for number, trial in enumerate(("0001", "0002", "0003", "0004")):
        measure(sweep, trial, "hoyer")
        measure(sweep, trial, "frechet", **PIXELS)
        note(sweep, trial, "forest", {"forest_100": 0.5 + number / 10, "forest_20": 0.1 * number})
    sizes = [(4, 3), (6, 2)]
    ards = [
        (
            {"method.name": "ard_vae", "network.latent_dim": size},
            a_model("ard_vae", network={"name": "mlp", "hidden": [16], "latent_dim": size}, epochs=epochs),
        )
        for size, epochs in sizes
    ]
    a_sweep(folder, "ard", ards)
    return folder


def known(out, trial):
    """All values that are stored for a trial."""
    findings = json.loads((out / "sparse" / "trials" / trial / "evaluations.json").read_text()).values()
    return {name: value for finding in findings for name, value in finding["values"].items()}


def test_sparsity_and_distance_are_those_that_were_evaluated(out):
    found = figure(out, "sparse", "fid-hoyer")
    [panel] = found.panels
    assert (panel.title, panel.y) == ("digits", "frechet_pixels of samples")
    vae, intel = panel.marks
    seeds = [known(out, trial) for trial in ("0001", "0002")]
    assert vae.label == "vae"
    assert vae.x == [pytest.approx(statistics.fmean(each["hoyer"] for each in seeds))]
    assert vae.y == [pytest.approx(statistics.fmean(each["frechet_pixels"] for each in seeds))]
    assert vae.error == [pytest.approx(statistics.pstdev(each["frechet_pixels"] for each in seeds))]
    in_order = [known(out, trial) for trial in ("0004", "0003")]  # gamma 0.5, then 3
    assert intel.label == "intel_vae"
    assert list(zip(intel.x, intel.y, strict=True)) == [(each["hoyer"], each["frechet_pixels"]) for each in in_order]


def test_accuracies_are_those_that_were_evaluated(out):
    [panel] = figure(out, "sparse", "accuracy").panels
    assert [curve.label for curve in panel.marks] == ["vae", "intel_vae gamma=3", "intel_vae gamma=0.5"]
    for curve, trials in zip(panel.marks, (("0001", "0002"), ("0003",), ("0004",)), strict=True):
        assert curve.x == [20, 100]
        for size, accuracy in zip(curve.x, curve.y, strict=True):
            assert accuracy == pytest.approx(statistics.fmean(known(out, trial)[f"forest_{size}"] for trial in trials))


def test_numbers_that_nobody_measured_are_asked_for_by_the_command_that_does(out):
    for kind, metrics in (("fid-hoyer", "hoyer,frechet_intel"), ("accuracy", "forest")):
        with pytest.raises(UserError) as error:
            figure(out, "ard", kind)
        [line] = error.value.lines
        assert line.endswith(f"was not measured yet: vaeorch evaluate ard --out {out} --trials all --metrics {metrics}")


def test_numbers_that_were_made_in_two_ways_are_not_joined(out, tmp_path):
    sweep = a_sweep(tmp_path, "mixed", [({"seed": seed}, a_model(seed=seed)) for seed in (0, 1)])
    for trial, features in (("0001", 60), ("0002", 70)):
        measure(sweep, trial, "hoyer")
        measure(sweep, trial, "frechet", real=features, **PIXELS)
    with pytest.raises(UserError, match="frechet: not compared: 0001 and 0002 differ in"):
        figure(tmp_path, "mixed", "fid-hoyer")


def test_some_models_that_were_not_measured_are_counted(out, tmp_path):
    sweep = a_sweep(tmp_path, "half", [({"beta": beta}, a_model()) for beta in (1, 2)])
    note(sweep, "0001", "forest", {"forest_10": 0.5})
    found = figure(tmp_path, "half", "accuracy")
    assert [curve.label for curve in found.panels[0].marks] == ["beta=1"]
    assert found.notes == ["digits: 1 of 2 configurations were not measured."]


def test_variances_are_those_that_training_recorded(out):
    [panel] = figure(out, "ard", "variance-epochs").panels
    assert [curve.label for curve in panel.marks] == [
        "latent_dim=4 max",
        "latent_dim=4 min",
        "latent_dim=6 max",
        "latent_dim=6 min",
    ]
    text = (out / "ard" / "trials" / "0001" / "metrics.jsonl").read_text()
    lines = [json.loads(line) for line in text.splitlines()]
    assert panel.marks[0].x == [1, 2, 3]
    assert panel.marks[0].y == [line["val/variance_max"] for line in lines]
    assert panel.marks[1].y == [line["val/variance_min"] for line in lines]


def test_profiles_have_the_last_variances_and_the_scores_in_order(out):
    variance, score = figure(out, "ard", "relevance").panels
    assert (variance.title, score.title) == ("digits: variance", "digits: relevance score")
    home = out / "ard" / "trials" / "0002"
    run = Run.model_validate(json.loads((home / "config.json").read_text())["run"])
    seen = EvaluationContext(reopen(run, None, home / "best.pt").training)
    last = json.loads((home / "metrics.jsonl").read_text().splitlines()[-1])
    assert max(variance.marks[1].y) == pytest.approx(last["val/variance_max"])
    assert min(variance.marks[1].y) == pytest.approx(last["val/variance_min"])
    np.testing.assert_allclose(score.marks[1].y, np.sort(seen.relevance().score_D.numpy())[::-1])
    best = int(seen.relevance().score_D.argmax())
    assert variance.marks[1].y[0] == pytest.approx(float(seen.vae.prior.variance_D[best]))


def test_models_without_estimated_variances_have_none_to_show(out):
    with pytest.raises(UserError, match="sparse: no variance-epochs: no model of it estimates variances"):
        figure(out, "sparse", "variance-epochs")


@pytest.mark.parametrize("kind", ["fid-hoyer", "accuracy"])
def test_what_is_drawn_is_what_the_panel_holds(out, kind):
    found = figure(out, "sparse", kind)
    ax = drawing.draw(found).axes[0]
    drawn = {container.get_label(): container.lines[0].get_xydata() for container in ax.containers}
    assert set(drawn) == {curve.label for curve in found.panels[0].marks}
    for curve in found.panels[0].marks:
        np.testing.assert_array_equal(drawn[curve.label], np.column_stack((curve.x, curve.y)))
