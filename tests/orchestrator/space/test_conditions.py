"""Entries that set several paths together (zip), and entries that are active under another choice (when)."""

import itertools
import json

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML

from orchestrator.checks.read import read_spec, schema
from orchestrator.space.assembly import Odometer, every
from orchestrator.space.candidates import trainings
from orchestrator.space.entries import in_order
from orchestrator.space.probing import probing
from orchestrator.space.trials import list_trials, notes
from orchestrator.spec.records import SweepSpec
from tests.support.small_runs import a_run
from tests.support.specs import TINY, refused, spec_of, with_search

ZIPPED = """\
search:
  network.latent_dim, method.beta:
    zip: [[2, 0.5], [4, 1.0], [8, 2.0]]
"""
CONDITIONAL = """\
search:
  method: {grid: [{name: vae}, {name: intel_vae, mapping: {name: sectors}}]}
  method.mapping.clusters: {grid: [2, 3], when: {method.name: intel_vae}}
"""


def sweep(folder, search, *words):
    spec = spec_of(folder, with_search(search), *words)
    return spec, list_trials(spec)


def test_a_zip_sets_its_paths_row_by_row(tmp_path):
    spec, listed = sweep(tmp_path, ZIPPED)
    assert [(trial.run["network"]["latent_dim"], trial.run["method"]["beta"]) for trial in listed] == [
        (2, 0.5),
        (4, 1.0),
        (8, 2.0),
    ]
    assert listed[1].config == {"network.latent_dim": 4, "method.beta": 1.0}
    assert trainings(spec) == 3 and not notes(spec, listed)


def test_a_zip_is_crossed_with_grids_and_gets_the_same_draws_at_each_row(tmp_path):
    more = "  seed: {grid: [0, 1]}\n  optimizer.lr: {loguniform: [1e-4, 1e-2]}\ntrials: 2\n"
    spec, listed = sweep(tmp_path, ZIPPED + more)
    assert len(listed) == trainings(spec) == 12
    found = [(trial.config["network.latent_dim"], trial.seed) for trial in listed]
    assert found == list(itertools.product([2, 4, 8], [0, 1])) * 2
    rates = [trial.config["optimizer.lr"] for trial in listed]
    assert rates == [rates[0]] * 6 + [rates[6]] * 6 and rates[0] != rates[6]


def test_a_row_of_a_zip_may_hold_mappings_and_domains_which_deeper_paths_change(tmp_path):
    _, listed = sweep(
        tmp_path,
        """\
search:
  method.beta: {grid: [7]}
  method, network.latent_dim:
    zip:
      - [{name: beta_vae}, {choice: [2, 3]}]
      - [{name: intel_vae, mapping: {name: sectors, clusters: {grid: [2, 4]}}}, 8]
trials: 2
""",
    )
    assert all(trial.run["method"]["beta"] == 7 for trial in listed)
    clusters = "method.mapping.clusters"
    found = [(trial.config["network.latent_dim"], trial.config.get(clusters)) for trial in listed]
    assert sorted(found, key=str) == [(2, None), (3, None), (8, 2), (8, 4)]


def test_an_inactive_entry_leaves_the_run_as_it_was_and_is_not_listed(tmp_path):
    search = "search:\n  network.latent_dim: {grid: [2, 6]}\n"
    search += "  method.beta: {uniform: [1, 2], when: {network.latent_dim: 6}}\ntrials: 3\n"
    _, listed = sweep(tmp_path, search)
    small = [trial for trial in listed if trial.run["network"]["latent_dim"] == 2]
    large = [trial for trial in listed if trial.run["network"]["latent_dim"] == 6]
    assert [(trial.run["method"]["beta"], trial.config) for trial in small] == [(0.5, {"network.latent_dim": 2})]
    assert len({trial.config["method.beta"] for trial in large}) == 3
    assert all(1 <= trial.run["method"]["beta"] <= 2 for trial in large)


def test_a_grid_makes_points_only_where_it_is_active(tmp_path):
    spec, listed = sweep(tmp_path, CONDITIONAL)
    assert [trial.config.get("method.mapping.clusters") for trial in listed] == [None, 2, 3]
    assert trainings(spec) == 3 and not notes(spec, listed)


def test_a_when_may_name_several_values_and_several_conditions(tmp_path):
    _, listed = sweep(
        tmp_path,
        """\
search:
  network.latent_dim: {grid: [2, 4, 8]}
  seed: {grid: [0, 1]}
  method.beta: {grid: [3], when: {network.latent_dim: [4, 8], seed: 1}}
""",
    )
    active = {(trial.config["network.latent_dim"], trial.seed) for trial in listed if "method.beta" in trial.config}
    assert len(listed) == 6 and active == {(4, 1), (8, 1)}


def test_a_when_is_judged_after_all_that_it_looks_at_whatever_the_order(tmp_path):
    head, method, clusters = CONDITIONAL.splitlines()
    _, one = sweep(tmp_path, CONDITIONAL)
    _, two = sweep(tmp_path, "\n".join([head, clusters, method]))
    assert [trial.run for trial in one] == [trial.run for trial in two]


def test_a_random_entry_may_depend_on_a_random_choice(tmp_path):
    search = "search:\n  seed: {randint: [0, 9]}\n  method.beta: {uniform: [1, 2], when: {seed: [7, 8]}}\ntrials: 12\n"
    _, listed = sweep(tmp_path, search)
    assert len(listed) == 12
    assert all(("method.beta" in trial.config) == (trial.seed in (7, 8)) for trial in listed)


def test_a_small_space_with_conditions_is_listed_in_full(tmp_path):
    search = "search:\n  network.latent_dim: {choice: [2, 4]}\n"
    search += "  method.beta: {choice: [1, 2, 3], when: {network.latent_dim: 4}}\ntrials: 9\n"
    spec, listed = sweep(tmp_path, search)
    assert sorted((t.config["network.latent_dim"], t.config.get("method.beta")) for t in listed if t.config) == sorted(
        [(2, None), (4, 1), (4, 2), (4, 3)]
    )
    assert notes(spec, listed) == [
        "9 trials asked for, but the search holds only 4 different configurations: all are run."
    ]


@st.composite
def grids(draw):
    """Grids over fields of a run, some of them active only with certain values of an earlier one."""
    paths = ["seed", "batch_size", "epochs", "network.latent_dim"]
    search = {}
    for number, path in enumerate(paths[: draw(st.integers(1, 4))]):
        values = draw(st.lists(st.integers(1, 4), min_size=1, max_size=3, unique=True))
        search[path] = {"grid": values}
        if number and draw(st.booleans()):
            other = draw(st.sampled_from(paths[:number]))
            search[path]["when"] = {other: draw(st.lists(st.integers(1, 4), min_size=1, max_size=2))}
    keys = draw(st.permutations(list(search)))
    return {key: search[key] for key in keys}


def brute_force(search, base):
    """Every product of all grids, cut down to what is active: the set of configurations."""
    found = set()
    for values in itertools.product(*(entry["grid"] for entry in search.values())):
        chosen, active = dict(zip(search, values, strict=True)), {}
        for path in ("seed", "batch_size", "epochs", "network.latent_dim"):  # each depends on earlier ones only
            conditions = search[path].get("when", {}) if path in search else {"nothing": []}
            if all(active.get(other, base.get(other)) in wanted for other, wanted in conditions.items()):
                active[path] = chosen[path]
        found.add(json.dumps(active, sort_keys=True))
    return found


@settings(max_examples=150, deadline=None)
@given(grids())
def test_conditional_grids_are_those_of_a_brute_force_over_all_products(search):
    run = a_run(seed=1, batch_size=2, epochs=3).model_dump(mode="json")
    base = {"seed": 1, "batch_size": 2, "epochs": 3, "network.latent_dim": run["network"]["latent_dim"]}
    words = {"name": "a", "run": run, "search": search, "scheduler": {"name": "none"}}
    spec = SweepSpec.model_validate_json(json.dumps(words))
    listed = [json.dumps(trial.config, sort_keys=True) for trial in list_trials(spec)]
    assert set(listed) == brute_force(search, base)
    assert len(listed) == len(set(listed)) == trainings(spec)


def test_an_odometer_asks_only_for_what_is_active(tmp_path):
    spec = spec_of(tmp_path, with_search(CONDITIONAL))
    odometer = Odometer(lambda domain, where: domain.probes())
    made = every(spec.run.model_dump(mode="json"), in_order(spec.search), odometer)
    assert [candidate.config.get("method.mapping.clusters") for candidate in made] == [None, 2, 3]


def test_probes_of_a_conditional_entry_are_shown_where_it_is_active(tmp_path):
    spec = spec_of(tmp_path, with_search(CONDITIONAL))
    shown = [found.config for key, found in probing(spec.run.model_dump(mode="json"), spec.search) if "clusters" in key]
    assert [config["method.mapping.clusters"] for config in shown] == [2, 3]
    assert {config["method.name"] for config in shown} == {"intel_vae"}


METHODS = "search:\n  method: {choice: [{name: vae}, {name: intel_vae, mapping: {name: sectors}}]}\n"
BETA = "  method.beta: {uniform: [0, 1], "
MISTAKES = {
    "zip[1]: has 1 values, but the entry has 2 paths.": (
        ZIPPED.replace("[4, 1.0]", "[4]"),
        "10: search.network.latent_dim, method.beta.",
    ),
    "zip[1][0]: must be above 0, not 0.": (ZIPPED.replace("[4, 1.0]", "[0, 1.0]"), "10: "),
    "unknown key. Did you mean 'beta'?": (ZIPPED.replace("beta", "bta"), "9: search.network.latent_dim, method.bta: "),
    "zip[1]: must be a list, not 4.": (ZIPPED.replace("[4, 1.0]", "4"), "10: "),
    "'method.beta' is also set by 'network.latent_dim, method.beta'.": (
        ZIPPED + "  method.beta: {uniform: [0, 1]}\ntrials: 2\n",
        "11: search.method.beta: ",
    ),
    "'seed' is twice in it": ("search:\n  seed, seed: {zip: [[1, 2]]}\n", "9: search.seed, seed: "),
    "are 2 paths. To set them together write {zip:": ("search:\n  seed, epochs: {grid: [1, 2]}\n", "9: "),
    "needs several paths": ("search:\n  seed: {zip: [[1], [2]]}\n", "9: search.seed.zip: "),
    "is no path.": ("search:\n  seed, : {zip: [[1, 2]]}\n", "9: search.seed,: "),
    "the scheduler decides how long": ("search:\n  seed, epochs: {zip: [[1, 2]]}\n", "9: search.seed, epochs: "),
    "cannot have a 'zip' in an option.": ("search:\n  seed: {grid: [{zip: [[1, 2]]}]}\n", "9: search.seed.grid: "),
    "cannot have a 'when' in an option.": (
        METHODS.replace("sectors}", "sectors, clusters: {choice: [2], when: {seed: 0}}}") + "trials: 2\n",
        "9: search.method.choice: ",
    ),
    "leads nowhere: there is no 'nme'. Did you mean 'name'?": (
        METHODS + BETA + "when: {method.nme: vae}}\ntrials: 2\n",
        "10: search.method.beta.when.method.nme: ",
    ),
    "leads into epochs, which is no mapping.": (
        METHODS + BETA + "when: {epochs.x: 2}}\ntrials: 2\n",
        "10: search.method.beta.when.epochs.x: ",
    ),
    "nothing there is 'intel_vea'. Did you mean 'intel_vae'? Known: vae, intel_vae.": (
        METHODS + BETA + "when: {method.name: intel_vea}}\ntrials: 2\n",
        "10: search.method.beta.when.method.name: can never hold: ",
    ),
    "can never hold: nothing there is 7. Values there: 4.": (
        METHODS + BETA + "when: {network.latent_dim: 7}}\ntrials: 2\n",
        "10: search.method.beta.when.network.latent_dim: ",
    ),
    "can never hold: no choice of values meets all of it.": (
        METHODS + BETA + "when: {method.name: vae, method.mapping.name: sectors}}\ntrials: 2\n",
        "10: search.method.beta.when: ",
    ),
    "'seed' waits for 'epochs' waits for 'seed'. Remove one 'when'.": (
        "search:\n  seed: {grid: [1], when: {epochs: 1}}\n  epochs: {grid: [1], when: {seed: 1}}\n",
        "9: search.seed.when: can never be decided: ",
    ),
    "'method' waits for 'method'.": ("search:\n  method: {grid: [{name: vae}], when: {method.name: vae}}\n", "9: "),
    "a matter of chance. Make the grid a 'choice', or what it depends on a 'grid'.": (
        METHODS + "  seed: {grid: [1, 2], when: {method.name: vae}}\ntrials: 2\n",
        "10: search.seed.when: ",
    ),
    "is relative to run. Write 'seed'.": (METHODS + BETA + "when: {run.seed: 0}}\ntrials: 2\n", "10: "),
    "must be a mapping, not 3.": (METHODS + BETA + "when: 3}\ntrials: 2\n", "10: search.method.beta.when: "),
    "clusters.grid[1]: must be at least 2, not 1.": (CONDITIONAL.replace("[2, 3]", "[2, 1]"), "10: search.method"),
    "must be a domain, a mapping with one key": ("search:\n  seed: {when: {epochs: 6}}\n", "9: search.seed: "),
    "seed.gird: unknown domain. Did you mean 'grid'?": ("search:\n  seed: {gird: [1], when: {epochs: 6}}\n", "9: "),
}
"""Part of the message -> (the search, how the message begins)."""


@pytest.mark.parametrize("said", MISTAKES)
def test_a_mistake_in_a_zip_or_a_when_is_told_with_its_line(tmp_path, said):
    search, begins = MISTAKES[said]
    told = refused(tmp_path, with_search(search))
    assert any(one.startswith(f"spec.yaml:{begins}") and said in one for one in told), told


def test_several_circles_are_all_told(tmp_path):
    text = "search:\n" + "".join(
        f"  {one}: {{grid: [1], when: {{{other}: 1}}}}\n"
        for one, other in [("seed", "epochs"), ("epochs", "seed"), ("batch_size", "batch_size")]
    )
    assert len(refused(tmp_path, with_search(text))) == 2


def test_a_condition_on_a_range_holds_where_the_range_has_the_value(tmp_path):
    for domain in ("randint: [2, 9]", "quniform: [2, 9, 2]"):
        search = f"search:\n  network.latent_dim: {{{domain}}}\n{BETA}when: {{network.latent_dim: 6}}}}\ntrials: 40\n"
        _, listed = sweep(tmp_path, search)
        assert {trial.config["network.latent_dim"] for trial in listed if "method.beta" in trial.config} == {6}
    told = refused(tmp_path, with_search(search.replace(": 6}", ": 7}")))
    assert "can never hold: nothing there is 7." in told[0]


def test_a_search_with_both_is_written_and_read_again_and_fits_the_schema(tmp_path):
    text = with_search(ZIPPED + "  seed: {grid: [1, 2], when: {network.latent_dim: [4, 8]}}\n")
    jsonschema.validate(YAML(typ="safe", pure=True).load(text), schema())
    spec = spec_of(tmp_path, text)
    plain = spec.model_dump(mode="json")
    with open(tmp_path / "again.yaml", "w") as file:
        YAML(typ="safe").dump(plain, file)
    assert read_spec(tmp_path / "again.yaml") == spec
    assert plain["search"]["seed"] == {"when": {"network.latent_dim": [4, 8]}, "grid": [1, 2]}
    assert len(list_trials(spec)) == 5


@pytest.mark.parametrize("domain", [{"grid": [1], "when": 3}, {"zip": [1]}, {"zip": []}, {"when": {"epochs": 1}}])
def test_the_schema_refuses_what_the_reader_refuses(domain):
    values = YAML(typ="safe", pure=True).load(TINY) | {"search": {"seed, epochs": domain}}
    assert list(jsonschema.Draft202012Validator(schema()).iter_errors(values))
