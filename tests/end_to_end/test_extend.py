"""A finished sweep that is extended on real Ray, killed before its spec.yaml is written, and resumed."""

import json
import os
import shutil
import sys
from pathlib import Path

import pytest
import torch
from ruamel.yaml import YAML

from orchestrator.clusters.resources import cpus
from orchestrator.commands import extend as verb
from orchestrator.storage.workspace import Workspace
from orchestrator.sweep.extension import Wanted
from orchestrator.tracking.client import connect
from tests.support import ROOT, warm
from tests.support.journals import Killed, journal_of
from trainables.run import Run
from trainables.train import train

SPEC = f"""\
name: tiny
run:
  method: {{name: vae}}
  network: {{name: mlp, hidden: [8], latent_dim: 2}}
  data: {{name: circle, train_rows: 120, val_rows: 60}}
  batch_size: 32
  epochs: 2
search:
  optimizer.lr: {{loguniform: [1.0e-3, 1.0e-2]}}
trials: 2
scheduler: {{name: asha, grace_epochs: 1, reduction_factor: 2}}
resources: {{cpus_per_worker: {cpus()}}}
"""
WANTED = Wanted(trials=1, seeds=1, epochs=2, settings=("description=and more", "resources.placement=SPREAD"))


def vaeorch(*words) -> None:
    """Run a command line in a process of its own."""
    environment = {name: value for name, value in os.environ.items() if name != "MLFLOW_TRACKING_URI"}
    ran = warm.run([sys.executable, "-m", "orchestrator", *words], cwd=ROOT, env=environment, capture_output=True)
    assert ran.returncode == 0, ran.stderr.decode()


@pytest.fixture(scope="module")
def swept(tmp_path_factory, a_store) -> Path:
    """The folder of all sweeps, with one that has finished."""
    out = tmp_path_factory.mktemp("runs")
    shutil.copy(a_store, out / "mlflow.db")
    (out / "tiny.yaml").write_text(SPEC)
    vaeorch("sweep", out / "tiny.yaml", "--out", out)
    shutil.copytree(out / "tiny", out / "before")
    return out


@pytest.fixture(scope="module")
def killed(swept) -> list[dict]:
    """The extension is in the journal, and nothing else has changed. The journal's events."""

    def dies(*values):
        raise Killed

    with pytest.MonkeyPatch.context() as patch, pytest.raises(Killed):
        patch.setattr(verb, "write_whole", dies)
        verb.extend("tiny", Workspace(swept), WANTED, False, False)
    assert (swept / "tiny" / "spec.yaml").read_bytes() == (swept / "before" / "spec.yaml").read_bytes()
    return journal_of(swept / "tiny")


@pytest.fixture(scope="module")
def resumed(swept, killed) -> dict:
    """The results of the whole sweep."""
    vaeorch("resume", "tiny", "--out", swept)
    return json.loads((swept / "tiny" / "results.json").read_text())


def test_an_extension_is_one_event_of_the_journal(swept, killed):
    before = journal_of(swept / "before")
    assert before[-1]["event"] == "finished" and killed[: len(before)] == before
    [event] = killed[len(before) :]
    assert event["event"] == "extended" and [trial["number"] for trial in event["trials"]] == [3, 4, 5, 6]


def test_a_sweep_that_is_being_extended_is_not_extended_again(swept, killed, vaeorch):
    code, _, error = vaeorch("extend", "tiny", "--out", swept, "--trials", 1)
    assert code == 2
    assert error == f"{swept}/tiny: is not finished. Resume it first: vaeorch resume tiny --out {swept}\n"


def test_the_extended_sweep_has_all_its_trials_and_a_spec_that_says_so(swept, resumed):
    events = journal_of(swept / "tiny")
    assert [event["event"] for event in events].count("finished") == 2 and events[-1]["event"] == "finished"
    assert [trial["id"] for trial in resumed["trials"]] == [f"000{number}" for number in range(1, 7)]
    assert [(row["n"], sum(row["statuses"].values())) for row in resumed["configurations"]] == [(2, 2)] * 3
    spec = YAML(typ="safe").load(swept / "tiny" / "spec.yaml")
    before = YAML(typ="safe").load(swept / "before" / "spec.yaml")
    changed = {key: value for key, value in spec.items() if value != before[key]}
    placed = before["resources"] | {"placement": "SPREAD"}
    assert changed == {"trials": 3, "seeds": 2, "description": "and more", "resources": placed}


def longest(resumed) -> list[dict]:
    return [trial for trial in resumed["trials"] if trial["epochs"] == 4]


def test_the_best_and_its_new_seed_have_the_numbers_of_unbroken_longer_runs(swept, resumed):
    trials = longest(resumed)
    assert [trial["added_epochs"] for trial in trials] == [2, 2]
    assert len({trial["configuration"] for trial in trials}) == 1
    threads = torch.get_num_threads()
    torch.set_num_threads(max(1, cpus()))  # as in the slot
    for trial in trials:
        run = json.loads((swept / "tiny" / "trials" / trial["id"] / "config.json").read_text())["run"]
        assert (run["epochs"], run["kl_warmup_epochs"]) == (4, 1.0)  # half of the epochs that it had
        reports = [report.metrics for report in train(Run.model_validate(run))]
        assert trial["last"] == reports[-1]
        lines = (swept / "tiny" / "trials" / trial["id"] / "metrics.jsonl").read_text().splitlines()
        assert [json.loads(line)["val/elbo"] for line in lines] == [report["val/elbo"] for report in reports]
    torch.set_num_threads(threads)


def test_trials_that_were_there_are_as_they_were(swept, resumed):
    before = json.loads((swept / "before" / "results.json").read_text())["trials"]
    now = {trial["id"]: trial for trial in resumed["trials"]}
    for trial in before:
        if "added_epochs" not in now[trial["id"]]:
            known = now[trial["id"]]
            same = ("config", "seed", "stage", "configuration", "retries")
            assert [known[key] for key in same] == [trial[key] for key in same]
            assert known["epochs"] >= trial["epochs"]


def test_mlflow_has_the_extended_sweep_in_the_same_experiment_as_one(swept, resumed):
    client = connect(f"sqlite:///{swept / 'mlflow.db'}")
    runs = client.search_runs([client.get_experiment_by_name("tiny").experiment_id])
    by_id = {run.data.tags.get("trial_id", "sweep"): run for run in runs}
    assert by_id.keys() == {"sweep"} | {trial["id"] for trial in resumed["trials"]} and len(runs) == 7
    assert {run.info.status for run in runs} == {"FINISHED"}
    assert "6 trials on `circle`" in by_id["sweep"].data.tags["mlflow.note.content"]
    assert by_id["sweep"].data.tags["best_trial"] == resumed["configurations"][0]["trials"][0]
    for trial in resumed["trials"]:
        run = by_id[trial["id"]]
        steps = [point.step for point in client.get_metric_history(run.info.run_id, "val/elbo")]
        assert steps == list(range(1, trial["epochs"] + 1))
        assert run.data.tags["status"] == trial["status"]
        assert run.data.metrics["best/val/elbo"] == trial["best"]["val/elbo"]
        assert (run.data.params["configuration"], run.data.params["seed"]) == (
            str(trial["configuration"]),
            str(trial["seed"]),
        )


def test_a_longer_trial_is_measured_and_listed_like_any_other(swept, resumed, vaeorch):
    name = longest(resumed)[0]["id"]
    code, said, error = vaeorch("evaluate", f"tiny/{name}", "--out", swept, "--metrics", "mse", "--format", "json")
    assert code == 0 and name in said, error
    code, said, _ = vaeorch("results", "tiny", "--out", swept, "--format", "json")
    assert code == 0 and len(json.loads(said)["trials"]) == 6
    code, said, error = vaeorch("report", "tiny", "--out", swept, "--format", "html", "-o", swept / "page.html")
    assert code == 0, error


def test_a_dry_run_says_what_would_be_added_and_changes_nothing(swept, resumed, vaeorch):
    def contents():
        files = [path for path in (swept / "tiny").rglob("*") if path.is_file() and path.name != "evaluations.json"]
        return {path: path.read_bytes() for path in files}

    before = contents()
    words = ("extend", "tiny", "--out", swept, "--trials", 2, "--epochs", 3, "--top", 2, "--dry-run")
    code, said, error = vaeorch(*words, "--json")
    assert code == 0, error
    planned = json.loads(said)
    assert (planned["trials"], planned["confirming"], planned["left"]) == (4, 0, 0)
    assert {trial["id"]: {"from": 4, "to": 7} for trial in longest(resumed)}.items() <= planned["longer"].items()
    stopped = [trial["epochs"] for trial in resumed["trials"] if trial["status"] == "stopped"]
    assert planned["waiting"] == len(stopped)
    most = 3 * len(planned["longer"]) + 4 * 2 + sum(2 - epochs for epochs in stopped)
    assert planned["epochs_at_most"] == most
    code, said, _ = vaeorch(*words)
    assert code == 0 and said.startswith("tiny: 4 more trials, into ") and f"{most} at most" in said
    assert contents() == before


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["tiny"], "nothing is to be added to the sweep. Say by what: --trials N, --seeds N or --epochs N"),
        (["tiny", "--trials", "1", "--set", "run.batch_size=9"], "contradicts the trials that were made."),
        (["tiny", "--trials", "1", "--set", "resources.wrkers=9"], "Did you mean 'workers'?"),
        (["tiny", "--trials", "20000"], "asks for more than 10,000 trainings."),
        (["tiny", "--set", "budget.epochs=3", "--seeds", "1"], "budget: 3 epochs are used up."),
        (["tyni", "--trials", "1"], "no sweep was started here."),
    ],
)
def test_mistakes_are_one_line_and_change_nothing(swept, resumed, vaeorch, words, told):
    before = (swept / "tiny" / "journal.jsonl").read_bytes()
    code, _, error = vaeorch("extend", *words, "--out", swept)
    assert code == 2 and told in error and error.count("\n") == 1
    assert (swept / "tiny" / "journal.jsonl").read_bytes() == before


def test_a_spec_that_was_edited_against_its_trials_is_not_extended(swept, resumed, vaeorch):
    file = swept / "tiny" / "spec.yaml"
    text = file.read_text()
    file.write_text(text.replace("batch_size: 32", "batch_size: 31"))
    code, _, error = vaeorch("extend", "tiny", "--out", swept, "--trials", 1)
    file.write_text(text)
    assert code == 2 and "was changed since the sweep began: run.batch_size was 32, is 31" in error
