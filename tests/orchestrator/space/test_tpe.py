"""Draws of the searcher `optuna`: what they are a function of, and that they go where the results are better."""

import json
import math
import os
import subprocess
import sys

import numpy as np
import optuna
import pytest
from scipy import stats

from orchestrator.space import tpe
from orchestrator.space.candidates import places
from orchestrator.spec.records import SweepSpec
from tests.support import ROOT
from tests.support.draws import METHODS, by_rate, history, searched, spec_of


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
    drawn = [tpe.draw(spec, {}, history(spec, known), [seed]).found.config["kl_warmup_epochs"] for seed in range(30)]
    assert sum(at < 1 for at in drawn) >= 27


@pytest.mark.parametrize(
    "draw",
    [
        lambda spec, seed: tpe.draw(spec, {}, tpe.History(spec), seed),
        lambda spec, seed: tpe.draw_random(spec, {}, seed),
    ],
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
        drawn = tpe.draw(spec, places(spec)[seed % 2], tpe.History(spec), [seed])
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
        params = tpe.draw(spec, places(spec)[0], tpe.History(spec), [seed]).params
        again = json.loads(json.dumps(params))
        assert repr(again) == repr(params)


def by_a_study_of_its_own(spec: SweepSpec, known: list[tpe.Known], seed: list[int]) -> dict:
    """What Optuna suggests when a new study is told all that is known, in order."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    state = int(np.random.SeedSequence(seed).generate_state(1)[0])
    sampler = optuna.samplers.TPESampler(seed=state, n_startup_trials=5, multivariate=True, group=True)
    study = optuna.create_study(sampler=sampler, direction={"max": "maximize", "min": "minimize"}[spec.objective.mode])
    rate = optuna.distributions.FloatDistribution(1e-4, 1e-1, log=True)
    warm_up = optuna.distributions.FloatDistribution(0, 2)
    names = {"search.optimizer.lr": rate, "search.kl_warmup_epochs": warm_up}
    pruned, running, done = (optuna.trial.TrialState[name] for name in ("PRUNED", "RUNNING", "COMPLETE"))
    for one in known:
        words = {"params": one.params, "distributions": names}
        if one.state == tpe.RUNNING:
            study.add_trial(optuna.create_trial(state=running, **words))
        elif one.state == tpe.WORST or one.value is None:
            study.add_trial(optuna.create_trial(state=pruned, **words))
        elif one.state == tpe.HALFWAY:
            study.add_trial(optuna.create_trial(state=pruned, intermediate_values={one.epoch: one.value}, **words))
        else:
            study.add_trial(optuna.create_trial(state=done, value=one.value, **words))
    asked = study.ask()
    return {name: asked.suggest_float(name, at.low, at.high, log=at.log) for name, at in names.items()}


def fates(trials: int, seed: int, few: bool) -> list[tpe.Known]:
    """Trials of every state with values of which some are equal; of `few` different ones."""
    luck, states = np.random.default_rng(seed), [tpe.DONE, tpe.HALFWAY, tpe.RUNNING, tpe.WORST]
    return [
        tpe.Known(
            {"search.optimizer.lr": float(10 ** luck.uniform(-4, -1)), "search.kl_warmup_epochs": luck.uniform(0, 2)},
            states[luck.choice(4, p=[0.3, 0.5, 0.1, 0.1])],
            int(luck.integers(1, 4)),
            None if luck.random() < 0.1 else float(luck.integers(3) if few else luck.normal()),
        )
        for _ in range(trials)
    ]


@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")  # of `group`
@pytest.mark.parametrize("mode", ["max", "min"])
@pytest.mark.parametrize("trials", [0, 4, 60, tpe.MOST])
def test_draws_are_those_of_a_study_that_is_told_all_anew(trials, mode):
    search = {"optimizer.lr": {"loguniform": [1e-4, 1e-1]}, "kl_warmup_epochs": {"uniform": [0, 2]}}
    spec = spec_of(search, objective={"metric": "val/elbo", "mode": mode})
    for seed in range(2):
        known = fates(trials, seed, few=seed == 1)
        told, order = history(spec, fates(trials, seed + 9, few=True)), np.random.default_rng(seed).permutation(trials)
        for number in order:  # what is known of them changes, in another order
            told.tell((int(number),), known[number])
        assert tpe.draw(spec, {}, told, [seed, 1]).params == by_a_study_of_its_own(spec, known, [seed, 1])


def test_of_very_many_trials_tpe_is_given_the_best_and_the_latest():
    spec = spec_of({"kl_warmup_epochs": {"uniform": [0, 2]}})
    known = [tpe.Known({"search.kl_warmup_epochs": 1.0}, tpe.DONE, 3, float(-number)) for number in range(2_000)]
    given = [-trial.value for trial in history(spec, known).known()]
    assert given == [*range(tpe.BEST), *range(2_000 - tpe.MOST + tpe.BEST, 2_000)]
    assert len(given) == tpe.MOST
