"""Verbs that are sent to a cluster: what is refused before, what is sent, and what comes of it on this machine."""

import json
from contextlib import suppress
from pathlib import Path

import pytest

from orchestrator.clusters.job_server import NoAnswer
from orchestrator.clusters.job_system import Listed
from orchestrator.clusters.jobs import State
from orchestrator.clusters.options import ClusterOptions
from orchestrator.clusters.read import read_cluster as read
from orchestrator.clusters.state import note_file, state_folder
from orchestrator.commands import cluster, send
from orchestrator.commands.driver import Job
from orchestrator.errors import UserError
from tests.support import ROOT
from tests.support.fake_clusters import FakeJobs, a_sweep
from tests.support.specs import TINY
from trainables.data import DATASETS

FOLDER = "holds another sweep or run. Choose another --name or --out, or remove it."


@pytest.mark.parametrize("code", [0, 1, 2, 143])
def test_the_exit_code_is_the_drivers_own(world, there, code):
    world.state = State("FAILED" if code else "SUCCEEDED", code, "")
    said = there("sweep", "tiny.yaml")
    assert said[0] == code and said[2] == ""
    assert world.did == ["up", "submit", "follow", "down"]


@pytest.mark.parametrize(
    ("code", "message", "cause"),
    [
        (None, "The node died.\nMore of Ray's.", "The node died."),
        (70, "The node died.\nMore of Ray's.", "The node died."),
        (137, "exit code -9, last available logs:\n@vaeorch {}", "it was killed by signal 9."),
        (None, "", "it was killed."),
    ],
)
def test_a_driver_that_was_lost_is_the_clusters_failure_and_the_way_on_is_told(
    world, there, tmp_path, code, message, cause
):
    world.state = State("FAILED", code, message)
    end, _, said = there("sweep", "tiny.yaml")
    assert end == 3
    assert said.splitlines() == [
        f"tiny: its driver was lost: {cause}",
        "logs         vaeorch cluster logs tiny --out runs",
        "resume       vaeorch resume tiny --out runs --cluster far.yaml",
    ]
    assert world.did[-1] == "down"


def test_a_driver_that_got_no_machines_is_the_clusters_failure(world, there):
    world.state, world.log = State("FAILED", 3, ""), ("no spot: none free.",)
    code, out, said = there("sweep", "tiny.yaml")
    assert (code, out.splitlines()[-1]) == (3, "no spot: none free.")
    assert said.splitlines() == [
        "tiny: its cluster had no machines.",
        "resume       vaeorch resume tiny --out runs --cluster far.yaml",
    ]
    assert world.did[-1] == "down"


def silence(jobs, job_id, reopen):
    """In the place of a cluster that does not answer."""
    raise NoAnswer("silence")


def reopening_once(jobs, job_id, reopen):
    """In the place of a connection that breaks before the first line."""
    yield reopen()


def reopening_for_ever(jobs, job_id, reopen):
    """In the place of a connection that does not come again."""
    while True:
        with suppress(NoAnswer):
            yield reopen()


HEAD_LOST = ["tiny: its cluster was lost.", "resume       vaeorch resume tiny --out runs --cluster far.yaml"]


@pytest.mark.parametrize("follow", [silence, reopening_for_ever], ids=lambda follow: follow.__name__)
@pytest.mark.parametrize("runs", [True, False])
def test_a_cluster_whose_head_is_gone_is_ended_and_the_way_on_is_told(world, there, monkeypatch, runs, follow):
    world.runs, world.lost, world.unreachable = runs, True, True
    monkeypatch.setattr(FakeJobs, "follow", follow)
    code, _, said = there("sweep", "tiny.yaml", "--keep-up", "5")
    assert code == 3 and world.did == ["up", "submit", "down"]
    assert said.splitlines() == HEAD_LOST


def test_attach_tells_that_the_head_was_lost(world, there, here, tmp_path, monkeypatch):
    there("sweep", "tiny.yaml", "--detach")
    world.lost = world.unreachable = True
    monkeypatch.setattr(FakeJobs, "follow", reopening_for_ever)
    code, _, said = here("cluster", "attach", "tiny")
    assert code == 3 and said.splitlines() == [HEAD_LOST[0], HEAD_LOST[1].replace("far.yaml", f"{tmp_path}/far.yaml")]


def test_a_head_that_is_reached_again_is_not_asked_for(world, there, monkeypatch):
    world.lost = True
    monkeypatch.setattr(FakeJobs, "follow", reopening_once)
    code, _, _ = there("sweep", "tiny.yaml")
    assert code == 0


def test_a_cluster_that_only_does_not_answer_stays(world, there, monkeypatch):
    monkeypatch.setattr(FakeJobs, "follow", silence)
    code, _, said = there("sweep", "tiny.yaml")
    assert code == 3 and world.did == ["up", "submit"]
    assert said.splitlines()[0] == "tiny: the cluster does not answer, but may go on: silence"


def test_ctrl_c_detaches_and_tells_how_to_come_back(world, there):
    world.interrupt, world.log = True, ("what the driver prints",)
    code, out, _ = there("sweep", "tiny.yaml")
    [job] = world.jobs
    assert code == 130
    assert out.splitlines() == [
        f"job          {job}",
        "what the driver prints",
        f"Detached: {job} goes on.",
        "attach       vaeorch cluster attach tiny --out runs",
        "stop         vaeorch cluster stop tiny --out runs",
    ]
    assert world.did == ["up", "submit", "follow"]  # the cluster stays


def test_detached_from_the_start_nothing_is_followed(world, there):
    code, out, _ = there("sweep", "tiny.yaml", "--detach")
    assert code == 0 and out.splitlines()[-1] == "attach       vaeorch cluster attach tiny --out runs"
    assert world.did == ["up", "submit"]


@pytest.mark.parametrize("dataset", sorted(DATASETS, key=lambda dataset: dataset.__name__))
def test_any_data_set_can_be_sent_there(world, there, tmp_path, dataset):
    name = dataset.model_fields["name"].default
    own = ", path: /srv/rows.npy" if dataset.is_own else ""
    text = TINY.replace("{name: digits, train_rows: 300, val_rows: 90}", f"{{name: {name}{own}}}")
    assert text != TINY
    (tmp_path / "tiny.yaml").write_text(text)
    assert there("sweep", "tiny.yaml", "--detach")[0] == 0 and world.did == ["up", "submit"]


def test_where_a_sweep_was_sent_is_noted(world, there, tmp_path):
    there("sweep", "tiny.yaml", "--detach")
    [job] = world.jobs
    sent = json.loads((tmp_path / "runs" / ".clusters" / "tiny.json").read_text())
    assert sent == {"file": str(tmp_path / "far.yaml"), "job": job, "verb": "sweep"}


def test_what_is_sent_is_the_spec_as_it_is_written_and_how_it_is_to_be_read(world, there):
    there("sweep", "tiny.yaml", "--set", "run.epochs=2", "--name", "other", "--reuse", "--data-root", "/mnt/data")
    [job] = world.jobs.values()
    assert world.specs == [TINY]
    assert (job.verb, job.target, job.source, job.reuse) == ("sweep", "other", "tiny.yaml", True)
    assert job.settings == ("run.epochs=2", 'name="other"')
    assert (job.out, job.data_root) == (str(world.out), "/mnt/data")
    assert (job.tracking_uri, job.shares_files, job.checkpoint_minutes) == (None, False, 10)


def test_a_server_of_mlflow_is_sent_to_from_there(world, there):
    there("sweep", "tiny.yaml", "--tracking-uri", "http://127.0.0.1:1", "--detach")
    assert [job.tracking_uri for job in world.jobs.values()] == ["http://127.0.0.1:1"]


def test_a_job_is_read_as_it_was_written(tmp_path):
    job = Job("evaluate", "a/0001", "/out", None, "a.yaml", ("x=1",), True, "/d", "http://h", {"metrics": "all"})
    job.write(tmp_path / "job.json")
    assert Job.read(tmp_path / "job.json") == job
    nodes = Job("resume", "a", "/out", at_most=({"cpus": 2, "gpus": 0},), shares_files=True, checkpoint_minutes=1.5)
    nodes.write(tmp_path / "job.json")
    assert Job.read(tmp_path / "job.json") == nodes


def test_another_sweep_here_is_not_mixed_with_what_comes_home(world, there, tmp_path):
    (tmp_path / "runs" / "tiny").mkdir(parents=True)
    (tmp_path / "runs" / "tiny" / "spec.yaml").touch()
    code, _, said = there("sweep", "tiny.yaml")
    assert (code, said) == (2, f"{tmp_path / 'runs' / 'tiny'}: {FOLDER}\n")
    assert world.did == []


@pytest.mark.parametrize(
    ("text", "words", "said"),
    [
        (TINY.replace("epochs: 6", "epoch: 6"), (), "epoch"),
        (TINY.replace("beta: 0.5", "beta: -1"), (), "beta"),
        (TINY, ("--set", "trials=0"), "trials"),
        (TINY, ("--name", ".clusters"), "name"),
        (TINY, ("--data-root", "data"), "--data-root data: the cluster's nodes need a whole path."),
    ],
)
def test_mistakes_are_told_before_anything_is_started(world, there, tmp_path, text, words, said):
    (tmp_path / "tiny.yaml").write_text(text)
    code, _, told = there("sweep", "tiny.yaml", *words)
    assert code == 2 and said in told and "Traceback" not in told
    assert world.did == [] and not (tmp_path / "runs").exists()


def test_an_evaluation_that_is_not_known_is_told_before_anything_is_started(world, there):
    code, _, said = there("evaluate", "tiny", "--metrics", "fid")
    assert code == 2 and "fid" in said and world.did == []


def test_data_are_not_looked_for_on_this_machine(world, there, tmp_path):
    own = TINY.replace("{name: digits, train_rows: 300, val_rows: 90}", "{name: array, path: /absent/x.npy}")
    (tmp_path / "tiny.yaml").write_text(own)
    assert there("sweep", "tiny.yaml")[0] == 0
    assert world.specs == [own]


def test_what_a_sweep_would_do_there_is_told_without_starting_anything(world, there, tmp_path):
    code, out, _ = there("sweep", "tiny.yaml", "--dry-run")
    assert code == 0 and "as many slots as the cluster has room for" in out
    assert out.splitlines()[-1] == "  cluster    the Ray that runs at auto: nothing is started"
    assert world.did == [] and not (tmp_path / "runs").exists()


def test_resume_and_evaluate_are_sent_as_they_are_typed(world, there):
    there("resume", "tiny", "--data-root", "s3://bucket/sets")
    there("evaluate", "tiny/0001", "--metrics", "active", "--again", "--checkpoint", "last")
    resume, evaluate = world.jobs.values()
    assert (resume.verb, resume.target, resume.spec, resume.data_root) == ("resume", "tiny", None, "s3://bucket/sets")
    assert (evaluate.verb, evaluate.target) == ("evaluate", "tiny/0001")
    assert [evaluate.selection[name] for name in ("metrics", "again", "checkpoint")] == ["active", True, "last"]
    assert [name.rsplit("-", 3)[0] for name in world.jobs] == ["tiny-resume", "tiny-0001-evaluate"]


@pytest.mark.parametrize(
    ("runs", "words", "last"), [(True, (), "follow"), (False, ("--keep-up", "5"), "down after 5"), (False, (), "down")]
)
def test_only_what_this_command_has_started_is_ended(world, there, runs, words, last):
    world.runs = runs
    there("sweep", "tiny.yaml", *words)
    assert world.did[-1] == last


def test_a_cluster_on_which_another_sweep_runs_stays_up_until_it_is_idle(world, there, monkeypatch):
    others = [Listed("mine-sweep-1", "", State("SUCCEEDED", 0, ""), None, None)]
    others += [Listed("theirs-sweep-2", "", State("RUNNING", None, ""), None, None)]
    monkeypatch.setattr("tests.support.fake_clusters.FakeJobs.list", lambda jobs: others)
    code, out, _ = there("sweep", "tiny.yaml")
    assert (code, world.did[-1]) == (0, "down after 10")
    assert "far: theirs-sweep-2 runs there, too; until it has been idle for 10 minutes" in out


def test_down_leaves_a_ray_that_vaeorch_has_not_started_and_its_jobs_alone(here, tmp_path):
    (tmp_path / "lab.yaml").write_text("kind: address\naddress: 127.0.0.1:1\n")  # where nothing answers
    code, out, said = here("cluster", "down", tmp_path / "lab.yaml")
    assert (code, said) == (0, "") and out.startswith("lab was not started by vaeorch: it stays up.")


def test_a_job_that_is_not_taken_ends_what_was_started(world, there, tmp_path):
    def refuse(job):
        raise UserError("Ray does not take the job.")

    world.drive = refuse
    code, _, said = there("sweep", "tiny.yaml")
    assert (code, said) == (2, "Ray does not take the job.\n")
    assert world.did == ["up", "submit", "down"]
    assert not (tmp_path / "runs" / ".clusters").exists()


def test_results_come_home_and_are_shown_here(world, there, here, tmp_path):
    world.drive = a_sweep
    code, out, said = there("sweep", "tiny.yaml")
    assert (code, said) == (0, "")
    home = (tmp_path / "runs" / "tiny").resolve()
    assert f"results      {home / 'results.json'}" in out and str(world.out) not in out
    assert list(home.rglob("best.pt")) and not list(home.rglob("checkpoint*.pt"))
    assert here("results", "tiny")[0] == 0
    world.did.clear()
    code, out, _ = there("resume", "tiny", "--json")
    assert code == 0 and json.loads(out)["trials"]


def test_what_is_measured_there_is_printed_here_in_the_form_that_was_asked_for(world, there, monkeypatch):
    asked = []
    monkeypatch.setattr("orchestrator.commands.send.print_evaluations", lambda *values: asked.append(values))
    there("evaluate", "tiny", "--metrics", "active")
    there("evaluate", "tiny", "--metrics", "active", "--format", "json", "--detach")
    assert asked == []  # the driver has printed its table; and a job that runs on has none yet
    there("evaluate", "tiny/0001", "--metrics", "active", "--format", "json")
    assert asked == [(Path("runs"), "tiny/0001", "json")]


def test_what_could_not_be_brought_home_is_told(world, there, monkeypatch):
    def lost(*values):
        raise UserError("gpu1: cannot be reached.")

    monkeypatch.setattr("tests.support.fake_clusters.FakeRemote.pull", lost)
    world.state = State("STOPPED", 143, "")
    code, out, _ = there("sweep", "tiny.yaml")
    assert code == 143 and out.splitlines()[-1] == "gpu1: cannot be reached."
    world.state = State("SUCCEEDED", 0, "")
    assert there("resume", "tiny")[::2] == (2, "gpu1: cannot be reached.\n")


def test_a_cluster_whose_file_is_gone_is_told_and_keeps_no_other_up(world, there, here, tmp_path, monkeypatch):
    there("sweep", "tiny.yaml", "--detach")
    monkeypatch.setattr(cluster, "read_cluster", lambda file: world.cluster() if file.stem == "far" else read(file))
    note_file(state_folder("a-gone"), tmp_path / "a-gone.yaml")
    code, out, _ = here("cluster", "ls")
    assert code == 0 and "a-gone" in out and "far.yaml" in out
    world.state = State("RUNNING", None, "")
    code, out, said = here("cluster", "down", "--all")
    assert world.did[-2:] == ["stop", "down"]  # its job ends in order before it does
    assert code == 2 and said.startswith(f"{tmp_path / 'a-gone.yaml'}: cannot be read")
    assert "far is down." in out


def test_a_sweep_that_was_sent_there_does_not_go_on_here(world, there, here, tmp_path):
    there("sweep", "tiny.yaml", "--detach")
    code, _, said = here("resume", "tiny")
    home, sent = tmp_path / "runs", tmp_path / "runs" / ".clusters" / "tiny.json"
    again = f"vaeorch resume tiny --out {home} --cluster {tmp_path / 'far.yaml'}"
    told = f"{home / 'tiny'}: was sent to a cluster. Go on there: {again}. To go on here, remove {sent}.\n"
    assert (code, said) == (2, told)


def test_a_mistake_that_the_driver_finds_is_in_its_log(world, there, tmp_path):
    world.state, world.log = State("FAILED", 2, ""), ("run.data.path: /absent/x.npy: there is no such file.",)
    code, out, _ = there("sweep", "tiny.yaml")
    assert code == 2 and out.splitlines()[-1] == world.log[0]
    assert not (tmp_path / "runs" / "tiny").exists()


def test_attach_stop_logs_and_pull_find_the_sweep(world, there, here, tmp_path):
    world.drive, world.log = a_sweep, ("what the driver prints",)
    there("sweep", "tiny.yaml", "--detach")
    assert here("cluster", "logs", "tiny")[:2] == (0, "what the driver prints\n")
    code, out, _ = here("cluster", "stop", "tiny")
    assert code == 143 and "resume       vaeorch resume tiny" in out
    code, out, _ = here("cluster", "attach", "tiny")
    assert code == 0 and out.startswith("what the driver prints\n") and "results      " in out
    assert here("cluster", "pull", "tiny", "--all")[0] == 0
    assert list((tmp_path / "runs" / "tiny").rglob("checkpoint.pt"))
    assert world.did == ["up", "submit", "stop", "follow"]


@pytest.mark.parametrize("verb", ["attach", "logs", "stop", "pull"])
def test_a_sweep_that_was_sent_nowhere_is_told_with_those_that_were(world, there, here, verb):
    there("sweep", "tiny.yaml", "--detach")
    code, _, said = here("cluster", verb, "absent")
    assert (code, said) == (2, "runs/absent: was sent to no cluster. Those in runs that were: tiny.\n")


@pytest.mark.parametrize("words", [("--detach",), ("--keep-up", "5"), ("--yes",)])
def test_options_for_a_cluster_need_one(here, words):
    code, _, said = here("sweep", "tiny.yaml", *words)
    assert (code, said) == (2, "--detach, --keep-up and --yes are for a cluster: name its file by --cluster.\n")


def test_this_machine_cannot_be_detached_from(here):
    file = ROOT / "clusters" / "local.yaml"
    code, _, said = here("sweep", "tiny.yaml", "--cluster", file, "--detach")
    assert (code, said) == (2, f"{file}: is of kind local, which runs here: leave out --detach.\n")


def test_a_file_of_this_machine_is_the_same_as_none(here):
    file = ROOT / "clusters" / "local.yaml"
    assert send.remote(ClusterOptions(file)) is send.remote(None) is None
    plans = [here("sweep", "tiny.yaml", "--dry-run", *words) for words in ((), ("--cluster", file))]
    assert plans[0] == plans[1] and plans[0][0] == 0
