import gzip
import json
import re
from pathlib import Path

import jsonschema
import pytest
from ruamel.yaml import YAML

from orchestrator.checks.read import read_spec, schema
from orchestrator.errors import UserError
from orchestrator.spec.diagnostics import SpecError
from tests.support import ROOT
from tests.support.specs import TINY, changed, refused, spec_of, with_search

QUICKSTART = ROOT / "search_spaces" / "quickstart.yaml"


MISTAKES = {
    "name: tiny": (
        ("name: ../tiny", "1: name: '../tiny' is no plain folder name."),
        ("name: 3", "1: name: must be text (in quotes, where it looks like a number), not 3."),
    ),
    "name: tiny\n": (("", "1: name: is missing."),),
    "trials: 4": (
        ("trails: 4", "15: trails: unknown key. Did you mean 'trials'? Known: name, description, run,"),
        ("trials: 0", "15: trials: must be above 0, not 0."),
        ("", "1: trials: is missing. Say how often"),
        ("trials: 4\nsearch_seed: -1", "16: search_seed: must be at least 0, not -1."),
        ("trials: 4\npictures_every: 1.5", "16: pictures_every: must be a whole number, not 1.5."),
        ("trials: 4\npictures: {top: 0}", "16: pictures.top: must be a whole number above 0, or all, not 0."),
        ("trials: 4\npictures: {top: best}", '16: pictures.top: must be a whole number above 0, or all, not "best".'),
        ("trials: 20_000", "8: search: asks for more than 10,000 trainings."),
        ("trials: 4\nseeds: 2_501", "8: search: asks for more than 10,000 trainings."),
        ("trials: 4\nseeds: 0", "16: seeds: must be above 0, not 0."),
        ("trials: 4\nresources: {workers: 0}", "16: resources.workers: must be above 0, not 0."),
        ("trials: 4\nresources: {placement: SPRAED}", "16: resources.placement: unknown word 'SPRAED'. Known: PACK"),
        ("trials: 4\nresources: {gpus_per_worker: 1.5}", "16: resources.gpus_per_worker: must be a whole number"),
        ("trials: 4\nscheduler: {name: ash}", "16: scheduler.name: unknown name 'ash'. Did you mean 'asha'?"),
        ("trials: 4\nscheduler: asha", "16: scheduler: must be a mapping, not 'asha'. Write {name: asha}."),
        ("trials: 4\nscheduler: {grace_epochs: 2}", "16: scheduler: has no 'name'. Known: asha, hyperband, none."),
        ("trials: 4\nsearcher: optuna", "16: searcher: must be a mapping, not 'optuna'. Write {name: optuna}."),
        ("trials: 4\nsearcher: {name: optona}", "16: searcher.name: unknown name 'optona'. Did you mean 'optuna'?"),
        ("searcher: {name: grid}", "13: search.method.beta: has no end of values: loguniform. Write searcher.points"),
        ("trials: 4\nsearcher: {name: grid, points: 3}", "15: trials: the searcher 'grid' trains each combination"),
        ("searcher: {name: grid, points: 1}", "15: searcher.points: must be at least 2, not 1."),
        ("searcher: {name: grid, points: 9_000}", "8: search: asks for more than 10,000 trainings."),
        ("trials: 4\nsearcher: {name: optuna, startup_trials: 0}", "16: searcher.startup_trials: must be above 0"),
        ("searcher: {name: optuna}", "1: trials: is missing. Say how often"),
        ("trials: 4\nconfirm: {top: 2}", "16: confirm.seeds: is missing."),
        ("trials: 4\nconfirm: {top: 0, seeds: 2}", "16: confirm.top: must be above 0, not 0."),
        ("trials: 4\nbudget: {}", "16: budget: names no limit. Known: epochs, hours, gpu_hours, usd."),
        ("trials: 4\nbudget: {epoch: 9}", "16: budget.epoch: unknown key. Did you mean 'epochs'?"),
        ("trials: 4\nbudget: {hours: 0}", "16: budget.hours: must be above 0, not 0."),
        ("trials: 4\nbudget: {gpu_hours: 1}", "16: budget.gpu_hours: is never used up: resources.gpus_per_worker"),
        (
            "trials: 4\nresources: {trials_per_slot: many}",
            '16: resources.trials_per_slot: must be a whole number above 0, or auto, not "many".',
        ),
        ("trials: 4\nresources: {trials_per_slot: 0}", "16: resources.trials_per_slot: must be a whole number above 0"),
        (
            "trials: 4\nresources: {trials_per_slot: 8, workers: 2}",
            "16: resources.trials_per_slot: trials of several workers share no slot. Write 1, or 'workers: 1'.",
        ),
        (
            "trials: 4\npictures_every: 2\nresources: {trials_per_slot: auto}",
            "17: resources.trials_per_slot: trials that draw while they train share no slot.",
        ),
        ("trials: 4\nobjective: {mode: maxi}", "16: objective.mode: unknown word 'maxi'. Did you mean 'max'?"),
        (
            "trials: 4\nobjective: {metric: val/loss, mode: max}",
            "16: objective.mode: 'max' is at odds with val/loss, of which lower values are better. Leave 'mode' out",
        ),
        ("trials: 4\nobjective: {mode: min}", "16: objective.mode: 'min' is at odds with val/elbo, of which higher"),
        ("trials: 4\nobjective: {metric: val/active}", "16: objective.mode: is missing: val/active is better neither"),
        ("trials: 4\nobjective: {metric: val/elbow}", "16: objective.metric: the method 'ard_vae' has no metric"),
    ),
    "ard_vae, beta: 0.5": (
        ("ard_vea", "3: run.method.name: unknown name 'ard_vea'. Did you mean 'ard_vae'? Known: vae,"),
    ),
    "beta: 0.5": (
        ("beta: -0.5", "3: run.method.beta: must be at least 0, not -0.5."),
        ("beta: .nan", "3: run.method.beta: must be a finite number, not nan."),
        ("beta: 'half'", "3: run.method.beta: must be a number, not 'half'."),
        ("beta: [0.5]", "3: run.method.beta: must be a number, not [0.5]."),
        ("beta: null", "3: run.method.beta: must be a number, not nothing."),
    ),
    "latent_dim: 4}": (
        ("latent_dim: 0}", "4: run.network.latent_dim: must be above 0, not 0."),
        ("latent_dim: true}", "4: run.network.latent_dim: must be a whole number, not true."),
    ),
    ", latent_dim: 4": (("", "4: run.network.latent_dim: is missing."),),
    "hidden: [8]": (
        ("hidden: [8, x]", "4: run.network.hidden[1]: must be a whole number, not 'x'."),
        ("hidden: 8", "4: run.network.hidden: must be a list, not 8."),
    ),
    "data: {name: digits, train_rows: 300, val_rows: 90}": (
        ("data: digits", "5: run.data: must be a mapping, not 'digits'. "),
    ),
    "train_rows: 300": (("train_rows: 3000", "5: run.data.train_rows: 3000 rows asked for"),),
    "lr: 1e-3": (
        ("lr: 1e-3x", "6: run.optimizer.lr: must be a number, not '1e-3x'."),
        ("beta1: 1", "6: run.optimizer.beta1: must be below 1, not 1."),
    ),
    "epochs: 6": (
        ("epochs: '6'", "7: run.epochs: must be a whole number, not '6'."),
        ("epochs: 6\n  batch_size: 400", "8: run.batch_size: a batch of 400 is larger than the"),
    ),
    "{name: ard_vae}": (
        ("{name: ard_vae, dz_size: 300}", "11: search.method.choice[0].dz_size: D_z takes 300 of the 300"),
        ("ard_vae", "11: search.method.choice[0]: must be a mapping, not 'ard_vae'. Write {name: ard_vae}"),
    ),
    "clusters: {choice: [2, 5]}": (
        (
            "clusters: {choice: [2, 1]}",
            "12: search.method.choice[1].mapping.clusters.choice[1]: must be at least 2, not 1.",
        ),
        ("cluster: 2", "12: search.method.choice[1].mapping.cluster: unknown key. Did you mean 'clusters'?"),
        (
            "clusters: {chioce: [2]}",
            "12: search.method.choice[1].mapping.clusters.chioce: unknown domain. Did you mean 'choice'?",
        ),
        ("clusters: {grid: [2]}", "10: search.method.choice: cannot have a grid in an option."),
    ),
    "method.beta:": (
        ("method.bta:", "13: search.method.bta: unknown key. Did you mean 'beta'? Known: name, beta, dz_size,"),
        ("epochs.beta:", "13: search.epochs.beta: leads into epochs, which is no mapping."),
        ("run.method.beta:", "13: search.run.method.beta: is relative to run. Write 'method.beta'."),
        ("method..beta:", "13: search.method..beta: is no path."),
    ),
    "[0.05, 5]": (
        (
            "[5, 0.05]",
            "13: search.method.beta.loguniform: must have its first number below its second, not 5 and 0.05.",
        ),
        ("[5, 5]", "13: search.method.beta.loguniform: must have its first number below its second, not 5 and 5."),
        ("[0, 5]", "13: search.method.beta.loguniform[0]: must be above 0, not 0."),
        ("[0.05]", "13: search.method.beta.loguniform[1]: is missing."),
        ("[0.05, 5, 6]", "13: search.method.beta.loguniform: has 3 entries, but may have at most 2."),
        ("[0.05, 5e]", "13: search.method.beta.loguniform[1]: must be a number, not '5e'."),
    ),
    "{loguniform: [0.05, 5]}": (
        ("{uniform: [-1, 5]}", "13: search.method.beta.uniform[0]: must be at least 0, not -1.0."),
        ("{normal: [1, 0]}", "13: search.method.beta.normal[1]: must be above 0, not 0."),
        ("{normal: [1, 1]}", "13: search.method.beta: must be at least 0, not -2.0."),
        ("{quniform: [0, 1, 0]}", "13: search.method.beta.quniform[2]: must be above 0, not 0."),
        ("{quniform: [0, 1, 1e-20]}", "13: search.method.beta.quniform: must have a wider step"),
        ("{log_uniform: [1, 2]}", "13: search.method.beta.log_uniform: unknown domain. Did you mean 'loguniform'?"),
        ("[0.05, 5]", "13: search.method.beta: must be a domain, a mapping with one key such as"),
        ("{uniform: [1, 2], q: 1}", "13: search.method.beta: must be a domain, a mapping with one key"),
    ),
    "{choice: [2, 4]}": (
        ("{choice: []}", "14: search.network.latent_dim.choice: has 0 entries, but needs at least 1."),
        ("{choice: [2, 0]}", "14: search.network.latent_dim.choice[1]: must be above 0, not 0."),
        ("{randint: [0, 4]}", "14: search.network.latent_dim.randint[0]: must be above 0, not 0."),
        ("{randint: [2, 4.5]}", "14: search.network.latent_dim.randint[1]: must be a whole number, not 4.5."),
        ("{choice: [1, 4]}", "12: search.method.choice[1].mapping.clusters.choice[0]: sectors of 1 plane"),
    ),
    "network.latent_dim:": (
        ("seed: {grid: [1, 2]}\nseeds: 2\n#", "15: seeds: varies run.seed, and so does search.seed."),
        ("seed: {grid: [1]}\nconfirm: {top: 1, seeds: 2}\n#", "15: confirm: varies run.seed, and so does search.seed."),
        ("epochs:", "14: search.epochs: the scheduler decides how long a trial trains."),
    ),
}
"""Part of TINY -> (what is written in its place, how the error begins)."""


@pytest.mark.parametrize(
    ("old", "new", "line"),
    [pytest.param(old, *case, id=case[1]) for old, cases in MISTAKES.items() for case in cases],
)
def test_a_mistake_is_told_with_its_line_its_path_and_its_cure(tmp_path, old, new, line):
    told = refused(tmp_path, changed(old, new))
    assert any(one.startswith(f"spec.yaml:{line}") for one in told), told
    assert all("Traceback" not in one and "\n" not in one for one in told)


def test_an_unknown_key_names_the_nearest_and_all_known_keys(tmp_path):
    text = "name: a\nrun:\n  method:\n    refresh_evry: 2\n    name: ard_vae\n"
    text += "  network: {name: mlp, latent_dim: 2}\n  data: {name: digits}\n  epochs: 1\n"
    assert refused(tmp_path, text) == [
        "spec.yaml:4: run.method.refresh_evry: unknown key. Did you mean 'refresh_epochs'? "
        "Known: name, beta, dz_size, refresh_epochs, dz_codes, prior_form, relevance, jacobian, generate."
    ]


def test_all_mistakes_are_told_at_once_in_the_order_of_the_file_and_none_twice(tmp_path):
    text = changed("beta: 0.5", "bta: 0.5").replace("epochs: 6", "epochs: x").replace("trials: 4", "trials: x")
    text = text.replace("[2, 5]", "[1, 1, 5]").replace("[0.05, 5]", "[5, 0.05]").replace("[2, 4]", "[0]")
    told = refused(tmp_path, text)
    starts = ("3: run.method.bta", "7: run.epochs", "12: search.method.choice[1].mapping.clusters.choice[0]")
    starts += ("12: search.method.choice[1].mapping.clusters.choice[1]", "13: search.method.beta.loguniform")
    starts += ("14: search.network.latent_dim.choice[0]", "15: trials")
    assert len(told) == len(starts)
    assert all(one.startswith(f"spec.yaml:{start}: ") for one, start in zip(told, starts, strict=True)), told


def test_a_path_unknown_to_one_alternative_names_that_alternative(tmp_path):
    text = changed("method.beta: {loguniform: [0.05, 5]}", "method.refresh_epochs: {randint: [1, 3]}")
    assert refused(tmp_path, text) == [
        "spec.yaml:13: search.method.refresh_epochs: unknown key. Known: name, mapping, beta, prior_log_variance. "
        "So it is for method.name = 'intel_vae'."
    ]


def test_a_path_into_an_alternatives_part_names_the_part(tmp_path):
    search = """\
search:
  method:
    choice:
      - {name: intel_vae, mapping: {name: sectors}}
      - {name: intel_vae, mapping: {name: sphere}}
  method.mapping.clusters: {randint: [2, 5]}
trials: 3
"""
    assert refused(tmp_path, with_search(search)) == [
        "spec.yaml:13: search.method.mapping.clusters: unknown key. Known: name. "
        "So it is for method.mapping.name = 'sphere'."
    ]


def test_a_combination_that_no_probe_shows_is_found_among_the_trials(tmp_path):
    search = """\
search:
  network.latent_dim: {choice: [2, 1]}
  method: {choice: [{name: vae}, {name: intel_vae, mapping: {name: sectors}}]}
trials: 4
"""
    (told,) = refused(tmp_path, with_search(search))
    assert told.startswith("spec.yaml:10: search.method.choice[1].mapping.clusters: sectors of 1 plane need 2 latent")
    assert re.search(r"in trial [1-4]: network.latent_dim = 1, method.name = 'intel_vae', .*'sectors'\.$", told)


def test_a_mistake_of_the_run_that_only_a_domain_brings_about_names_its_value(tmp_path):
    text = with_search("search:\n  data.train_rows: {choice: [300, 90]}\ntrials: 2\n")
    assert refused(tmp_path, text.replace("beta: 0.5", "dz_size: 90")) == [
        "spec.yaml:3: run.method.dz_size: D_z takes 90 of the 90 training rows and leaves none to train on. "
        "Make it smaller. With data.train_rows = 90."
    ]


def test_a_metric_must_be_one_of_every_alternative(tmp_path):
    told = refused(tmp_path, TINY + "objective: {metric: val/variance_min}\n")
    assert [one.partition(" Known")[0] for one in told] == [
        "spec.yaml:16: objective.metric: the method 'intel_vae' has no metric 'val/variance_min'."
    ]


def test_a_metric_that_is_not_measured_after_every_epoch_is_no_objective(tmp_path):
    text = TINY.replace("  epochs:", "  active_every_epochs: 2\n  epochs:")
    told = refused(tmp_path, text + "objective: {metric: val/active, mode: min}\n")
    cure = "val/active is not measured after every epoch. Set run.active_every_epochs to 1."
    assert told == [f"spec.yaml:17: objective.metric: {cure}"]


@pytest.mark.parametrize(
    ("objective", "mode"),
    [
        ("{metric: val/loss}", "min"),
        ("{metric: val/mse, mode: null}", "min"),
        ("{metric: train/kl}", "min"),
        ("{metric: val/elbo}", "max"),
        ("{}", "max"),
        ("{metric: val/active, mode: min}", "min"),
        ("{metric: val/hoyer, mode: max}", "max"),
    ],
)
def test_a_metric_knows_its_direction(tmp_path, objective, mode):
    spec = spec_of(tmp_path, f"{TINY}objective: {objective}\n")
    assert spec.objective.mode == mode and spec.model_dump()["objective"]["mode"] == mode


def test_the_mode_of_an_older_sweep_is_kept_and_told_to_be_odd(tmp_path):
    file = tmp_path / "spec.yaml"
    file.write_text(f"{TINY}objective: {{metric: val/loss, mode: max}}\n")
    kept = read_spec(file, recorded=True).objective
    assert kept.mode == "max" and "of which lower values are better" in kept.oddity()
    file.write_text(f"{TINY}objective: {{metric: val/loss}}\n")
    assert read_spec(file, recorded=True).objective.oddity() is None


def test_without_a_search_there_is_one_trial(tmp_path):
    text = TINY.partition("search:")[0] + "trials: 4\n"
    assert refused(tmp_path, text) == [
        "spec.yaml:8: trials: 4 trials would all be alike: the search draws nothing at random. Write 1."
    ]


@pytest.mark.parametrize(
    ("name", "content", "what"),
    [
        ("absent.npy", None, "there is no such file"),
        ("broken.npy", b"\x93NUMPY nonsense", ""),
        ("cut.npz", gzip.compress(b"no archive", mtime=0), ""),
    ],
)
def test_a_data_file_that_cannot_be_read_is_a_mistake_at_its_path(tmp_path, name, content, what):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    digits = "data: {name: digits, train_rows: 300, val_rows: 90}"
    (told,) = refused(tmp_path, changed(digits, f"data: {{name: array, path: {tmp_path / name}}}"))
    assert told.startswith(f"spec.yaml:5: run.data.path: {name}: ") and what in told


@pytest.mark.parametrize("settings", [(), ("run.epochs=2",)])
def test_a_cluster_file_in_the_place_of_a_spec_is_told_to_be_one(tmp_path, settings):
    assert refused(tmp_path, "\nkind: ssh\nhead: gpu1\n", *settings) == [
        "spec.yaml:2: kind: this is a cluster file, not the spec of a sweep. Name it after --cluster."
    ]


def test_a_spec_with_a_key_of_cluster_files_is_a_spec(tmp_path):
    (told,) = refused(tmp_path, f"{TINY}kind: ssh\n")
    assert told.startswith("spec.yaml:16: kind: unknown key. ")


def test_a_spec_error_is_the_users():
    assert issubclass(SpecError, UserError)


def test_defaults_that_depend_on_others_are_numbers_in_the_end(tmp_path):
    assert spec_of(tmp_path).scheduler.max_epochs == 6
    assert spec_of(tmp_path, TINY, "run.epochs=2").scheduler.max_epochs == 2
    assert spec_of(tmp_path, TINY, "scheduler={name: asha, max_epochs: 4}").scheduler.max_epochs == 4
    assert spec_of(tmp_path, TINY, "scheduler={name: asha, max_epochs: 40}").scheduler.max_epochs == 6


def test_a_spec_as_resolved_can_be_written_and_read_again(tmp_path):
    spec = spec_of(tmp_path)
    with open(tmp_path / "again.yaml", "w") as file:
        YAML(typ="safe").dump(spec.model_dump(mode="json"), file)
    assert read_spec(tmp_path / "again.yaml") == spec


def plain(file):
    return YAML(typ="safe", pure=True).load(Path(file).read_text())


def test_the_schema_holds_for_the_quickstart():
    jsonschema.Draft202012Validator.check_schema(schema())
    jsonschema.Draft202012Validator(schema()).validate(json.loads(json.dumps(plain(QUICKSTART))))


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("run.epochs", 0),
        ("run.epochz", 1),
        ("run.method.name", "ard_vea"),
        ("trials", "many"),
        ("scheduler.name", "ash"),
        ("search", {"method.beta": {"lguniform": [1, 2]}}),
        ("search", {"method.beta": {"loguniform": [1]}}),
        ("search", {"method.beta": {"choice": []}}),
        ("search", {"method.beta": [1, 2]}),
    ],
)
def test_the_schema_refuses_what_the_reader_refuses(path, value):
    values = plain(QUICKSTART)
    *around, key = path.split(".")
    inner = values
    for step in around:
        inner = inner[step]
    inner[key] = value
    assert list(jsonschema.Draft202012Validator(schema()).iter_errors(values))


@pytest.mark.parametrize(
    "keys",
    [
        {"searcher": {"name": "optuna", "startup_trials": 5}, "search_seed": 3},
        {"searcher": {"name": "grid", "points": 3}},
        {"confirm": {"top": 3, "seeds": 5}},
        {"budget": {"epochs": 100, "hours": 0.5, "gpu_hours": 2}},
    ],
)
def test_the_schema_knows_the_keys_of_the_search(keys):
    known = YAML(typ="safe", pure=True).load(TINY)
    jsonschema.validate(known | keys, schema())
    for key, value in keys.items():
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(known | {key: {**value, "nmae": 1} if isinstance(value, dict) else "x"}, schema())


def test_the_schema_explains_its_fields():
    assert "relative to `run`" in schema()["properties"]["search"]["description"]
