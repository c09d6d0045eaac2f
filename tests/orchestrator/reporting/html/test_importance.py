"""Importance of hyper-parameters: shares of variance, among trials that have trained as long."""

import math

import numpy as np
import pytest

from orchestrator.reporting.html.content import read_sweep
from orchestrator.reporting.html.importance import FEWEST, compared, fanova, section
from tests.support.sweep_folders import one, written

DRAWS = np.random.default_rng(0).uniform(size=(80, 2))


def of(folder, trials, **spec):
    return read_sweep(written(folder, trials, **spec))


def test_an_additive_objective_gives_each_its_share_of_the_variance(tmp_path):
    """Of 3 a + b with equal, independent a and b, a has 9 / 10 of the variance."""
    trials = [one([3 * a + b], {"a": a, "b": b, "c": "same"}) for a, b in DRAWS]
    sweep = of(tmp_path / "sweep", trials)
    shares = fanova(sweep.trials, ["a", "b"], [sweep.value(trial) for trial in sweep.trials])
    assert list(shares) == ["a", "b"]
    assert shares["a"] == pytest.approx(0.9, abs=0.05)
    assert 0.9 < sum(shares.values()) <= 1 + 1e-9


def test_what_two_do_only_together_is_left_over(tmp_path):
    """Whether two are equal: neither explains anything by itself."""
    pairs = [(f"{n % 2}", f"{n // 2 % 2}") for n in range(80)]
    sweep = of(tmp_path / "sweep", [one([float(a == b)], {"a": a, "b": b}) for a, b in pairs])
    shares = fanova(sweep.trials, ["a", "b"], [sweep.value(trial) for trial in sweep.trials])
    assert sum(shares.values()) < 0.3  # a small forest


def test_a_category_and_a_rate_on_a_log_scale_have_theirs(tmp_path):
    """log10 of the rate is uniform over 4 decades (variance 16 / 12), the method adds 0 or 4 (variance 4): 1 to 3."""
    trials = [
        one([4 * (b > 0.5) + 4 * a], {"lr": 10 ** (-4 * a), "method.name": "long" if b > 0.5 else "short"})
        for a, b in DRAWS
    ]
    sweep = of(tmp_path / "sweep", trials)
    shares = fanova(sweep.trials, ["lr", "method.name"], [sweep.value(trial) for trial in sweep.trials])
    assert shares["method.name"] == pytest.approx(0.75, abs=0.06)


def test_the_shares_are_on_the_page(tmp_path):
    title, body = section(of(tmp_path / "sweep", [one([3 * a + b], {"a": a, "b": b}) for a, b in DRAWS[:40]]))
    assert body.index("<td>a</td>") < body.index("<td>b</td>")
    assert "up to epoch 1 of the 40 trials" in body


def test_trials_compare_at_the_latest_epoch_that_half_of_them_have_reached(tmp_path):
    """Else what a trial has reached would say how long a scheduler let it train."""
    trials = [one([1.0, 2.0, 9.0]), one([3.0, 2.5]), one([0.0]), one([5.0], status="failed"), one([math.nan, 4.0])]
    known = compared(of(tmp_path / "sweep", trials))
    assert known.epoch == 2
    assert known.values == {"0001": 2.0, "0002": 3.0, "0005": 4.0}


def test_lower_objectives_compare_by_their_lowest(tmp_path):
    assert compared(of(tmp_path / "sweep", [one([3.0, 1.0, 2.0])], mode="min")).values == {"0001": 1.0}


@pytest.mark.parametrize(
    ("trials", "said"),
    [
        (
            [one([1.0 * n], {"a": n, "b": -n}) for n in range(FEWEST - 1)],
            "9 configurations compare, at epoch 1: below 10",
        ),
        ([one([1.0 * n], {"a": n % 2, "b": 0}, seed=n) for n in range(40)], "2 configurations compare"),
        ([one([1.0 * n], {"a": n, "b": 0}) for n in range(20)], "A single hyper-parameter varies"),
        ([one([1.0], {"a": n, "b": -n}) for n in range(20)], "All trials have the same objective."),
        ([one([math.nan], {"a": n, "b": -n}) for n in range(20)], "0 configurations compare"),
    ],
    ids=["few", "seeds", "single", "equal", "none"],
)
def test_where_nothing_can_be_said_a_sentence_says_why(trials, said, tmp_path):
    assert said in section(of(tmp_path / "sweep", trials)).body


def test_a_hyper_parameter_that_only_some_trials_have_is_left_out_by_name(tmp_path):
    trials = [one([a + b], {"a": a, "b": b} | ({"own": a} if n % 2 else {})) for n, (a, b) in enumerate(DRAWS[:20])]
    assert "Left out, as only some trials have them: own." in section(of(tmp_path / "sweep", trials)).body


def test_a_sweep_in_which_nothing_varies_has_no_such_section(tmp_path):
    assert section(of(tmp_path / "sweep", [one([1.0], seed=n) for n in range(20)])) is None
