import json
import math
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter
from scipy import stats

from orchestrator.space.candidates import trainings
from orchestrator.space.probing import probing
from orchestrator.space.trials import list_trials, notes, parameters
from orchestrator.spec.domains import DOMAINS, NAMES, AnyDomain
from tests.support.specs import spec_of, with_search
from trainables.run import Run

EXAMPLES = {
    "choice": ({"choice": [3, "a", [1, 2]]}, [3, "a", [1, 2]]),
    "grid": ({"grid": [3, "a", [1, 2]]}, [3, "a", [1, 2]]),
    "zip": ({"zip": [[3, "a"], [4, [1, 2]]]}, [{0: 3, 1: "a"}, {0: 4, 1: [1, 2]}]),
    "uniform": ({"uniform": [-1, 2]}, [-1, 2]),
    "loguniform": ({"loguniform": [0.1, 30]}, [0.1, 30]),
    "randint": ({"randint": [-2, 3]}, [-2, 3]),
    "quniform": ({"quniform": [0, 1, 0.3]}, [0, 0.9]),
    "normal": ({"normal": [1, 0.5]}, [-0.5, 1, 2.5]),
}
SAMPLED = [name for name in NAMES if name not in ("grid", "zip")]


def domain(values):
    return TypeAdapter(AnyDomain).validate_json(json.dumps(values))


def samples(values, rows=5_000):
    rng = np.random.default_rng(0)
    made = domain(values)
    return [made.sample(rng).value for _ in range(rows)]


def sweep(folder, search, *settings):
    spec = spec_of(folder, with_search(search), *settings)
    return spec, list_trials(spec)


def test_each_domain_has_an_example_here():
    assert set(EXAMPLES) == set(NAMES)
    assert len(NAMES) == len(DOMAINS)


@pytest.mark.parametrize("name", NAMES)
def test_probes_are_all_options_or_the_ends_of_a_range(name):
    values, probes = EXAMPLES[name]
    assert [pick.value for pick in domain(values).probes()] == probes


@pytest.mark.parametrize("name", ["choice", "grid", "zip", "uniform", "loguniform", "randint"])
def test_a_probe_tells_where_its_value_is_written(name):
    values, probes = EXAMPLES[name]
    assert [pick.below for pick in domain(values).probes()] == [(name, index) for index in range(len(probes))]


@pytest.mark.parametrize("name", SAMPLED)
def test_samples_are_plain_values_between_the_probes(name):
    values, probes = EXAMPLES[name]
    drawn = samples(values)
    assert {type(value) for value in drawn} <= {int, float, str, list}
    if name == "choice":
        assert all(value in probes for value in drawn) and all(value in drawn for value in probes)
    else:
        assert min(probes) <= min(drawn) and max(drawn) <= max(probes)


@pytest.mark.parametrize(
    ("values", "distribution"),
    [
        ({"uniform": [-1, 2]}, stats.uniform(-1, 3)),
        ({"loguniform": [0.1, 30]}, stats.loguniform(0.1, 30)),
        ({"normal": [1, 0.5]}, stats.truncnorm(-3, 3, loc=1, scale=0.5)),
    ],
)
def test_numbers_have_the_distribution_of_their_domain(values, distribution):
    assert stats.kstest(samples(values), distribution.cdf).pvalue > 0.01


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"choice": [3, 4]}, [3, 4]),
        ({"randint": [-2, 3]}, [-2, -1, 0, 1, 2, 3]),
        ({"quniform": [0, 0.3, 0.1]}, [0.0, 0.1, 0.2, 0.3]),
        ({"quniform": [32, 100, 32]}, [32, 64, 96]),
        ({"quniform": [1e-5, 3e-5, 1e-5]}, [1e-5, 2e-5, 3e-5]),
    ],
)
def test_countable_values_are_all_drawn_and_equally_often(values, expected):
    drawn = samples(values)
    assert sorted(set(drawn)) == expected
    assert domain(values).size() == len(expected)
    assert {type(value) for value in drawn} == {type(expected[0])}
    assert stats.chisquare([drawn.count(value) for value in expected]).pvalue > 0.01


def test_whole_numbers_of_quniform_fit_whole_number_fields(tmp_path):
    _, listed = sweep(tmp_path, "search: {batch_size: {quniform: [20, 60, 20]}}\ntrials: 3\n")
    assert sorted(trial.run["batch_size"] for trial in listed) == [20, 40, 60]


def test_probing_shows_every_probe_with_the_others_at_their_first(tmp_path):
    spec = spec_of(
        tmp_path,
        with_search("""\
search:
  method:
    choice:
      - {name: beta_vae}
      - {name: intel_vae, mapping: {name: sectors, clusters: {choice: [2, 5]}, c2: {uniform: [0.2, 0.5]}}}
  network.latent_dim: {randint: [2, 9]}
trials: 2
"""),
    )
    shown = [candidate.config for _, candidate in probing(spec.run.model_dump(mode="json"), spec.search)]
    sectors = {"method.name": "intel_vae", "method.mapping.name": "sectors"}
    clusters, c2 = "method.mapping.clusters", "method.mapping.c2"
    assert shown == [
        {"method.name": "beta_vae", "network.latent_dim": 2},
        {**sectors, clusters: 2, c2: 0.2, "network.latent_dim": 2},
        {**sectors, clusters: 5, c2: 0.2, "network.latent_dim": 2},
        {**sectors, clusters: 2, c2: 0.2, "network.latent_dim": 2},
        {**sectors, clusters: 2, c2: 0.5, "network.latent_dim": 2},
        {"method.name": "beta_vae", "network.latent_dim": 2},
        {"method.name": "beta_vae", "network.latent_dim": 9},
    ]


def test_a_trial_holds_a_complete_run_and_what_varies_of_it(tmp_path):
    spec = spec_of(tmp_path)
    listed = list_trials(spec)
    assert [trial.number for trial in listed] == [1, 2, 3, 4]
    for trial in listed:
        run = Run.model_validate_json(json.dumps(trial.run))
        assert run.model_dump(mode="json") == trial.run
        assert trial.seed == run.seed == 0
        assert run.data == spec.run.data
        for path, value in trial.config.items():
            found = trial.run
            for step in path.split("."):
                found = found[step]
            assert found == value
        sectors = {"method.mapping.name", "method.mapping.clusters"} if run.method.name == "intel_vae" else set()
        assert set(trial.config) == {"method.name", "method.beta", "network.latent_dim"} | sectors


def test_a_spec_without_a_search_is_one_trial(tmp_path):
    spec, (trial,) = sweep(tmp_path, "")
    assert trial.config == {}
    assert Run.model_validate_json(json.dumps(trial.run)) == spec.run


def test_trials_are_a_function_of_the_search_seed(tmp_path):
    search = "search: {method.beta: {uniform: [0, 1]}}\ntrials: 5\n"
    (_, one), (_, again), (_, other) = (sweep(tmp_path, search, f"search_seed={seed}") for seed in (0, 0, 1))
    assert one == again
    assert not {trial.config["method.beta"] for trial in one} & {trial.config["method.beta"] for trial in other}


def test_more_trials_leave_the_first_ones_as_they_are(tmp_path):
    search = "search: {method.beta: {uniform: [0, 1]}, seed: {grid: [0, 1]}}\n"
    _, few = sweep(tmp_path, search + "trials: 5\n")
    _, many = sweep(tmp_path, search + "trials: 9\n")
    assert (len(few), len(many)) == (10, 18)
    assert many[:10] == few


def test_a_further_domain_leaves_the_draws_of_the_others_as_they_are(tmp_path):
    beta = "method.beta: {uniform: [0, 1]}"
    _, one = sweep(tmp_path, f"search: {{{beta}}}\ntrials: 5\n")
    _, two = sweep(tmp_path, f"search: {{network.latent_dim: {{randint: [1, 9]}}, {beta}}}\ntrials: 5\n")
    assert [trial.run["method"]["beta"] for trial in one] == [trial.run["method"]["beta"] for trial in two]


def test_grids_are_crossed_in_full(tmp_path):
    spec, listed = sweep(
        tmp_path, "search: {network.latent_dim: {grid: [2, 4, 8]}, seed: {grid: [0, 1]}, method.beta: {grid: [1, 2]}}\n"
    )
    found = [tuple(trial.config[path] for path in ("network.latent_dim", "seed", "method.beta")) for trial in listed]
    assert found == list(product([2, 4, 8], [0, 1], [1, 2]))
    assert trainings(spec) == 12 and not notes(spec, listed)


def test_each_point_of_a_grid_gets_the_same_draws_of_the_rest(tmp_path):
    _, listed = sweep(tmp_path, "search: {method.beta: {uniform: [0, 1]}, seed: {grid: [0, 1, 2]}}\ntrials: 4\n")
    assert [trial.seed for trial in listed] == [0, 1, 2] * 4
    betas = [trial.config["method.beta"] for trial in listed]
    assert betas == [beta for beta in betas[::3] for _ in range(3)]
    assert len(set(betas)) == 4


def test_a_grid_may_hold_grids_and_random_domains(tmp_path):
    spec, listed = sweep(
        tmp_path,
        """\
search:
  method:
    grid:
      - {name: vae}
      - {name: intel_vae, mapping: {name: holes, holes: {grid: [2, 3]}, scale: {uniform: [1, 2]}}}
trials: 2
""",
    )
    assert [trial.config.get("method.mapping.holes") for trial in listed] == [None, 2, 3, 2, 3]
    assert notes(spec, listed) == [
        "6 trials asked for, but the search holds only 5 different configurations: all are run."
    ]


def test_no_configuration_is_listed_twice(tmp_path):
    _, listed = sweep(tmp_path, "search: {network.latent_dim: {choice: [2, 3]}, seed: {randint: [0, 3]}}\ntrials: 7\n")
    assert len(listed) == len({repr(trial.config) for trial in listed}) == 7


def test_a_space_smaller_than_trials_is_listed_in_full(tmp_path):
    search = "search: {network.latent_dim: {choice: [2, 3]}, seed: {randint: [0, 3]}}\ntrials: 50\n"
    spec, listed = sweep(tmp_path, search)
    found = {(trial.config["network.latent_dim"], trial.config["seed"]) for trial in listed}
    assert found == set(product([2, 3], range(4))) and len(listed) == 8
    assert notes(spec, listed) == [
        "50 trials asked for, but the search holds only 8 different configurations: all are run."
    ]


def test_equal_options_are_one_configuration(tmp_path):
    _, listed = sweep(tmp_path, "search: {network.latent_dim: {choice: [2, 2, 3]}, seed: {grid: [1, 1]}}\ntrials: 3\n")
    assert sorted(trial.config["network.latent_dim"] for trial in listed) == [2, 3]


def test_options_that_make_equal_runs_are_one_configuration(tmp_path):
    """What is left out is the default, 1 is 1.0, and a condition that does not hold sets nothing."""
    defaults = "method: {choice: [{name: ard_vae}, {name: ard_vae, beta: 1}, {name: ard_vae, beta: 1.0}]}"
    search = f"search:\n  {defaults}\n  method.dz_size: {{choice: [1000, 50]}}\ntrials: 9\n"
    _, listed = sweep(tmp_path, search, "run.data={name: digits}")
    assert sorted(trial.config["method.dz_size"] for trial in listed) == [50, 1000]


@pytest.mark.parametrize("domain", ["grid", "choice"])
def test_zeros_of_both_signs_are_one_value(tmp_path, domain):
    search = f"search: {{method.beta: {{{domain}: [0, -0.0]}}}}\n" + "trials: 2\n" * (domain == "choice")
    spec, listed = sweep(tmp_path, search)
    assert len(listed) == 1 and len(notes(spec, listed)) == 1


def test_rows_of_a_zip_that_make_equal_runs_are_one_configuration(tmp_path):
    search = "search: {'network.latent_dim, method.beta': {zip: [[2, 1], [2, 1.0], [3, 1]]}}\n"
    spec, listed = sweep(tmp_path, search)
    assert [trial.config["network.latent_dim"] for trial in listed] == [2, 3]
    assert notes(spec, listed) == [
        "3 trials asked for, but the search holds only 2 different configurations: all are run."
    ]


def test_no_run_is_listed_twice_whatever_is_crossed_and_conditional(tmp_path):
    search = """search:
  method: {choice: [{name: ard_vae}, {name: beta_vae}, {name: ard_vae, dz_size: {choice: [50, 60]}}]}
  method.dz_size: {choice: [50, 70], when: {method.name: ard_vae}}
  network.latent_dim: {grid: [2, 3]}
  batch_size, network.hidden: {zip: [[10, [8]], [20, [8]], [10, [8]]]}
trials: 3
"""
    _, listed = sweep(tmp_path, search)
    assert len({json.dumps(trial.run) for trial in listed}) == len(listed) == 2 * 2 * 3


def test_the_searcher_grid_crosses_all_values_of_all_domains(tmp_path):
    search = """search:
  network.latent_dim: {choice: [2, 3]}
  method: {grid: [{name: beta_vae}, {name: intel_vae, mapping: {name: sectors, clusters: {choice: [2, 5]}}}]}
  batch_size: {quniform: [10, 30, 10]}
  seed: {randint: [4, 5]}
searcher: {name: grid}
"""
    spec, listed = sweep(tmp_path, search)
    assert trainings(spec) == len(listed) == 2 * (1 + 2) * 3 * 2
    assert len({json.dumps(trial.run) for trial in listed}) == len(listed)
    assert {trial.config["batch_size"] for trial in listed} == {10, 20, 30}


def test_the_searcher_grid_puts_points_evenly_on_the_scale_of_a_domain(tmp_path):
    def points(values: str) -> list[float]:
        _, listed = sweep(tmp_path, f"search: {{kl_warmup_epochs: {values}}}\nsearcher: {{name: grid, points: 3}}\n")
        return [trial.config["kl_warmup_epochs"] for trial in listed]

    assert points("{uniform: [1, 4]}") == [1.0, 2.5, 4.0]
    assert points("{loguniform: [0.1, 10]}") == pytest.approx([0.1, 1.0, 10.0], rel=1e-12)
    assert points("{normal: [4, 1]}") == pytest.approx([1.0, 4.0, 7.0], rel=1e-12)
    assert points("{quniform: [0, 1, 0.5]}") == [0, 0.5, 1]


@pytest.mark.parametrize("name", NAMES)
def test_the_ends_of_a_scale_stand_for_the_ends_of_a_domain(name):
    values, probes = EXAMPLES[name]
    low, high, *_ = domain(values).scale()
    for number, probe in ((low, probes[0]), (high, probes[-1])):
        value = domain(values).at(number).value
        assert value == (pytest.approx(probe) if name == "normal" else probe)


@settings(deadline=None)
@given(st.sampled_from(["uniform", "loguniform", "normal"]), st.floats(0, 1), st.floats(0, 1))
def test_what_lies_higher_on_a_scale_is_a_higher_value(name, one, other):
    made = domain(EXAMPLES[name][0])
    low, high, *_ = made.scale()
    first, second = (made.at(low + (high - low) * share).value for share in sorted((one, other)))
    assert min(EXAMPLES[name][1]) <= first <= second <= max(EXAMPLES[name][1]) + 1e-12


def test_shorter_paths_are_applied_first_whatever_their_order(tmp_path):
    method = "method: {choice: [{name: beta_vae, beta: 7}, {name: ard_vae, beta: 8}]}"
    beta = "method.beta: {uniform: [0, 1]}"
    _, one = sweep(tmp_path, f"search:\n  {method}\n  {beta}\ntrials: 6\n")
    _, two = sweep(tmp_path, f"search:\n  {beta}\n  {method}\ntrials: 6\n")
    assert [trial.run for trial in one] == [trial.run for trial in two]
    assert all(0 <= trial.run["method"]["beta"] <= 1 for trial in one)
    assert {trial.run["method"]["name"] for trial in one} == {"beta_vae", "ard_vae"}


def test_a_value_replaces_what_was_there_with_all_that_was_in_it(tmp_path):
    spec, listed = sweep(tmp_path, "search: {method: {grid: [{name: ard_vae}, {name: beta_vae, beta: 2}]}}\n")
    assert spec.run.method.beta == 0.5
    assert [trial.run["method"]["beta"] for trial in listed] == [1.0, 2.0]


def test_a_path_makes_the_part_that_is_off_by_default(tmp_path):
    _, listed = sweep(tmp_path, "search: {optimizer.plateau.factor: {grid: [0.2, 0.5]}}\n")
    assert [trial.run["optimizer"]["plateau"]["factor"] for trial in listed] == [0.2, 0.5]
    assert all(trial.run["optimizer"]["plateau"]["patience"] == 10 for trial in listed)


@pytest.mark.parametrize("seeds", ["seed: {grid: [0, 1]}}\n", "network.latent_dim: {grid: [4]}}\nseeds: 2\n"])
def test_trials_share_no_mutable_value(tmp_path, seeds):
    _, listed = sweep(tmp_path, "search: {network.hidden: {grid: [[8, 8], [4]]}, " + seeds)
    listed[0].config["network.hidden"].append(9)
    listed[0].run["network"]["hidden"].append(9)
    assert [trial.config["network.hidden"] for trial in listed[1:]] == [[8, 8], [4], [4]]
    assert [trial.run["network"]["hidden"] for trial in listed[1:]] == [[8, 8], [4], [4]]


def test_seeds_replicate_each_configuration_side_by_side(tmp_path):
    search = "search: {method.beta: {uniform: [0, 1]}, network.latent_dim: {grid: [2, 4]}}\ntrials: 3\n"
    spec, listed = sweep(tmp_path, search + "seeds: 2\n", "run.seed=5")
    _, single = sweep(tmp_path, search, "run.seed=5")
    assert [trial.number for trial in listed] == list(range(1, 13))
    assert [trial.configuration for trial in listed] == [number for number in range(1, 7) for _ in range(2)]
    assert [trial.seed for trial in listed] == [trial.run["seed"] for trial in listed] == [5, 6] * 6
    assert [trial.config for trial in listed[::2]] == [trial.config for trial in listed[1::2]]
    assert [(trial.config, trial.run) for trial in listed[::2]] == [(trial.config, trial.run) for trial in single]
    assert trainings(spec) == 12 and not notes(spec, listed)


def test_a_small_space_counts_its_configurations_not_its_seeds(tmp_path):
    spec, listed = sweep(tmp_path, "search: {network.latent_dim: {choice: [2, 3]}}\ntrials: 5\nseeds: 3\n")
    assert len(listed) == 6
    assert notes(spec, listed) == [
        "5 trials asked for, but the search holds only 2 different configurations: all are run."
    ]


def test_parameters_tell_replicas_apart(tmp_path):
    spec, listed = sweep(tmp_path, "search: {method.beta: {grid: [1, 2]}}\nseeds: 2\n")
    assert [parameters(spec, trial) for trial in listed] == [
        {"method.beta": beta, "configuration": beta, "seed": seed} for beta in (1, 2) for seed in (0, 1)
    ]
    spec, listed = sweep(tmp_path, "search: {method.beta: {grid: [1, 2]}}\n")
    assert [parameters(spec, trial) for trial in listed] == [{"method.beta": 1}, {"method.beta": 2}]


def test_choices_may_nest_to_any_depth(tmp_path):
    nested = "{choice: [2, {choice: [{randint: [4, 5]}, {choice: [8]}]}]}"
    _, listed = sweep(tmp_path, f"search: {{network.latent_dim: {nested}}}\ntrials: 4\n")
    assert sorted(trial.config["network.latent_dim"] for trial in listed) == [2, 4, 5, 8]


def test_alternatives_are_drawn_as_often_as_each_other_whatever_they_hold(tmp_path):
    _, listed = sweep(
        tmp_path,
        """\
search:
  method:
    choice:
      - {name: beta_vae}
      - {name: intel_vae, mapping: {name: sparse, gamma: {loguniform: [0.1, 30]}}}
  method.beta: {uniform: [0, 1]}
trials: 300
""",
    )
    share = np.mean([trial.config["method.name"] == "beta_vae" for trial in listed])
    assert abs(share - 0.5) < 3 * math.sqrt(0.25 / 300)
