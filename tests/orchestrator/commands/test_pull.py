"""What comes home from a store where the head is gone, and weights that are in a store."""

import shutil
from pathlib import Path

import pytest

from orchestrator.commands.driver import Job
from orchestrator.storage import blobs, locks
from orchestrator.storage.snapshots import Snapshots
from tests.support.fake_clusters import MADE_BEFORE, a_sweep


def test_where_the_head_is_gone_pull_brings_the_newest_snapshot_home(world, there, here, tmp_path, bucket):
    world.store, world.drive = bucket.root, a_sweep
    there("sweep", "tiny.yaml", "--detach")
    [job] = world.jobs.values()
    assert job.store == bucket.root
    snapshots = Snapshots(job.store, world.out / "tiny", print)
    snapshots.begin()
    snapshots.close()
    world.away = True
    shutil.rmtree(world.out)
    code, out, said = here("cluster", "pull", "tiny")
    home = (tmp_path / "runs" / "tiny").resolve()
    assert (code, said) == (0, "")
    assert out.splitlines() == [
        "note         the head does not answer: http://far: does not answer.",
        f"{home} has what {bucket.root}/tiny/manifests/000001-00000001.json has.",
    ]
    assert list(home.rglob("best.pt")) and not list(home.rglob("checkpoint*.pt"))
    assert here("results", "tiny")[0] == 0
    assert here("cluster", "pull", "tiny", "--all")[0] == 0 and list(home.rglob("checkpoint.pt"))


def in_the_bucket(folder: Path, root: str) -> list[Path]:
    """Put the weights of a sweep there, as nodes do, and references in their place."""
    files = [file for file in folder.rglob("*.pt") if blobs.upload(file, f"{root}/tiny/blobs/000001")]
    for file in files:
        file.unlink()
    return files


@pytest.mark.parametrize("whole", [False, True])
def test_weights_in_the_store_come_home_as_files(world, there, here, tmp_path, bucket, whole):
    world.store, world.drive = bucket.root, lambda job: [a_sweep(job), in_the_bucket(world.out / "tiny", bucket.root)]
    code, _, said = there("sweep", "tiny.yaml")
    home = tmp_path / "runs" / "tiny"
    assert (code, said) == (0, "")
    here("cluster", "pull", "tiny", *["--all"] * whole)
    found = {str(file.relative_to(home)) for file in home.rglob("*.pt")}
    sent = {str(file.relative_to(MADE_BEFORE)) for file in MADE_BEFORE.rglob("*.pt")}
    assert found == {name for name in sent if whole or name.endswith("best.pt")} != set()
    assert all((home / name).read_bytes() == (MADE_BEFORE / name).read_bytes() for name in found)
    assert here("results", "tiny")[0] == 0


def test_weights_that_cannot_be_fetched_from_here_are_told_with_where_they_are(
    world, there, tmp_path, bucket, monkeypatch
):
    def driven(job: Job) -> None:
        a_sweep(job)
        in_the_bucket(world.out / "tiny", bucket.root)
        monkeypatch.delenv("AWS_ACCESS_KEY_ID"), monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
        blobs.bucket.cache_clear()

    world.store, world.drive = bucket.root, driven
    code, out, said = there("sweep", "tiny.yaml")
    assert (code, said) == (0, "")
    [line] = [line for line in out.splitlines() if "stay" in line]
    assert line.startswith(f"note         the models stay in the cluster's store: {bucket.root}/tiny/blobs/")
    assert "no credentials" in line


def test_references_stay_where_a_driver_works_with_them(world, there, here, tmp_path, bucket):
    """As in a folder that is the driver's own."""
    world.store, world.drive = bucket.root, lambda job: [a_sweep(job), in_the_bucket(world.out / "tiny", bucket.root)]
    there("sweep", "tiny.yaml", "--detach")
    home = tmp_path / "runs" / "tiny"
    home.mkdir(parents=True)
    with locks.driver(home):
        code, out, said = here("cluster", "pull", "tiny")
    assert (code, said) == (0, "") and list(home.rglob("best.pt.blob")) and not list(home.rglob("*.pt"))
    assert "note         the models stay in the cluster's store: " in out and "another process trains" in out


def test_where_the_head_is_gone_and_there_is_no_store_pull_tells_that(world, there, here):
    there("sweep", "tiny.yaml", "--detach")
    world.away = True
    assert here("cluster", "pull", "tiny")[::2] == (2, "http://far: does not answer.\n")
