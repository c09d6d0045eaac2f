"""Sweeps on hosts that share no files, sent there from a laptop by SSH, through whatever may befall them on the way.

One sweep on the laptop alone is what all others must equal. `whole` is sent and left, attached to, left by Ctrl-C, and
attached to again, and meanwhile the way to the cluster is lost. `faulty` is stopped, loses a host, then its driver, and
is resumed each time.
"""

import os
import signal
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

from orchestrator.clusters.resources import cpus
from orchestrator.storage import layout
from orchestrator.tracking.ui import page
from tests.support.exposure import CANARY
from tests.support.lab import Lab, unavailable
from tests.support.ssh_clusters import (
    ASHA,
    CLUSTER,
    ENDED_S,
    SWEEP,
    Laptop,
    decisions_of,
    drawn,
    metrics_of,
    results_of,
)
from tests.support.tracked_sweeps import client_of
from tests.support.waiting import until
from tests.support.worker_groups import workers_of

pytestmark = [pytest.mark.skipif(unavailable() is not None, reason=str(unavailable())), pytest.mark.slow_lab]

SOON_MISSED = {"RAY_health_check_timeout_ms": "4000", "RAY_health_check_period_ms": "1000"}  # a node; 10 s and 3 s
ROUNDING = 1e-5  # see test_worker_groups.py
OTHER_PACKAGES = "/opt/other"  # comes first on Python's path; it is not there until a test makes it


@pytest.fixture(scope="module")
def laptop(tmp_path_factory):
    with Lab(tmp_path_factory.mktemp("lab")) as lab:
        for name in ("gpu1", "gpu2", "gpu3"):
            lab.host(name, disk_mib=600, settings={**SOON_MISSED, "PYTHONPATH": OTHER_PACKAGES})
        laptop = Laptop(lab, tmp_path_factory.mktemp("laptop"))
        laptop.write("gpus.yaml", CLUSTER)
        laptop.write("whole.yaml", SWEEP)
        laptop.write("faulty.yaml", SWEEP.replace("name: whole", "name: faulty").replace("epochs: 4", "epochs: 60"))
        yield laptop


@pytest.fixture(scope="module")
def cluster(laptop):
    """It is up, for the whole module. Meanwhile the laptop does the sweep on its own."""
    alone = laptop.start("sweep", "whole.yaml", "--out", "alone")
    said = laptop.does("cluster", "up", "gpus.yaml")
    assert alone.code() == 0, alone.said()
    return said


@pytest.fixture(scope="module")
def alone(laptop, cluster) -> Path:
    """The folder of the sweep on the laptop alone."""
    return laptop.folder / "alone" / "whole"


@pytest.fixture(scope="module")
def whole(laptop, cluster):
    """A sweep that was sent there, and what came of it: who was attached first, and who last."""
    laptop.write("asha.yaml", SWEEP.replace("scheduler: {name: none}\n", ASHA))
    sent = laptop.does("sweep", "asha.yaml", "--cluster", "gpus.yaml", "--out", "out", "--detach")
    first = laptop.start("cluster", "attach", "whole", "--out", "out")
    first.until_said("started")
    first.process.send_signal(signal.SIGINT)
    assert first.code() == 130, first.said()
    last = laptop.start("cluster", "attach", "whole", "--out", "out")
    last.until_said("started")
    with laptop.lab.cut_off(laptop.head):
        [tunnel] = laptop.lab.on_laptop_with("ExitOnForwardFailure")
        os.kill(tunnel, signal.SIGKILL)
        until(lambda: laptop.events("whole", "finished"), ENDED_S)
    assert last.code() == 0, last.said()
    return sent, first.said(), last.said(), laptop.folder / "out" / "whole"


@pytest.fixture(scope="module")
def unbroken(laptop) -> Path:
    """The folder of the sweep `faulty` on the laptop alone."""
    laptop.does("sweep", "faulty.yaml", "--out", "alone")
    return laptop.folder / "alone" / "faulty"


@pytest.fixture(scope="module")
def faulty(laptop, cluster):
    """A sweep that is stopped, that loses a host, that loses its driver: what was said each time, and its folder.

    It has far more epochs than any of this takes.
    """
    where, said = ("--cluster", "gpus.yaml", "--out", "out"), {}
    begun = laptop.start("sweep", "faulty.yaml", *where)
    until(lambda: laptop.events("faulty", "epoch"), ENDED_S)
    stop = laptop.vaeorch("cluster", "stop", "faulty", "--out", "out")
    said["stopped"] = begun.code(), begun.said(), stop.returncode, stop.stdout
    said["at home"] = results_of(laptop.folder / "out" / "faulty")["trials"]

    known = len(laptop.events("faulty", "epoch"))
    resumed = laptop.start("resume", "faulty", *where)
    until(lambda: len(laptop.events("faulty", "epoch")) > known, ENDED_S)
    laptop.lab.hosts["gpu3"].kill()
    until(lambda: laptop.events("faulty", "retried"), ENDED_S)
    laptop.head.run("pkill --signal KILL --full '[o]rchestrator driver'")
    said["driver lost"] = resumed.code(), resumed.said()
    laptop.lab.hosts["gpu3"].start()

    again = laptop.vaeorch("resume", "faulty", *where)
    said["finished"] = again.returncode, again.stdout
    return said, laptop.folder / "out" / "faulty"


def events_in(said: str) -> list[str]:
    """What was shown of trials, but for the count of all, which depends on when it is shown."""
    return [line.partition(" | ")[0] for line in said.splitlines() if line[:4].isdigit()]


def test_a_sweep_that_is_sent_says_how_to_attach(whole):
    job, attach = whole[0].splitlines()
    assert job.startswith("job          whole-sweep-")
    assert attach == "attach       vaeorch cluster attach whole --out out"


def test_ctrl_c_leaves_the_job_running_and_says_how_to_attach_and_to_stop(whole):
    assert whole[1].splitlines()[-2:] == [
        "attach       vaeorch cluster attach whole --out out",
        "stop         vaeorch cluster stop whole --out out",
    ]
    assert "checkpoint" not in whole[1]


def test_no_line_is_lost_or_doubled_where_the_way_to_the_cluster_was_lost(laptop, whole):
    told, shown = events_in(whole[2]), events_in(laptop.does("cluster", "logs", "whole", "--out", "out"))
    assert told == shown
    assert sum("started" in line for line in told) == 4
    assert sum(word in line for line in told for word in ("completed", "stopped")) == 4


def test_each_trial_has_the_numbers_of_a_sweep_on_the_laptop_to_the_bit(alone, whole):
    known, found = metrics_of(alone), metrics_of(whole[3])
    assert sorted(found) == ["0001", "0002", "0003", "0004"]
    assert found == {trial: known[trial][: len(lines)] for trial, lines in found.items()}
    assert max(len(lines) for lines in found.values()) == 4
    trials = results_of(whole[3])["trials"]
    assert {trial["id"]: trial["epochs"] for trial in trials} == {trial: len(of) for trial, of in found.items()}
    assert {trial["status"] for trial in trials} == {"completed", "stopped"}


def test_a_trial_that_paused_went_on_from_its_checkpoint(laptop, whole):
    epochs = [(event["trial"], event["epoch"]) for event in laptop.events("whole", "epoch")]
    assert len(set(epochs)) == len(epochs)
    assert "pause" in {event["answer"] for event in laptop.events("whole", "epoch")}


def test_pictures_and_the_best_models_come_home_and_checkpoints_do_not(alone, whole):
    pictures = drawn(whole[3])
    known = drawn(alone)
    best = {f"trials/{trial['id']}/pictures/{trial['best']['epoch']:04d}" for trial in results_of(whole[3])["trials"]}
    assert best == {str(Path(name).parent) for name in pictures}
    assert {name: known[name] for name in pictures if name in known} == {
        name: content for name, content in pictures.items() if name in known
    }
    for trial in results_of(whole[3])["trials"]:
        folder = layout.trial_folder(whole[3], trial["id"])
        assert (folder / layout.BEST).is_file() and not (folder / layout.CHECKPOINT).exists()


def test_the_laptops_mlflow_has_each_epoch_once(laptop, whole):
    uri = f"sqlite:///{laptop.folder / 'out' / 'mlflow.db'}"
    client = client_of(uri)
    runs = client.search_runs([client.get_experiment_by_name("whole").experiment_id])
    trials = {run.data.tags["trial_id"]: run for run in runs if run.data.tags["kind"] == "trial"}
    for trial, lines in metrics_of(whole[3]).items():
        history = client.get_metric_history(trials[trial].info.run_id, "val/elbo")
        assert [(point.step, point.value) for point in history] == [(of["epoch"], of["val/elbo"]) for of in lines]


def test_results_evaluate_and_ui_work_at_home(laptop, whole):
    table = laptop.does("results", "whole", "--out", "out")
    assert table.startswith("whole: 4 trials by val/elbo") and table in whole[2]
    best = table.splitlines()[2].split()[1]
    assert "active" in laptop.does("evaluate", f"whole/{best}", "--out", "out", "--metrics", "active")
    address = page(whole[3], f"sqlite:///{laptop.folder / 'out' / 'mlflow.db'}", "http://127.0.0.1:5000")
    assert address.startswith("http://127.0.0.1:5000/#/experiments/")


def test_ls_tells_of_cluster_and_job_and_pull_brings_the_checkpoints(laptop, whole):
    cluster, *sent = laptop.does("cluster", "ls", "--out", "out").splitlines()
    assert cluster.split()[:5] == ["gpus", "3", "of", "3", "hosts"]
    assert any(line.split()[:2] == ["whole", "succeeded"] for line in sent)
    laptop.does("cluster", "pull", "whole", "--out", "out", "--all")
    assert all((layout.trial_folder(whole[3], f"000{number}") / layout.CHECKPOINT).is_file() for number in range(1, 5))


def test_stop_ends_with_143_and_brings_home_what_there_is(laptop, faulty):
    attached, _, stopped, told = faulty[0]["stopped"]
    assert (attached, stopped) == (143, 143)
    assert "The sweep was interrupted" in told
    [resume] = [line for line in told.splitlines() if line.startswith("resume")]
    assert resume == f"resume       vaeorch resume faulty --out out --cluster {laptop.folder / 'gpus.yaml'}"
    trials = faulty[0]["at home"]
    assert any(trial["epochs"] for trial in trials) and any(trial["status"] == "stopped" for trial in trials)


def test_a_lost_driver_is_told_in_a_line_with_the_cure(faulty):
    code, said = faulty[0]["driver lost"]
    assert code == 3
    *_, lost, logs, resume = said.splitlines()
    assert lost == "faulty: its driver was lost: it was killed by signal 9."
    assert logs == "logs         vaeorch cluster logs faulty --out out"
    assert resume == "resume       vaeorch resume faulty --out out --cluster gpus.yaml"


def test_a_trial_whose_host_was_lost_goes_on_elsewhere_and_keeps_its_own_retries(laptop, faulty):
    said = faulty[0]["driver lost"][1]
    assert "Its node was lost. It goes on elsewhere from its last checkpoint." in said
    assert "raylet" not in said
    assert {event["of"] for event in laptop.events("faulty", "retried")} == {"node"}


def test_a_host_that_starts_again_rejoins_with_the_next_command(faulty):
    code, said = faulty[0]["finished"]
    assert code == 0
    assert said.splitlines()[0] == "Starting Ray on gpu3."


def test_a_sweep_through_all_faults_equals_an_unbroken_one_to_the_bit(unbroken, faulty):
    assert metrics_of(faulty[1]) == metrics_of(unbroken)
    assert decisions_of(faulty[1]) == decisions_of(unbroken)
    assert drawn(faulty[1]) == drawn(unbroken)


@pytest.fixture
def other_package(laptop, cluster):
    """A sweep while a host has another numpy."""
    gpu3, metadata = laptop.lab.hosts["gpu3"], f"{OTHER_PACKAGES}/numpy-0.0.1.dist-info"
    text = "Metadata-Version: 2.1\\nName: numpy\\nVersion: 0.0.1\\n"
    gpu3.run(f"mkdir -p {metadata}; printf '{text}' > {metadata}/METADATA")
    yield laptop.vaeorch("sweep", "whole.yaml", "--name", "refused", "--cluster", "gpus.yaml", "--out", "out")
    gpu3.run(f"rm -r {OTHER_PACKAGES}")


def test_a_host_with_another_package_is_named_before_the_first_trial(laptop, other_package):
    assert other_package.returncode == 2
    [line] = [line for line in other_package.stderr.splitlines() + other_package.stdout.splitlines() if "numpy" in line]
    assert "a copy has failed" not in other_package.stderr + other_package.stdout
    own = version("numpy")
    assert line == f"node gpu3 (10.77.0.4): has numpy 0.0.1, the driver {own}. Install the same on all nodes."
    assert laptop.events("refused") == []


def test_a_host_without_the_data_is_named_before_the_first_trial(laptop, cluster):
    rows = "import numpy as np; np.save('/srv/rows.npy', np.random.default_rng(0).random((200, 6), dtype=np.float32))"
    for name in ("gpu1", "gpu3"):
        laptop.lab.hosts[name].run(f'{sys.executable} -c "{rows}"')
    laptop.write("own.yaml", SWEEP.replace("name: digits", "name: array, path: /srv/rows.npy"))
    done = laptop.vaeorch("sweep", "own.yaml", "--name", "own", "--cluster", "gpus.yaml", "--out", "out")
    assert done.returncode == 2
    [line] = [line for line in (done.stdout + done.stderr).splitlines() if "rows.npy" in line]
    assert "node gpu2 (10.77.0.3): " in line
    assert laptop.events("own") == []


def test_a_wrong_token_is_told_in_one_line(laptop, whole):
    file = laptop.lab.home / ".local" / "state" / "vaeorch" / "gpus" / "token"
    right = file.read_text()
    file.write_text("0" * 64)
    try:
        done = laptop.vaeorch("cluster", "attach", "whole", "--out", "out")
    finally:
        file.write_text(right)
    assert done.returncode == 2
    [line] = (done.stdout + done.stderr).splitlines()
    assert line.endswith("Use the token with which the cluster was started.")
    assert right not in line


def test_the_dashboard_answers_on_the_heads_loopback_only(laptop, whole):
    probe = "import socket; socket.create_connection(('{}', 8265), 5)"
    laptop.head.run(f'{sys.executable} -c "{probe.format("127.0.0.1")}"')
    for name in ("gpu1", "gpu2"):
        with pytest.raises(subprocess.CalledProcessError):
            laptop.lab.hosts[name].run(f'{sys.executable} -c "{probe.format(laptop.head.address)}" 2> /dev/null')


def test_only_their_owner_reads_tokens_and_what_a_job_is_to_do(laptop, whole):
    for host in laptop.lab.hosts.values():
        assert host.run("stat -c %a ~/.local/state/vaeorch/*/token /tmp/vo-*").split() == ["600", "700"]
    jobs = laptop.head.run("stat -c '%F %a' ~/vaeorch-runs/.jobs/* ~/vaeorch-runs/.jobs/*/*").splitlines()
    assert {job.replace("empty ", "") for job in jobs} == {"directory 700", "regular file 600"}
    state = laptop.lab.home / ".local" / "state" / "vaeorch" / "gpus"
    assert (state.stat().st_mode & 0o777, (state / "token").stat().st_mode & 0o777) == (0o700, 0o600)


def test_no_secret_is_where_others_may_see_it(laptop, whole):
    """Neither the cluster's token nor the laptop's credentials: in no answer, journal, log, command line."""
    token = (laptop.lab.home / ".local" / "state" / "vaeorch" / "gpus" / "token").read_text()
    ask = (
        "import pathlib, urllib.request as r;"
        " [t] = [file.read_text() for file in pathlib.Path.home().glob('.local/state/vaeorch/*/token')];"
        "print(r.urlopen(r.Request('http://127.0.0.1:8265/api/jobs/',"
        " headers={'Authorization': 'Bearer ' + t})).read().decode())"
    )
    seen = {"jobs": laptop.head.run(f'{sys.executable} -c "{ask}"')}
    for name, host in laptop.lab.hosts.items():
        seen[f"{name}: command lines"] = host.run("cat /proc/[0-9]*/cmdline 2> /dev/null | tr '\\0' ' '")
        seen[f"{name}: logs"] = host.run(f"grep -rslE '{token}|{CANARY}' /tmp ~/vaeorch-runs || true")
    seen["home"] = "".join(file.read_text() for file in (laptop.folder / "out" / ".clusters").glob("*"))
    assert "whole-sweep" in seen["jobs"]
    assert [place for place, text in seen.items() if token in text or CANARY in text] == []
    assert [seen[f"{name}: logs"] for name in laptop.lab.hosts] == ["", "", ""]


def test_full_disks_are_told_with_their_host_and_nothing_is_lost(laptop, unbroken):
    where = ("--cluster", "gpus.yaml", "--out", "out")
    gpu3 = laptop.lab.hosts["gpu3"]
    begun = laptop.start("sweep", "faulty.yaml", "--name", "full", *where)
    until(lambda: laptop.events("full", "epoch"), ENDED_S)
    gpu3.run("cat /dev/zero > /tmp/filler 2> /dev/null || true")
    assert begun.code() == 2
    [line] = [line for line in begun.said().splitlines() if "No space left on device" in line]
    assert "gpu3" in line and "/tmp/" in line
    assert line.endswith("vaeorch resume full --out out --cluster gpus.yaml")
    gpu3.run("rm /tmp/filler")

    known = len(laptop.events("full", "epoch"))
    again = laptop.start("resume", "full", *where)
    until(lambda: len(laptop.events("full", "epoch")) > known, ENDED_S)
    laptop.head.run("cat /dev/zero > /var/filler 2> /dev/null || true")
    assert again.code() == 2
    [line] = [line for line in again.said().splitlines() if "No space left on device" in line]
    assert "gpu1" in line and "/vaeorch-runs/full" in line
    laptop.head.run("rm /var/filler")

    laptop.does("resume", "full", *where)
    home = laptop.folder / "out" / "full"
    assert metrics_of(home) == metrics_of(unbroken)
    assert decisions_of(home) == decisions_of(unbroken)


def test_two_workers_on_two_hosts_give_the_table_of_one(laptop, cluster):
    groups = SWEEP.replace("batch_size: 1", "batch_size: 32").replace("scheduler: {name: none}\n", ASHA)
    laptop.write("one.yaml", f"{groups}resources: {{cpus_per_worker: {cpus()}}}\n")
    laptop.write("two.yaml", f"{groups}resources: {{workers: 2, placement: STRICT_SPREAD}}\n")
    laptop.does("sweep", "one.yaml", "--name", "groups", "--out", "alone")
    laptop.does("sweep", "two.yaml", "--name", "groups", "--out", "out", "--cluster", "gpus.yaml")
    one, two = (laptop.folder / out / "groups" for out in ("alone", "out"))
    for mine, other in zip(decisions_of(two), decisions_of(one), strict=True):
        for name in ("last", "best"):
            assert mine.pop(name) == pytest.approx(other.pop(name), rel=ROUNDING)
        assert mine == other
    for trial in range(1, 5):
        for group in workers_of(layout.trial_folder(two, f"000{trial}")):
            assert len({worker["host"] for worker in group}) == 2


def test_trials_that_share_slots_have_the_numbers_of_each_alone_though_a_host_is_lost(laptop, cluster):
    many = SWEEP.replace("batch_size: 1", "batch_size: 16").replace("epochs: 4", "epochs: 100")
    many = many.replace("trials: 4", "trials: 12")
    laptop.write("own.yaml", f"{many}resources: {{trials_per_slot: 1}}\n")
    laptop.write("shared.yaml", f"{many}resources: {{trials_per_slot: 4}}\n")
    laptop.does("sweep", "own.yaml", "--name", "shared", "--out", "alone")
    sent = laptop.start("sweep", "shared.yaml", "--name", "shared", "--out", "out", "--cluster", "gpus.yaml")
    until(lambda: len({event["trial"] for event in laptop.events("shared", "epoch")}) == 12, ENDED_S)  # on all hosts
    laptop.lab.hosts["gpu3"].kill()
    assert sent.code() == 0, sent.said()
    laptop.lab.hosts["gpu3"].start()
    assert "node gpu3 lost" in sent.said()
    alone, home = (laptop.folder / out / "shared" for out in ("alone", "out"))
    [decision] = results_of(home)["stacking"]
    assert decision["stacked"]
    found, expected = metrics_of(home), metrics_of(alone)
    assert found.keys() == expected.keys() and len(found) == 12
    if decision["equal"]:
        assert found == expected and decisions_of(home) == decisions_of(alone)
    else:  # this machine rounds otherwise for a stack
        for mine, other in zip(decisions_of(home), decisions_of(alone), strict=True):
            assert mine["last"]["metrics"] == pytest.approx(other["last"]["metrics"], rel=1e-3)
