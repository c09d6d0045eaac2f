"""The command line: what it prints, its exit codes, and that a mistake is one line and loses nothing."""

import csv
import gzip
import io
import json
import os
import shutil
import signal
import socket
import subprocess
import sys

import pytest

from orchestrator.clusters.read import cluster_schema
from orchestrator.clusters.resources import cpus
from orchestrator.commands.catalogue import catalogue
from orchestrator.spec import shipped
from orchestrator.storage import layout
from tests.support import ROOT, warm
from tests.support.specs import RUN
from tests.support.waiting import until


def one_line(text):
    return len(text.strip().splitlines()) == 1


def test_help_fits_one_screen(vaeorch):
    code, out, _ = vaeorch("--help")
    assert code == 0
    assert len(out.splitlines()) <= 40
    assert max(map(len, out.splitlines())) <= 80
    verbs = "examples sweep resume extend train evaluate results ui sync schema methods data"
    for verb in verbs.split():
        assert f"  {verb} " in out


def test_shell_completion_knows_the_verbs():
    words = {"COMP_WORDS": "vaeorch sw", "COMP_CWORD": "1", "_VAEORCH_COMPLETE": "bash_complete"}
    code = "from orchestrator.cli.main import main; import sys; sys.argv[0] = 'vaeorch'; main()"
    said = subprocess.run(
        [sys.executable, "-c", code], env=os.environ | words, capture_output=True, text=True, cwd=ROOT
    )
    assert said.stdout.strip() == "plain,sweep"


def test_methods_lists_everything_that_a_spec_can_name(vaeorch):
    code, out, _ = vaeorch("methods")
    assert code == 0
    for rows in catalogue().values():
        for name, what, source in rows:
            assert any(line.split()[:1] == [name] for line in out.splitlines())
            assert what and source


def test_schema_is_the_json_schema_of_a_spec(vaeorch):
    jsonschema = pytest.importorskip("jsonschema")
    from ruamel.yaml import YAML

    code, out, _ = vaeorch("schema")
    assert code == 0
    quickstart = YAML(typ="safe", pure=True).load(ROOT / "search_spaces" / "quickstart.yaml")
    jsonschema.validate(quickstart, json.loads(out))
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(quickstart | {"trails": 3}, json.loads(out))


def test_schema_of_cluster_files_is_another(vaeorch):
    code, out, _ = vaeorch("schema", "--cluster")
    assert (code, json.loads(out)) == (0, cluster_schema())


def test_a_cluster_file_in_the_place_of_a_spec_is_the_users_mistake(vaeorch, tmp_path):
    file = ROOT / "clusters" / "ssh.yaml"
    for verb in ("sweep", "train"):
        code, out, err = vaeorch(verb, file, "--out", tmp_path / "runs")
        assert (code, out) == (2, "") and one_line(err) and "Name it after --cluster." in err


def test_dry_run_prints_the_plan_and_starts_nothing(vaeorch, tmp_path):
    file = ROOT / "search_spaces" / "quickstart.yaml"
    code, out, _ = vaeorch("sweep", file, "--out", tmp_path / "runs", "--dry-run")
    assert code == 0
    assert "16 trials" in out
    assert "432 at most" in out
    assert "loguniform: [0.05, 5" in out
    assert not (tmp_path / "runs").exists()


def test_a_spec_and_a_cluster_file_that_come_with_vaeorch_are_taken_by_name(vaeorch, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, out, _ = vaeorch("sweep", "quickstart", "--cluster", "local", "--dry-run")
    assert (code, out.partition(" trials")[0]) == (0, "quickstart: 16")
    assert f"into {tmp_path}/runs/quickstart" in out
    code, out, _ = vaeorch("data", "info", "quickstart")
    assert (code, out.partition(":")[0]) == (0, "digits")
    assert vaeorch("cluster", "show", "ssh")[0] == 0
    assert not list(tmp_path.iterdir())


def test_a_run_that_is_trained_by_a_name_lies_in_the_current_folder(vaeorch, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert vaeorch("train", "quickstart", "--set", "run.epochs=1")[0] == 0
    assert (tmp_path / "runs" / "quickstart" / layout.CHECKPOINT).is_file()


def test_a_mistake_in_a_shipped_file_is_told_with_the_path_of_the_file(vaeorch, tmp_path, monkeypatch):
    home = tmp_path / "search_spaces"
    home.mkdir()
    (home / "quickstart.yaml").write_text("name: quickstart\nrum: {}\n")
    monkeypatch.setattr(shipped, "TOP", tmp_path)
    code, out, err = vaeorch("sweep", "quickstart", "--out", tmp_path / "runs")
    assert (code, out) == (2, "")
    assert f"{home}/quickstart.yaml:2: rum: unknown key. Did you mean 'run'?" in err


NEITHER = [
    ["sweep", "quickstrat"],
    ["train", "quickstrat"],
    ["sweep", "quickstart", "--cluster", "slrum"],
    ["resume", "quickstart", "--cluster", "slrum"],
    ["evaluate", "quickstart", "--cluster", "slrum"],
    *(["cluster", verb, "slrum"] for verb in ("check", "show", "up", "down")),
]


@pytest.mark.parametrize("words", NEITHER, ids=" ".join)
def test_a_name_of_no_file_is_one_line_that_suggests_others(vaeorch, tmp_path, monkeypatch, words):
    monkeypatch.chdir(tmp_path)
    code, out, err = vaeorch(*words)
    assert (code, out) == (2, "") and one_line(err)
    meant = "slurm" if "slrum" in words else "quickstart"
    assert f"comes with vaeorch. Did you mean '{meant}'? List all: vaeorch examples" in err


def test_dry_run_as_json_can_be_read_by_a_program(vaeorch, spec, tmp_path):
    code, out, _ = vaeorch("sweep", spec, "--out", tmp_path / "runs", "--dry-run", "--json", "--set", "run.epochs=7")
    plan = json.loads(out)
    assert (code, plan["trials"], plan["epochs_at_most"], plan["slots"]) == (0, 1, 7, 1)


def test_dry_run_tells_how_many_seeds_each_configuration_has(vaeorch, spec, tmp_path):
    words = ["--set", "seeds=3", "--set", "search.method.beta={grid: [1, 2]}", "--dry-run"]
    code, out, _ = vaeorch("sweep", spec, "--out", tmp_path, *words)
    assert code == 0
    assert "tiny: 6 trials (2 configurations, 3 seeds each) into " in out
    assert "18 at most" in out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["swep"], "Did you mean 'sweep'"),
        (["sweep"], "Missing argument 'SPEC'"),
        (["sweep", "absent.yaml"], "absent.yaml"),
        (
            ["sweep", "SPEC", "--set", "run.epochz=2"],
            "--set run.epochz=2: run.epochz: unknown key. Did you mean 'epochs'?",
        ),
        (["sweep", "SPEC", "--set", "epochs"], "--set epochs"),
        (["sweep", "SPEC", "--set", "run.method.beta=-1"], "run.method.beta: must be at least 0"),
        (["sweep", "SPEC", "--name", "a/b"], "no plain folder name"),
        (["sweep", "SPEC", "--set", "run.batch_size=1000"], "run.batch_size: a batch of 1,000 is larger than the 200"),
        (["sweep", "SPEC", "--set", "resources.cpus_per_worker=4096"], "resources.cpus_per_worker"),
        (["sweep", "SPEC", "--set", "resources.workers=4096"], "4096 workers need 4096 cpus"),
        (["sweep", "SPEC", "--set", "objective.metric=val/variance_min"], "has no metric 'val/variance_min'"),
        (["sweep", "SPEC", "--tracking-uri", "ftp://x"], "ftp://x"),
        (["sweep", "SPEC", "--tracking-uri", "sqlite:////proc/none/mlflow.db"], "/proc/none/mlflow.db"),
        (["sweep", "SPEC", "--set", "run.data={name: array, path: none.npy}"], "none.npy"),
        (["results", "nothing"], "no such results"),
        (["results", "tiny", "--format", "xml"], "xml"),
        (["ui", "nothing"], "no sweep was recorded here"),
        (["ui", "--port", "99999"], "99999"),
        (["sync", "nothing"], "no sweep was recorded here"),
        (["train", "SPEC", "--set", "run.method.name=vea"], "Did you mean 'vae'?"),
    ],
    ids=lambda value: " ".join(value[:4]) if isinstance(value, list) else "",
)
def test_a_mistake_is_one_line_and_exit_code_2(vaeorch, spec, tmp_path, words, said):
    places = [] if words[0] == "swep" or len(words) == 1 else ["--out", tmp_path / "runs"]
    code, out, err = vaeorch(*(spec if word == "SPEC" else word for word in words), *places)
    assert code == 2
    assert out == ""
    assert one_line(err), err
    assert said in err


def test_all_mistakes_of_a_file_are_told_at_once_with_their_lines(vaeorch, spec):
    spec.write_text(RUN.replace("beta: 0.5", "betta: 0.5").replace("latent_dim: 2", "latent_dim: 0"))
    code, _, err = vaeorch("sweep", spec)
    assert code == 2
    assert err.splitlines() == [
        f"{spec}:3: run.method.betta: unknown key. Did you mean 'beta'? Known: name, beta, reconstruction_weight.",
        f"{spec}:4: run.network.latent_dim: must be above 0, not 0.",
    ]


def test_a_data_set_without_a_loader_validates_and_then_says_so(vaeorch, tmp_path):
    file = ROOT / "search_spaces" / "intelvae_celeba.yaml"
    assert vaeorch("sweep", file, "--out", tmp_path, "--dry-run")[0] == 0
    code, _, err = vaeorch("sweep", file, "--out", tmp_path, "--set", "resources.gpus_per_worker=0")
    assert code == 2
    assert one_line(err)
    assert "celeba" in err


def test_a_truncated_data_file_is_told_before_anything_starts(vaeorch, spec, tmp_path, real_data):
    raw = tmp_path / "data" / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for file in (real_data / "MNIST" / "raw").glob("*.gz"):
        shutil.copy(file, raw / file.name)
    images = raw / "train-images-idx3-ubyte.gz"
    images.write_bytes(images.read_bytes()[:100_000])
    spec.write_text(RUN.replace("data: {name: digits", "data: {name: mnist"))
    code, _, err = vaeorch("sweep", spec, "--data-root", tmp_path / "data", "--out", tmp_path / "runs")
    assert code == 2
    assert one_line(err)
    assert str(images) in err
    assert not (tmp_path / "runs" / "tiny").exists()


def test_a_wrong_magic_number_is_told(vaeorch, spec, tmp_path):
    raw = tmp_path / "data" / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for name in ("train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1"):
        (raw / f"{name}-ubyte.gz").write_bytes(gzip.compress(b"\x00\x00\x09\x03" + bytes(12)))
    spec.write_text(RUN.replace("data: {name: digits", "data: {name: mnist"))
    code, _, err = vaeorch("train", spec, "--data-root", tmp_path / "data", "--out", tmp_path / "runs")
    assert code == 2
    assert one_line(err)
    assert "-ubyte" in err


def test_port_in_use_is_told(vaeorch, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        code, _, err = vaeorch("ui", "--port", port, "--out", tmp_path)
    assert code == 2
    assert one_line(err)
    assert str(port) in err


def test_an_occupied_folder_is_left_as_it_was(vaeorch, spec, tmp_path):
    (tmp_path / "runs" / "tiny").mkdir(parents=True)
    (tmp_path / "runs" / "tiny" / "spec.yaml").write_text("name: tiny")
    code, _, err = vaeorch("sweep", spec, "--out", tmp_path / "runs")
    assert code == 2
    assert one_line(err)
    assert "holds another sweep" in err
    assert [p.name for p in (tmp_path / "runs" / "tiny").iterdir()] == ["spec.yaml"]


def test_sweep_runs_on_without_its_tracking_server_and_sync_sends_the_rest(vaeorch, spec, tmp_path):
    """A real sweep whose server refuses; with --json the results alone are on stdout."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        refusing = f"http://127.0.0.1:{server.getsockname()[1]}"  # closed again before it is used
    out, store = tmp_path / "runs", f"sqlite:///{tmp_path / 'mlflow.db'}"
    words = ["sweep", str(spec), "--out", str(out), "--tracking-uri", refusing, "--json"]
    words += ["--set", "scheduler={name: asha, grace_epochs: 1}"]  # so that the one trial pauses, and closes the search
    said = warm.run([sys.executable, "-m", "orchestrator", *words], cwd=ROOT, capture_output=True, text=True)
    assert said.returncode == 0, said.stderr
    [trial] = json.loads(said.stdout)["trials"]
    assert (trial["status"], trial["epochs"]) == ("completed", 3)
    assert "unsent" in said.stderr and "vaeorch sync tiny" in said.stderr
    assert vaeorch("sync", "tiny", "--out", out, "--tracking-uri", store)[:2] == (0, "Everything is sent.\n")
    from orchestrator.tracking.client import connect

    runs = connect(store).search_runs(["1"], "tags.kind = 'trial'")
    assert [run.data.metrics["val/elbo"] for run in runs] == [trial["last"]["val/elbo"]]


def test_train_writes_checkpoints_metrics_and_pictures(vaeorch, spec, tmp_path):
    code, out, _ = vaeorch("train", spec, "--out", tmp_path / "runs")
    folder = tmp_path / "runs" / "tiny"
    assert code == 0
    assert [line for line in out.splitlines() if line.startswith("epoch")][-1].startswith("epoch 3/3")
    assert len((folder / "metrics.jsonl").read_text().splitlines()) == 3
    for name in (
        "checkpoint.pt",
        "best.pt",
        "config.json",
        "pictures/0003/reconstructions.png",
        "pictures/0003/latents.png",
    ):
        assert (folder / name).exists()


def test_a_run_that_diverges_ends_with_the_reason_and_exit_code_1(vaeorch, spec, tmp_path):
    words = ["train", spec, "--out", tmp_path / "runs", "--set", "run.optimizer.lr=1e18"]
    for _ in range(2):  # the same command tries it again
        code, out, err = vaeorch(*words)
        assert code == 1 and one_line(err) and "Traceback" not in err
        assert err.startswith(f"{tmp_path}/runs/tiny: diverged: ") and "not finite at step" in err
        assert "best.pt" not in out  # there is none
    code, out, _ = vaeorch("results", "tiny", "--out", tmp_path / "runs")
    assert code == 0 and "every trial failed or diverged" in out and "not finite at step" in out


WAITS_FOR_CTRL_C = """
import time
from orchestrator.cli import main
from orchestrator.storage import trial_folder

class Slow(trial_folder.TrialFolder):
    def keep(self, report, draw):
        super().keep(report, draw)
        if report.epoch == 4:
            (self.path / "waits").touch()
            time.sleep(600)

trial_folder.TrialFolder = Slow
main.main()
"""


def test_train_interrupted_goes_on_to_the_same_numbers(vaeorch, spec, tmp_path):
    """Ctrl-C to a real process after its fourth epoch, where it waits for it; the same command takes it up."""
    words = ["--set", "run.epochs=9"]
    command = [sys.executable, "-c", WAITS_FOR_CTRL_C, "train", str(spec), "--out", str(tmp_path / "cut"), *words]
    process = warm.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    metrics = tmp_path / "cut" / "tiny" / "metrics.jsonl"
    until(lambda: metrics.with_name("waits").exists() or process.poll() is not None)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=300)
    assert (process.returncode, err.strip()) == (130, "")
    assert "The same command goes on" in out
    assert metrics.read_text().count("\n") == 4
    assert vaeorch("train", spec, "--out", tmp_path / "cut", *words)[0] == 0
    assert vaeorch("train", spec, "--out", tmp_path / "whole", *words)[0] == 0

    def numbers(folder):
        lines = (tmp_path / folder / "tiny" / "metrics.jsonl").read_text().splitlines()
        return [{key: value for key, value in json.loads(line).items() if key != "seconds"} for line in lines]

    assert numbers("cut") == numbers("whole")


def test_train_refuses_the_folder_of_another_run(vaeorch, spec, tmp_path):
    assert vaeorch("train", spec, "--out", tmp_path / "runs")[0] == 0
    code, _, err = vaeorch("train", spec, "--out", tmp_path / "runs", "--set", "run.seed=1")
    assert code == 2
    assert one_line(err)
    assert "another run" in err


RESULTS = {
    "name": "kept",
    "objective": {"metric": "val/elbo", "mode": "max"},
    "trials": [
        {
            "id": "0001",
            "config": {"method.beta": 1.5},
            "status": "stopped",
            "epochs": 3,
            "best": {"val/elbo": -30.0},
            "reason": "asha@3",
        },
        {
            "id": "0002",
            "config": {"method.beta": 0.5},
            "status": "completed",
            "epochs": 9,
            "best": {"val/elbo": -20.0},
            "reason": None,
        },
        {
            "id": "0003",
            "config": {"method.beta": 9.0},
            "status": "diverged",
            "epochs": 1,
            "best": {"val/elbo": -10.0},
            "reason": "kl",
        },
        {"id": "0004", "config": {"method.beta": 3.0}, "status": "failed", "epochs": 0, "best": {}, "reason": "killed"},
    ],
}


@pytest.fixture
def kept(tmp_path):
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept" / "results.json").write_text(json.dumps(RESULTS))
    return tmp_path


def test_leaderboard_ranks_finished_trials_above_diverged_and_failed_ones(vaeorch, kept):
    _, out, _ = vaeorch("results", "kept", "--out", kept, "--format", "csv")
    rows = list(csv.DictReader(io.StringIO(out)))
    assert [row["trial"] for row in rows] == ["0002", "0001", "0003", "0004"]
    assert [row["method.beta"] for row in rows] == ["0.5", "1.5", "9.0", "3.0"]


def test_leaderboard_of_a_minimum_ranks_upside_down(vaeorch, kept):
    (kept / "kept" / "results.json").write_text(
        json.dumps(RESULTS | {"objective": {"metric": "val/elbo", "mode": "min"}})
    )
    _, out, _ = vaeorch("results", "kept", "--out", kept, "--format", "csv")
    assert [row["trial"] for row in csv.DictReader(io.StringIO(out))][:2] == ["0001", "0002"]


def test_results_come_as_json_markdown_and_table(vaeorch, kept):
    assert json.loads(vaeorch("results", "kept", "--out", kept, "--format", "json")[1]) == RESULTS
    markdown = vaeorch("results", "kept", "--out", kept, "--format", "markdown")[1].splitlines()
    assert markdown[2] == "| 1 | 0002 | -20 | 9 | completed | 0.5 |"
    table = vaeorch("results", "kept", "--out", kept)[1]
    assert "stopped (asha@3)" in table and "beta=1.5" in table


def wrong(folder, *trials) -> None:
    kinds = [("failed", "no memory"), ("diverged", "nll"), ("failed", "no memory"), ("stopped", "asha@3")]
    known = {"config": {}, "epochs": 1, "best": {}}
    chosen = [known | {"id": f"{n:04d}", "status": kinds[n - 1][0], "reason": kinds[n - 1][1]} for n in trials]
    (folder / "kept" / "results.json").write_text(json.dumps(RESULTS | {"trials": chosen}))


def test_results_say_in_words_that_every_trial_failed_or_diverged(vaeorch, kept):
    wrong(kept, 1, 2, 3)
    code, out, err = vaeorch("results", "kept", "--out", kept)
    assert (code, err) == (0, "")
    assert out.splitlines()[-1] == "kept: every trial failed or diverged."
    assert "failed (no memory)" in out and "diverged (nll)" in out
    code, out, err = vaeorch("results", "kept", "--out", kept, "--format", "json")
    assert code == 0 and len(json.loads(out)["trials"]) == 3
    assert err.splitlines() == [
        "kept: every trial failed or diverged.",
        "0001, 0003 failed: no memory",
        "0002 diverged: nll",
    ]


@pytest.mark.parametrize(
    ("trials", "said"), [((1, 4), "no trial had a finite val/elbo."), ((), "no trial came to an end.")]
)
def test_results_without_a_result_say_so(vaeorch, kept, trials, said):
    wrong(kept, *trials)
    assert vaeorch("results", "kept", "--out", kept)[1].splitlines()[-1] == f"kept: {said}"


def test_a_sweep_all_of_whose_trials_diverge_ends_with_the_reasons_and_exit_code_1(vaeorch, spec, tmp_path):
    """A real sweep; then `resume` of it, as it is and as an older version would have begun it."""
    out = tmp_path / "runs"
    words = ["sweep", str(spec), "--out", str(out), "--set", "search={optimizer.lr: {grid: [1e18, 1e19]}}"]
    words += ["--set", "scheduler={name: asha, grace_epochs: 1}", "--set", f"resources.cpus_per_worker={cpus()}"]
    said = warm.run([sys.executable, "-m", "orchestrator", *words], cwd=ROOT, capture_output=True, text=True)
    heading, *reasons = said.stderr.splitlines()
    assert (said.returncode, heading) == (1, "tiny: every trial failed or diverged.")
    assert reasons and all(" diverged: " in line for line in reasons) and "0002" in reasons[-1]
    assert "note         2 trials are too few to be halved down to one" in said.stdout  # as --dry-run says
    assert vaeorch("resume", "tiny", "--out", out)[::2] == (1, said.stderr)
    results = json.loads((out / "tiny" / "results.json").read_text())
    results["objective"]["mode"] = "min"
    (out / "tiny" / "results.json").write_text(json.dumps(results))
    code, told, _ = vaeorch("resume", "tiny", "--out", out)
    [line] = [line for line in told.splitlines() if line.startswith("note ")]
    assert code == 1 and "'min' is at odds with val/elbo, of which higher values are better" in line


def test_damaged_results_are_told(vaeorch, kept):
    (kept / "kept" / "results.json").write_text("{")
    code, _, err = vaeorch("results", "kept", "--out", kept)
    assert code == 2 and one_line(err) and "results.json" in err
