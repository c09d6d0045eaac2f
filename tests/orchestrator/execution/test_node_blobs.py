"""Weights of trials that nodes put into a bucket themselves: none pass the driver's node. Without Ray."""

import shutil
from contextlib import suppress
from itertools import count, islice
from pathlib import Path

import pytest

from orchestrator.clusters import lease
from orchestrator.clusters.trial_store import TrialStore
from orchestrator.evaluation.models import TrainedModel
from orchestrator.execution.node_folder import NodeFolder
from orchestrator.execution.workers import fetched
from orchestrator.storage import blobs
from orchestrator.storage.trial_folder import results
from tests.support.bucket_faults import Fault
from tests.support.small_runs import a_run
from tests.support.trial_folders import config_of, folder_in, lines_in, numbers
from tests.support.trial_stores import Handle, files_in, reachable, write
from trainables.data.remote import s3

EPOCHS = 3
TRIAL = "0001"
WEIGHTS = {"checkpoint.pt", "checkpoint.previous.pt", "best.pt"}
FORMS = [(True, True), (False, True), (True, False)]  # whether the weights of two commits are in the bucket


def config(bucket=None, minutes: float = 0.0) -> dict:
    run = a_run(epochs=EPOCHS, data={"name": "digits", "train_rows": 64, "val_rows": 32})
    place = {"store": "trials", "checkpoint_minutes": minutes, "last_epoch": EPOCHS}
    place |= {"blobs": f"{bucket.root}/a/blobs/000001"} if bucket else {}
    return config_of(run, pictures_every=1, objective={"metric": "val/elbo", "mode": "max"}) | place


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> list[Path]:
    """What a trial has after each of its epochs, trained beside the driver."""
    path, kept = tmp_path_factory.mktemp("whole"), tmp_path_factory.mktemp("after")
    return [shutil.copytree(path, kept / str(told["epoch"])) for told in results(config(), folder_in(path))]


@pytest.fixture
def home(tmp_path) -> Path:
    return tmp_path / "home" / "trials" / TRIAL


@pytest.fixture
def handle(tmp_path, monkeypatch) -> Handle:
    (tmp_path / "home").mkdir()
    return reachable(TrialStore(str(tmp_path / "home")), monkeypatch)


@pytest.fixture
def node(handle, tmp_path):
    """Makes the trial's folder on another node."""
    number = count()
    return lambda trial: NodeFolder(trial, tmp_path / f"node{next(number)}")


def trained(node, epochs: int, trial: dict) -> NodeFolder:
    folder = node(trial)
    list(islice(results(trial, folder), epochs))
    return folder


def at_home(home: Path) -> dict[str, bytes]:
    """The files at home, once those in the bucket have taken the place of the references to them."""
    for name in WEIGHTS:
        blobs.here(home / name)
    return files_in(home)


def bytes_passed(handle: Handle) -> int:
    """What came through the store of trials, in both directions."""
    written = sum(len(values[4]) for name, values in handle.calls if name == "write")
    return written + sum(values[2] for name, values in handle.calls if name == "read")


def test_no_weights_pass_the_drivers_node(bucket, handle, node, whole, home):
    """The trial is trained in two pieces on two nodes, and its checkpoint travels after every epoch."""
    trained(node, 2, config(bucket))
    told = list(results(config(bucket), node(config(bucket))))
    assert [result["epoch"] for result in told] == [2, 3] and "notice" not in told[0]
    assert files_in(home).keys() & WEIGHTS == set()
    small = sum(len(data) for name, data in files_in(whole[-1]).items() if name not in WEIGHTS)
    weights = (whole[-1] / "checkpoint.pt").stat().st_size
    passed = bytes_passed(handle)
    assert passed < 3 * small + 4000
    handle.calls.clear()
    shutil.rmtree(home)
    trained(node, 2, config())
    list(results(config(), node(config())))
    assert bytes_passed(handle) > passed + 4 * weights  # three checkpoints up, one down, and best models


def test_a_trial_with_its_weights_in_a_bucket_ends_as_any_other(bucket, node, whole, home):
    trained(node, 2, config(bucket))
    list(results(config(bucket), node(config(bucket))))
    assert numbers(lines_in(home)) == numbers(lines_in(whole[-1]))
    mine, others = at_home(home), files_in(whole[-1])
    assert mine.keys() == others.keys()
    assert mine["best.pt"] == others["best.pt"]


@pytest.mark.parametrize(("before", "then"), FORMS)
@pytest.mark.parametrize("after", range(9))
def test_a_kill_within_a_commit_leaves_what_a_trial_goes_on_from(bucket, handle, home, whole, after, before, then):
    """Whether the weights that were there, and those that come, are in the bucket or not."""
    store = handle.store
    token = store.lease(TRIAL)["token"]
    commit(store, token, whole[0], bucket if before else None)
    left, whole_commit = [after], False

    def mortal(true):
        def step(*values, **more):
            if not left[0]:
                raise Killed
            left[0] -= 1
            return true(*values, **more)

        return step

    with pytest.MonkeyPatch.context() as patch, suppress(Killed):
        patch.setattr(Path, "replace", mortal(Path.replace))
        commit(store, token, whole[1], bucket if then else None)
        whole_commit = True
    first, *_ = list(results(config(), folder_in(home)))
    assert first["epoch"] == (2 if whole_commit else 1) and "notice" not in first
    assert numbers(lines_in(home)) == numbers(lines_in(whole[2]))
    assert at_home(home)["best.pt"] == files_in(whole[2])["best.pt"]


class Killed(BaseException):
    """Stands for the end of the store's process."""


def commit(store: TrialStore, token: int, node: Path, bucket) -> None:
    """Send what a node has, with its weights to a bucket if there is one."""
    names = []
    for name in files_in(node).keys() - {"checkpoint.previous.pt"}:
        inside = bucket and name in WEIGHTS
        names += [blobs.upload(node / name, f"{bucket.root}/a/blobs/000001").name] if inside else []
        names += [] if inside or name.endswith(".blob") else [name]
    store.commit(TRIAL, token, write(store, TRIAL, token, node, names))


def test_of_weights_there_is_one_form_alone(bucket, handle, home, whole):
    token = handle.store.lease(TRIAL)["token"]
    forms = []
    for epoch, inside in enumerate((False, True, False), start=0):
        commit(handle.store, token, whole[epoch], bucket if inside else None)
        forms.append({name for name in files_in(home) if name.removesuffix(".blob") in WEIGHTS})
    assert forms == [
        {"best.pt", "checkpoint.pt"},
        {"best.pt.blob", "checkpoint.pt.blob", "checkpoint.previous.pt"},
        {"best.pt", "checkpoint.pt", "checkpoint.previous.pt.blob"},
    ]


def test_weights_that_the_bucket_does_not_take_go_to_the_drivers_disk_and_that_is_told(bucket, node, home, monkeypatch):
    monkeypatch.setattr(s3, "ATTEMPTS", 1)
    folder = node(config(bucket))
    running = results(config(bucket), folder)
    bucket.faults.append(Fault("403", "/blobs/", times=10**6, method="PUT"))
    assert "refused" in next(running)["notice"]
    assert {"checkpoint.pt", "best.pt"} <= files_in(home).keys()
    bucket.faults.clear()
    assert "notice" not in next(running)
    assert "checkpoint.pt.blob" in files_in(home) and "checkpoint.pt" not in files_in(home)


@pytest.mark.parametrize("lost", [1, 2])
def test_weights_that_are_missing_give_way_to_those_before_and_that_is_told(bucket, node, home, whole, lost):
    trained(node, 2, config(bucket))
    for name in ("checkpoint.pt.blob", "checkpoint.previous.pt.blob")[:lost]:
        key = blobs.Reference.read(home / name).blob.partition(f"{bucket.name}/")[2]
        bucket.direct.delete_object(Bucket=bucket.name, Key=key)
    told = list(results(config(bucket), node(config(bucket))))
    assert [result["epoch"] for result in told] == list(range(1, EPOCHS + 1))
    assert told[0]["notice"].endswith("is missing. The trial goes on from what was before.")
    assert numbers(lines_in(home)) == numbers(lines_in(whole[-1]))


def test_a_bucket_that_is_away_is_waited_for(bucket, node, home, monkeypatch):
    trained(node, 1, config(bucket))
    monkeypatch.setattr(s3, "ATTEMPTS", 1)
    monkeypatch.setattr(blobs, "PAUSE_S", 0.0)
    monkeypatch.setattr("orchestrator.storage.bucket.ATTEMPTS", 1)
    bucket.faults.append(Fault("503", "/blobs/", times=3))
    bucket.faults.append(Fault("503", "/blobs/", times=3, method="HEAD"))
    blobs.bucket.cache_clear()
    assert next(results(config(bucket), node(config(bucket))))["epoch"] == 1


def test_followers_of_a_group_get_the_checkpoint_from_the_bucket(bucket, handle, node, home, tmp_path, monkeypatch):
    trained(node, 1, config(bucket))
    monkeypatch.setattr("orchestrator.execution.workers.store_of", lambda name: handle)
    copy = fetched({"store": "trials", "id": TRIAL}, "checkpoint.pt", tmp_path)
    assert copy.read_bytes() == blobs.here(home / "checkpoint.pt").read_bytes()


def test_a_model_in_a_bucket_is_known_by_the_checksum_of_its_file(bucket, handle, node, home, whole, tmp_path):
    list(results(config(bucket), node(config(bucket))))
    model = TrainedModel(TRIAL, home, home / "best.pt", TRIAL)
    assert model.digest == TrainedModel(TRIAL, whole[-1], whole[-1] / "best.pt", TRIAL).digest
    assert not (home / "best.pt").exists()
    lease.fetch(handle, f"trials/{TRIAL}/best.pt", tmp_path / "best.pt")
    assert (tmp_path / "best.pt").read_bytes() == (whole[-1] / "best.pt").read_bytes()
