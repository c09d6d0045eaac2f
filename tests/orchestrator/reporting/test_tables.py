"""Tables at any width: the numbers and what varies can be read, and nothing is cut."""

import re

import pytest

from orchestrator.reporting.comparison import as_table as as_comparison
from orchestrator.reporting.comparison import compare
from orchestrator.reporting.leaderboard import as_table
from orchestrator.reporting.tables import blocks, with_texts
from tests.support.comparisons import finding, measured

WIDTHS = (1, 20, 40, 80, 200)
REASON = "RuntimeError: the size of tensor a (64) must match the size of tensor b (32) at [0, 1]; " * 12
CONFIG = {"method.name": "intel_vae", "method.mapping.clusters": 10, "method.beta": 0.1534, "network.latent_dim": 16}
SHOWN = ["method=intel_vae", "clusters=10", "beta=0.1534", "latent_dim=16"]


def results_of(configurations, **of_second):
    objective = {"metric": "val/elbo", "mode": "max"}
    trials = [
        {"id": f"{number:04d}", "configuration": configuration, "config": CONFIG, "seed": number, "stage": "search"}
        | {"status": "completed", "epochs": 27, "reason": None, "best": {"epoch": 1, "val/elbo": -1234.5 - number}}
        for number, configuration in enumerate(configurations, start=1)
    ]
    trials[1] |= of_second
    return {"name": "a", "objective": objective, "trials": trials}


def folded(text):
    """Without the breaks that a terminal has no room without."""
    return re.sub(r"\s+", "", text)


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("configurations", [[1, 2, 3], [1, 1, 2]], ids=["trials", "configurations"])
def test_a_reason_of_any_length_leaves_rank_trial_value_and_configuration_readable(width, configurations):
    text = as_table(results_of(configurations, status="failed", reason=REASON), width)
    assert text.splitlines()[-1] == f"0002 failed: {REASON}"
    table = text.splitlines()[1:-1]
    assert re.search(r"1  +(0001|2)", "\n".join(table)) or width < 20
    assert all(shown in folded("".join(table)) for shown in map(folded, SHOWN)) and "-123" in folded("".join(table))
    assert max(map(len, table)) <= max(width, 20)
    if width >= 40:
        assert all(shown in "\n".join(table) for shown in SHOWN)


def test_a_short_reason_stands_beside_its_status_and_is_told_once():
    text = as_table(results_of([1, 2, 3], status="stopped", reason="asha@9"), 80)
    assert text.count("asha@9") == 1 and "stopped (asha@9)" in text


def test_trials_that_ended_for_one_reason_share_a_line():
    results = results_of([1, 2, 3], status="failed", reason=REASON)
    results["trials"][2] |= {"status": "failed", "reason": REASON}
    assert as_table(results, 80).splitlines()[-1] == f"0002, 0003 failed: {REASON}"


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("models", [1, 3, 8, 20])
def test_findings_of_many_models_are_cut_at_no_width(width, models):
    label = "method=intel_vae clusters=10 beta=0.1534"
    values = {f"metric_{number}": number + 0.125 for number in range(12)}
    found = compare([measured(f"{n:04d} {label}", f"{n:04d}", [finding(values=values)]) for n in range(models)])
    text = as_comparison(found, width)
    words = text.split()
    for name, value in values.items():
        assert name in words and words.count(f"{value:.4g}") == models
    assert all(f"{n:04d} {label}" in text.splitlines() for n in range(models))
    table = [line for line in text.splitlines() if label not in line]
    assert max(map(len, table)) <= max(width, 30)


@pytest.mark.parametrize("width", WIDTHS)
def test_wide_characters_stand_in_their_columns(width):
    lines = with_texts(["a", "b", "text"], [["漢字", "1"], ["x", "22"]], ["file=漢字.npy", "👩‍🔬"], width)
    assert folded("".join(lines)) == folded("a b text 漢字 1 file=漢字.npy x 22 👩‍🔬") or width < 80


def test_a_cell_of_several_lines_stays_in_its_row():
    assert blocks(["", "a"], [["x\ny", "1"]], 80) == ["      a", "x\\ny  1"]
