"""Draws of the searcher `optuna`: what they are a function of, and that they go where the results are better."""

import json
import math
import os
import subprocess
import sys

import numpy as np
import pytest
from scipy import stats

from orchestrator.space import tpe
from orchestrator.space.candidates import places
from orchestrator.spec.records import SweepSpec
from tests.support import ROOT
from tests.support.draws import METHODS, by_rate, searched, spec_of


def test_draws_go_where_the_results_are_better():
    """By chance half of all rates lie within a factor of 10^0.75 of the best: a fourth of the range on each side."""
    spec = spec_of({"optimizer.lr": {"loguniform": [1e-4, 1e-1]}, "method": {"choice": METHODS}})
    learned = [by_rate(config) for config in searched(spec, 60, by_rate)[30:]]
    assert np.median(learned) > -0.75 / 2


def test_a_minimum_is_searched_upside_down():
    spec = spec_of({"optimizer.lr": {"loguniform": [1e-4, 1e-1]}}, objective={"metric": "val/elbo", "mode": "min"})
    learned = [by_rate(config) for config in searched(spec, 40, lambda config: -by_rate(config))[20:]]
    assert np.median(learned) > -0.75 / 2


def known_halves(spec: SweepSpec, low: dict, high: dict) -> list[tpe.Known]:
    """Twenty trials; those with a low and those with a high warm-up have different fates."""
    shares = np.linspace(0, 2, 20)
    same = {"state": tpe.DONE, "epoch": 3, "value": 1.0}
    name = "search.kl_warmup_epochs"
    return [tpe.Known(params={name: float(at)}, **(same | (low if at < 1 else high))) for at in shares]


@pytest.mark.parametrize(
    ("low", "high"),
    [
        ({"value": 2.0}, {}),
        ({}, {"state": tpe.WORST, "value": 9.0}),
        ({}, {"value": None}),  # not finite
        ({"state": tpe.HALFWAY}, {"state": tpe.HALFWAY, "value": 0.0}),
        ({"state": tpe.HALFWAY, "epoch": 9}, {"state": tpe.HALFWAY, "value": 9.0}),  # the others did not come so far
        ({"state": tpe.HALFWAY, "value": -9.0}, {"state": tpe.WORST}),
        ({}, {"state": tpe.RUNNING, "value": 9.0}),  # nobody needs to run beside it
    ],
)
def test_draws_keep_to_the_better_half(low, high):
    spec = spec_of({"kl_warmup_epochs": {"uniform": [0, 2]}})
    known = known_halves(spec, low, high)
    drawn = [tpe.draw(spec, {}, known, [seed]).found.config["kl_warmup_epochs"] for seed in range(30)]
    assert sum(at < 1 for at in drawn) >= 27


@pytest.mark.parametrize(
    "draw", [lambda spec, seed: tpe.draw(spec, {}, [], seed), lambda spec, seed: tpe.draw_random(spec, {}, seed)]
)
def test_numbers_drawn_by_chance_have_the_distribution_of_their_domain(draw):
    search = {
        "kl_warmup_epochs": {"normal": [4, 1]},
        "optimizer.lr": {"loguniform": [1e-4, 1e-1]},
        "batch_size": {"randint": [1, 4]},
        "network.latent_dim": {"quniform": [2, 8, 2]},
    }
    spec = spec_of(search)
    configs = [draw(spec, [seed]).found.config for seed in range(400)]
    normal = stats.truncnorm(-3, 3, loc=4, scale=1)
    assert stats.kstest([config["kl_warmup_epochs"] for config in configs], normal.cdf).pvalue > 0.01
    rates = [math.log10(config["optimizer.lr"]) for config in configs]
    assert stats.kstest(rates, stats.uniform(-4, 3).cdf).pvalue > 0.01
    for path, values in {"batch_size": [1, 2, 3, 4], "network.latent_dim": [2, 4, 6, 8]}.items():
        counts = [sum(config[path] == value for config in configs) for value in values]
        assert sum(counts) == 400 and stats.chisquare(counts).pvalue > 0.01


def test_a_draw_has_numbers_for_active_domains_alone():
    spec = spec_of()
    names = {"search.method", "search.optimizer.lr"}
    for seed in range(20):
        drawn = tpe.draw(spec, places(spec)[seed % 2], [], [seed])
        vae = drawn.found.config["method.name"] == "vae"
        own = "search.kl_warmup_epochs" if vae else "search.method.choice[1].mapping.clusters"
        assert drawn.params.keys() == names | {own}
        assert drawn.found.config["network.latent_dim"] == [2, 4][seed % 2]


def test_grids_are_walked_through_and_each_point_gets_the_same_draws():
    spec = spec_of(trials=3)
    assert [list(point.values())[0].below for point in places(spec)] == [("zip", 0), ("zip", 1)] * 3


def test_a_point_gets_no_more_draws_than_it_has_configurations():
    spec = spec_of({"method": {"choice": METHODS}, "network.latent_dim": {"grid": [2, 4]}}, trials=10)
    assert len(places(spec)) == 2 * 3


CODE = """
import json, sys
sys.path[:0] = sys.argv[1:]
from tests.support.draws import by_rate, searched, spec_of
print(json.dumps(searched(spec_of(), 12, by_rate)))
"""


def test_draws_are_the_same_in_another_process():
    environment = os.environ | {"PYTHONHASHSEED": "7"}
    said = subprocess.run(
        [sys.executable, "-c", CODE, str(ROOT)], env=environment, capture_output=True, text=True, check=True
    )
    assert json.loads(said.stdout) == searched(spec_of(), 12, by_rate)


def test_what_was_drawn_comes_back_from_json_as_it_was():
    spec = spec_of()
    for seed in range(10):
        params = tpe.draw(spec, places(spec)[0], [], [seed]).params
        again = json.loads(json.dumps(params))
        assert repr(again) == repr(params)
