"""`vaeorch evaluate` on a real sweep: on Ray, into results.json and MLflow, nothing measured twice, nothing lost."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import uuid
from contextlib import suppress
from pathlib import Path

import pytest

from orchestrator.clusters.resources import cpus
from orchestrator.commands import evaluate as verb
from orchestrator.evaluation import jobs, orders
from orchestrator.evaluation.jobs import DIED
from orchestrator.evaluation.models import WITHOUT_LAST
from orchestrator.storage import layout
from orchestrator.storage.evaluations_file import key_of
from orchestrator.storage.sweep_folder import recorded_root
from orchestrator.sweep.results import read_results
from orchestrator.tracking.client import connect
from orchestrator.tracking.tracker import sync
from tests.support import ROOT, warm
from tests.support.waiting import until
from trainables.evaluations.generation import Frechet
from trainables.evaluations.representation import Hoyer
from trainables.metrics import convnet

SPEC = f"""\
name: three
run:
  method: {{name: vae}}
  network: {{name: mlp, hidden: [16], latent_dim: 4}}
  data: {{name: digits, train_rows: 300, val_rows: 100}}
  epochs: 2
search:
  method: {{grid: [{{name: vae}}, {{name: ard_vae, dz_size: 50}}, {{name: rae}}]}}
objective: {{metric: val/mse, mode: min}}
scheduler: {{name: none}}
resources: {{cpus_per_worker: {cpus()}}}
"""
QUICK = "mse,hoyer,frechet"
LONG, ENDLESS = 20_000, 10**8  # samples: a while, and more than anyone waits for
PIXELS = ("--set", "features=pixels")


def told(*words) -> str:
    """What a command line prints, in a process of its own."""
    environment = {name: value for name, value in os.environ.items() if name != "MLFLOW_TRACKING_URI"}
    command = [sys.executable, "-m", "orchestrator", *map(str, words)]
    return warm.run(command, check=True, capture_output=True, env=environment).stdout.decode()


@pytest.fixture(scope="module")
def swept(a_store, tmp_path_factory):
    """A folder with the sweep `three` and its MLflow store, and the run `alone` that was trained without a sweep."""
    out = tmp_path_factory.mktemp("swept")
    (out / "three.yaml").write_text(SPEC)
    (out / "runs").mkdir()
    shutil.copy(a_store, out / "runs" / "mlflow.db")
    for words in (["sweep", out / "three.yaml"], ["train", out / "three.yaml", "--name", "alone"]):
        told(*words, "--out", out / "runs")
    return out / "runs"


@pytest.fixture(scope="module")
def measured(swept, tmp_path_factory):
    """The same after an evaluation of all trials of `three` on Ray, and what that printed."""
    runs = Path(shutil.copytree(swept, tmp_path_factory.mktemp("measured") / "runs"))
    words = ["evaluate", "three", "--metrics", QUICK, *PIXELS, "--trials", "all", "--out", runs, *store(runs)]
    return runs, told(*words)


@pytest.fixture
def runs(swept, tmp_path):
    return Path(shutil.copytree(swept, tmp_path / "runs"))


@pytest.fixture
def evaluate(vaeorch, runs, monkeypatch):
    monkeypatch.setattr(jobs, "cpus", lambda: 1)  # threads of this process, which shares the machine with other tests
    return lambda target, *words: vaeorch("evaluate", target, "--out", runs, *store(runs, target), *words)


def store(runs: Path, target: str = "three") -> tuple[str, ...]:
    """A sweep knows where it was sent; its copy shall be sent elsewhere. A run is sent nowhere."""
    return () if target == "alone" else ("--tracking-uri", f"sqlite:///{runs / 'mlflow.db'}")


def sent(runs: Path) -> dict[str, tuple[dict, dict]]:
    """What MLflow has of each trial: the values and steps of each evaluated metric, and the tags."""
    client = connect(store(runs)[1])
    experiment = client.get_experiment_by_name("three").experiment_id
    found = {}
    for run in client.search_runs([experiment], "tags.kind = 'trial'"):
        names = [name for name in run.data.metrics if name.startswith("eval/")]
        points = {name: client.get_metric_history(run.info.run_id, name) for name in names}
        values = {name: [(point.value, point.step) for point in of] for name, of in points.items()}
        found[run.data.tags["trial_id"]] = values, run.data.tags
    return found


def kept(folder: Path) -> dict:
    return json.loads((folder / layout.EVALUATIONS).read_text())


def trial(runs: Path, name: str = "0001") -> Path:
    return runs / "three" / "trials" / name


def forbid(monkeypatch) -> None:
    """From here on whoever measures anything fails."""

    def fail(jobs):
        raise AssertionError(jobs)

    monkeypatch.setattr(verb, "answers", fail)


def test_findings_reach_table_results_and_mlflow_with_what_they_rest_on(measured):
    runs, out = measured
    for name in ("frechet_pixels", "hoyer", "mse_pruned"):
        assert any(line.split()[:1] == [name] for line in out.splitlines())
    rests_on = "pixels; 10000 generated + 100 real; split val of digits; values rounded; seed 0"
    assert f"frechet: {rests_on}" in out
    mlflow = sent(runs)
    for entry in read_results(runs, "three")["trials"]:
        found = {finding["metric"]: finding for finding in entry["evaluations"]}
        assert set(found) == {"mse", "hoyer", "frechet"}
        assert found["frechet"]["provenance"]["extractor"] == "pixels"
        values, tags = mlflow[entry["id"]]
        epoch = entry["best"]["epoch"]
        expected = {f"eval/{name}": [(value, epoch)] for one in found.values() for name, value in one["values"].items()}
        assert values == expected and tags["eval/frechet_pixels"] == rests_on


def test_results_show_what_was_found(measured, vaeorch, runs, evaluate):
    found = json.loads(vaeorch("results", "three", "--out", measured[0], "--evaluations", "--format", "json")[1])
    labels = ["0001 method=vae", "0002 method=ard_vae dz_size=50", "0003 method=rae"]
    assert sorted(found["values"]["mse"]["numbers"]) == labels
    assert found["values"]["mse_pruned"]["metric"] == "mse"
    assert found["values"]["mse"]["rests_on"].startswith("pixels; 100 rows + 300 relevance; split val of digits")
    said = f"{runs / 'three'}: nothing was evaluated yet: vaeorch evaluate three --out {runs}\n"
    assert vaeorch("results", "three", "--out", runs, "--evaluations") == (2, "", said)
    evaluate("alone", "--metrics", "hoyer")
    assert "hoyer" in vaeorch("results", "alone", "--out", runs, "--evaluations")[1]


def test_one_model_has_the_numbers_that_it_has_among_many(evaluate, runs, measured):
    evaluate("three/0002", "--metrics", QUICK, *PIXELS)
    alone, among = kept(trial(runs, "0002")), kept(trial(measured[0], "0002"))
    assert alone.keys() == among.keys() and len(alone) == 3
    for key, finding in alone.items():
        assert among[key]["values"] == pytest.approx(finding["values"], rel=1e-4)
        assert among[key]["provenance"] == finding["provenance"]


def test_what_is_known_is_not_measured_again_and_is_sent_once(evaluate, runs, monkeypatch):
    first = evaluate("three/0001", "--metrics", QUICK, *PIXELS)
    forbid(monkeypatch)
    again = evaluate("three/0001", "--metrics", QUICK, *PIXELS)
    assert (first[0], again[0]) == (0, 0) and first[1].endswith(again[1])
    assert len(sent(runs)["0001"][0]["eval/mse"]) == 1


def test_what_is_known_is_measured_again_if_asked_for_and_sent_only_if_it_is_new(evaluate, runs):
    evaluate("three/0001", "--metrics", "mse")
    file = trial(runs) / layout.EVALUATIONS
    [(key, finding)] = kept(trial(runs)).items()
    file.write_text(json.dumps({key: finding | {"values": finding["values"] | {"mse": 7.0}}}))
    assert re.search(r"^mse +7$", evaluate("three/0001", "--metrics", "mse")[1], re.MULTILINE)
    for _ in range(2):
        evaluate("three/0001", "--metrics", "mse", "--again")
        assert kept(trial(runs))[key]["values"] == finding["values"]
        true = finding["values"]["mse"]
        assert [value for value, _ in sent(runs)["0001"][0]["eval/mse"]] == [true, 7.0, true]


def test_another_setting_or_another_checkpoint_is_measured_and_the_newest_counts(evaluate, runs, vaeorch, monkeypatch):
    monkeypatch.setattr(convnet, "STEPS", 30)  # that it learns well is tested elsewhere

    def newest():
        entry = next(one for one in read_results(runs, "three")["trials"] if one["id"] == "0001")
        return [one["settings"]["generated"] for one in entry["evaluations"]]

    words = ("--metrics", "frechet", *PIXELS)
    evaluate("three/0001", *words)
    evaluate("three/0001", *words, "--set", "frechet.generated=50")
    assert newest() == [50]
    evaluate("three/0001", *words)  # known, and the newest again, in MLflow too
    assert newest() == [10_000] and [one["settings"]["generated"] for one in kept(trial(runs)).values()] == [50, 10_000]
    ways = [value for value, _ in sent(runs)["0001"][0]["eval/frechet_pixels"]]
    assert ways[0] == ways[2] != ways[1] and len(ways) == 3
    evaluate("three/0001", "--metrics", "frechet", "--set", "features=classifier")
    assert newest() == [10_000, 10_000]  # another number, beside the first
    best = (trial(runs) / "best.pt").read_bytes()
    shutil.copy(trial(runs) / "checkpoint.previous.pt", trial(runs) / "best.pt")
    evaluate("three/0001", *words)
    assert [one["epoch"] for one in kept(trial(runs)).values()] == [2, 2, 2, 1]
    evaluate("three/0001", *words, "--set", "split=train")
    (trial(runs) / "best.pt").write_bytes(best)  # as before
    shown = json.loads(vaeorch("results", "three", "--out", runs, "--evaluations", "--format", "json")[1])
    assert sorted(shown["values"]) == ["frechet_classifier", "frechet_pixels"]  # of the checkpoint that is there
    assert "split val" in shown["values"]["frechet_pixels"]["rests_on"]


def test_weights_are_known_by_their_content(tmp_path):
    def key(path, **more):
        return key_of("abc", "frechet", Frechet(weights=str(path), **more).identity())

    one, other, copy = (tmp_path / name for name in ("one.pth", "other.pth", "copy.pth"))
    one.write_bytes(b"one"), other.write_bytes(b"other"), copy.write_bytes(b"one")
    assert key(one) == key(copy) != key(other)
    assert key(one, features="pixels") == key(other, features="pixels")


def test_a_run_that_was_trained_alone_is_evaluated_on_its_own_data_and_recorded_where_it_was(evaluate, runs, vaeorch):
    code, out, _ = evaluate("alone", "--metrics", "mse")
    assert code == 0 and "mse_pruned" in out
    client = connect(store(runs)[1])
    [run] = client.search_runs([client.get_experiment_by_name("alone").experiment_id])
    assert "eval/mse_pruned" in run.data.metrics
    shutil.rmtree(runs / "alone" / "spool")  # as earlier versions left it
    assert [finding["metric"] for finding in kept(runs / "alone").values()] == ["mse"]
    said = vaeorch("evaluate", "alone", "--metrics", "hoyer", "--out", runs, *store(runs))
    assert said[::2] == (2, f"{runs / 'alone'}: was not recorded in MLflow: leave out --tracking-uri.\n")
    assert not (runs / "alone" / "spool").exists()
    config = json.loads((runs / "alone" / "config.json").read_text())
    (runs / "alone" / "config.json").write_text(json.dumps(config | {"data_root": "s3://bucket/prefix"}))
    assert recorded_root(runs / "alone") == "s3://bucket/prefix" and config["data_root"] is None


def test_best_means_the_first_of_the_leaderboard(evaluate, runs, vaeorch):
    evaluate("three", "--metrics", "mse", "--trials", "best:1")
    board = json.loads(vaeorch("results", "three", "--out", runs, "--format", "json")[1])
    [measured] = [one["id"] for one in board["trials"] if "evaluations" in one]
    assert measured == min(board["trials"], key=lambda one: one["best"]["val/mse"])["id"]


def test_a_metric_without_what_it_needs_says_so_and_is_tried_again(evaluate, runs, monkeypatch, tmp_path):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "nothing"))
    code, out, _ = evaluate("three/0001", "--metrics", "frechet,mig,mse")
    assert code == 0
    assert "frechet: none for 0001: " in out and "no such file, and FID is not defined without its Inception" in out
    assert "mig: none for 0001: these data have no known factors" in out
    code, _, err = evaluate("three/0001", "--metrics", "mig")
    assert code == 1 and err.startswith("three/0001: nothing of what was asked for could be measured.\n")
    assert "these data have no known factors" in err
    assert {finding["metric"] for finding in kept(trial(runs)).values()} == {"mig", "mse"}  # the file may come


def test_models_that_cannot_be_read_are_a_line_each_and_cost_the_others_nothing(evaluate, runs):
    damaged = bytearray((trial(runs, "0002") / "best.pt").read_bytes())
    damaged[len(damaged) // 2] ^= 1  # a weight
    (trial(runs, "0002") / "best.pt").write_bytes(damaged)
    (trial(runs, "0003") / "best.pt").unlink()
    code, out, err = evaluate("three", "--metrics", "mse", "--trials", "all")
    assert code == 2
    assert err.splitlines() == [
        f"{trial(runs, '0003') / 'best.pt'}: cannot be read (No such file or directory): train the model again.",
        f"{trial(runs, '0002') / 'best.pt'}: not a readable checkpoint (archive/data/2 is damaged).",
    ]
    assert [(trial(runs, name) / layout.EVALUATIONS).exists() for name in ("0001", "0002", "0003")] == [
        True,
        False,
        False,
    ]
    assert "mse_pruned" in out
    (trial(runs) / layout.EVALUATIONS).write_text("[]")
    code, _, err = evaluate("three/0001", "--metrics", "mse")
    cure = "Delete it: what it held is measured again."
    assert (code, err) == (2, f"{trial(runs) / layout.EVALUATIONS}: is damaged: it holds no object. {cure}\n")


def test_a_fault_of_one_metric_costs_the_others_nothing(evaluate, runs, monkeypatch):
    def fail(self, seen):
        raise RuntimeError("a fault of ours")

    monkeypatch.setattr(Hoyer, "measure", fail)
    with pytest.raises(orders.Fault, match="0001: hoyer: Traceback(?s:.*)a fault of ours"):
        evaluate("three/0001", "--metrics", "mse,hoyer,active")
    assert [finding["metric"] for finding in kept(trial(runs)).values()] == ["mse", "active"]
    assert {"eval/mse", "eval/active_99"} <= set(sent(runs)["0001"][0])
    entry = next(one for one in read_results(runs, "three")["trials"] if one["id"] == "0001")
    assert len(entry["evaluations"]) == 2


def test_pictures_are_files_that_mlflow_gets_and_the_user_is_told_of(evaluate, runs):
    for seed in (0, 1):
        code, out, _ = evaluate("three/0001", "--metrics", "traversals", "--set", f"seed={seed}")
        *_, key = kept(trial(runs))
        folder = trial(runs) / layout.EVALUATION_PICTURES / key
        assert code == 0 and f"traversals: pictures of 0001 in {folder}" in out
        assert {path.name for path in folder.iterdir()} >= {"traversals_first.png", "traversals_mean.png"}
    lines = (runs / "three" / "spool" / "0001.files.jsonl").read_text().splitlines()
    events = [json.loads(line) for line in lines]
    drawn = [
        event["path"] for event in events if event["kind"] == "picture" and layout.EVALUATION_PICTURES in event["path"]
    ]
    assert len(drawn) == len(set(drawn)) == 4


def test_killed_in_the_middle_it_goes_on_and_measures_nothing_twice(runs):
    words = ["evaluate", "three", "--metrics", "mse,hoyer,iwae", "--trials", "0001", "--out", str(runs), *store(runs)]
    command = [sys.executable, "-m", "orchestrator", *words]
    process = warm.Popen([*command, "--set", f"iwae.k={ENDLESS}"], cwd=ROOT, stdout=subprocess.DEVNULL)
    until(lambda: (trial(runs) / layout.EVALUATIONS).exists() and len(kept(trial(runs))) == 2)
    assert process.poll() is None
    process.send_signal(signal.SIGKILL)
    process.wait()
    before = kept(trial(runs))
    done = warm.run([*command, "--set", "iwae.k=2"], cwd=ROOT, capture_output=True, text=True, check=True)
    measured = [line.split()[1] for line in done.stdout.splitlines() if line.startswith("0001 ") and " s)" in line]
    assert measured == ["iwae"]
    after = kept(trial(runs))
    assert {key: after[key] for key in before} == before and len(after) == 3
    entry = next(one for one in read_results(runs, "three")["trials"] if one["id"] == "0001")
    assert {finding["metric"] for finding in entry["evaluations"]} == {"mse", "hoyer", "iwae"}


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="needs /proc")
def test_a_worker_that_dies_costs_the_other_models_nothing_and_the_same_command_goes_on(runs):
    mark = f"evaluate-{uuid.uuid4()}"
    words = ["evaluate", "three", "--metrics", "mse,iwae", "--trials", "0001,0002", "--out", str(runs), *store(runs)]
    command = [sys.executable, "-m", "orchestrator", *words]
    process = warm.Popen(
        [*command, "--set", f"iwae.k={LONG}"],
        cwd=ROOT,
        env=os.environ | {"VAEORCH_MARK": mark},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    until(lambda: (trial(runs) / layout.EVALUATIONS).exists() and (trial(runs, "0002") / layout.EVALUATIONS).exists())
    os.kill(workers(mark)[0], signal.SIGKILL)
    _, err = process.communicate(timeout=600)
    assert process.returncode == 2
    [model] = [name for name in ("0001", "0002") if err == f"{name}: {DIED}\n"]
    [other] = {"0001", "0002"} - {model}
    metrics = {name: [one["metric"] for one in kept(trial(runs, name)).values()] for name in (model, other)}
    assert metrics == {model: ["mse"], other: ["mse", "iwae"]}
    warm.run([*command, "--set", "iwae.k=2"], cwd=ROOT, check=True, capture_output=True)
    assert [one["metric"] for one in kept(trial(runs, model)).values()] == ["mse", "iwae"]


def workers(mark: str) -> list[int]:
    """The processes that measure, of the command whose environment bears the mark."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(FileNotFoundError, ProcessLookupError):
            named = (process / "cmdline").read_bytes().startswith(b"ray::examine")
            if named and mark.encode() in (process / "environ").read_bytes():
                found.append(int(process.name))
    return found


def test_ctrl_c_keeps_what_is_found_and_the_same_command_goes_on(runs):
    words = ["evaluate", "three", "--metrics", "mse,iwae", "--trials", "0001", "--out", str(runs), *store(runs)]
    command = [sys.executable, "-m", "orchestrator", *words, "--set", f"iwae.k={ENDLESS}"]
    process = warm.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    until((trial(runs) / layout.EVALUATIONS).exists)
    assert process.poll() is None
    os.kill(process.pid, signal.SIGINT)
    out, err = process.communicate(timeout=600)
    assert process.returncode == 130 and "Traceback" not in err
    assert "Interrupted. The same command goes on from here." in out
    assert [finding["metric"] for finding in kept(trial(runs)).values()] == ["mse"]


@pytest.mark.parametrize(
    "target, words, said",
    [
        ("thre", (), "/thre: no trained models here. Sweeps and runs in "),
        ("three/0009", (), "three/0009: no trained trial of three. Did you mean '000"),
        ("three/0001", ("--trials", "0002"), "three/0001 is one trial: leave out --trials 0002."),
        ("three", ("--trials", "best:0"), "--trials best:0: write best:N with a whole number N from 1."),
        ("three", ("--trials", "best:x"), "--trials best:x: write best:N with a whole number N from 1."),
        ("three", ("--trials", ""), "--trials is empty: name trials with commas between, or write best:N or all."),
        ("three", ("--metrics", ""), "--metrics is empty: name metrics with commas between, or write all."),
        ("three", ("--metrics", "fid"), "--metrics fid: unknown. "),
        ("three", ("--set", "sead=1"), "--set sead=1: sead: is no setting of "),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_2(evaluate, target, words, said):
    code, out, err = evaluate(target, *words)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert said in err


def test_the_model_of_the_last_epoch_is_measured_beside_that_of_the_best(evaluate, runs, vaeorch):
    shutil.copy(trial(runs) / "checkpoint.previous.pt", trial(runs) / "checkpoint.pt")  # of epoch 1: another model
    for words in (("--checkpoint", "last"), ()):
        code, out, _ = evaluate("three/0001", "--metrics", "mse", *words)
        assert code == 0 and ("0001@last" in out) is bool(words)
    findings = {finding["of"]: finding for finding in kept(trial(runs)).values()}
    assert {of: finding["epoch"] for of, finding in findings.items()} == {"last": 1, "best": 2}
    shown = json.loads(vaeorch("results", "three", "--out", runs, "--evaluations", "--format", "json")[1])
    assert shown["values"]["mse"]["numbers"] == {
        "0001 method=vae": {"0001": findings["best"]["values"]["mse"]},
        "0001@last method=vae": {"0001": findings["last"]["values"]["mse"]},
    }
    values = sent(runs)["0001"][0]
    assert values["eval/last/mse"] == [(findings["last"]["values"]["mse"], 1)]
    assert values["eval/mse"] == [(findings["best"]["values"]["mse"], 2)]
    (trial(runs) / "checkpoint.pt").unlink()
    code, _, err = evaluate("three/0001", "--metrics", "mse", "--checkpoint", "last")
    gone = f"{trial(runs) / 'checkpoint.pt'}: cannot be read (No such file or directory): "
    assert (code, err) == (2, f"{gone}{WITHOUT_LAST}.\n")
    shown = json.loads(vaeorch("results", "three", "--out", runs, "--evaluations", "--format", "json")[1])
    assert len(shown["values"]["mse"]["numbers"]) == 2  # as where the checkpoint stayed on a cluster


def test_a_sweep_is_measured_as_its_spec_asks(evaluate, runs, monkeypatch):
    spec, axes = runs / "three" / "spec.yaml", "{name: frechet, features: pixels, axes: relevant}"
    asked = f"{{checkpoint: last, metrics: [hoyer, {{name: frechet, features: pixels}}, {axes}]}}"
    spec.write_text(spec.read_text().replace("evaluate: null", f"evaluate: {asked}"))
    code, out, _ = evaluate("three/0002", "--set", "frechet.generated=50")
    assert code == 0
    found = [
        (one["of"], one["settings"]["generated"], *one["values"])
        for one in kept(trial(runs, "0002")).values()
        if "generated" in one["settings"]
    ]
    assert found == [("last", 50, "frechet_pixels"), ("last", 50, "frechet_pixels_relevant")]
    assert len(kept(trial(runs, "0002"))) == 3 and "frechet_pixels_relevant" in out
    forbid(monkeypatch)
    assert evaluate("three/0002", "--set", "frechet.generated=50")[0] == 0  # all is known
    monkeypatch.undo()
    evaluate("three/0002", "--metrics", "hoyer", "--checkpoint", "best")
    assert [one["of"] for one in kept(trial(runs, "0002")).values() if one["metric"] == "hoyer"] == ["last", "best"]


def test_findings_that_could_not_be_sent_are_sent_by_sync(runs, vaeorch):
    silent = ("--tracking-uri", "http://127.0.0.1:9")
    code, out, _ = vaeorch("evaluate", "three/0001", "--metrics", "mse", "--out", runs, *silent)
    assert code == 0 and "Send them: vaeorch sync three" in out
    assert not sync(runs / "three", store(runs)[1])
    assert len(sent(runs)["0001"][0]["eval/mse"]) == 1
