"""Whole ways from a folder through a bucket into training: the same numbers, and the same words of every command."""

import json
import shutil

import numpy as np
import pytest
import torch

from orchestrator.commands import resume as resuming
from orchestrator.space.plan import Plan
from orchestrator.storage.workspace import Workspace
from orchestrator.sweep.folder import claim
from orchestrator.sweep.open import Start, open_queue, slot_config
from orchestrator.sweep.reuse import made_with
from tests.support.small_runs import a_run
from tests.support.specs import spec_of
from trainables.common.errors import DataError
from trainables.data import Array, CelebA, Digits, Mnist, Sprites
from trainables.data.access import DataAccess
from trainables.data.loading import load_splits, open_splits, read_facts
from trainables.data.prepared import index_file
from trainables.data.remote.push import push
from trainables.train import train


@pytest.fixture
def digits(bucket, vaeorch, tmp_path):
    """The digits, prepared and pushed: what was said."""
    vaeorch("data", "prepare", "digits", "--data-root", tmp_path / "made")
    return vaeorch("data", "push", "digits", f"{bucket.root}/", "--data-root", tmp_path / "made")


def metrics(folder):
    lines = map(json.loads, (folder / "metrics.jsonl").read_text().splitlines())
    return [{name: value for name, value in line.items() if name != "seconds"} for line in lines]


def same(one, two):
    """Whether splits are equal, value by value."""
    pairs = [(getattr(one, split), getattr(two, split)) for split in ("train", "val")]
    indices = [torch.arange(len(part)) for part, _ in pairs]
    return all(
        torch.equal(a.batch(index), b.batch(index)) and (a.y is None or torch.equal(a.y, b.y))
        for (a, b), index in zip(pairs, indices, strict=True)
    )


def test_a_run_from_a_bucket_has_the_numbers_of_a_run_from_files_and_needs_the_server_once(bucket, digits, monkeypatch):
    code, out, err = digits
    assert err == ""
    place = f"{bucket.root}/prepared/{index_file.key(Digits())}"
    assert code == 0 and out.startswith(f"pushed  {place}  1,797 rows, 2 shards, ") and "3 files sent" in out

    local = [report.metrics for report in train(a_run())]
    bucket.asked.clear()
    assert [report.metrics for report in train(a_run(), bucket.root)] == local
    assert {method for method, _ in bucket.asked} == {"GET", "HEAD"} and bucket.count("arrow") == 2

    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    assert [report.metrics for report in train(a_run(), bucket.root)] == local


def test_train_takes_its_data_from_a_bucket_and_tells_of_it(bucket, digits, vaeorch, spec, tmp_path):
    for name, words in {"here": [], "there": ["--data-root", bucket.root]}.items():
        code, _, err = vaeorch("train", spec, "--out", tmp_path / "runs", "--name", name, *words)
        assert code == 0
    assert err.startswith("digits: fetching ") and len(err.splitlines()) == 1
    assert metrics(tmp_path / "runs" / "here") == metrics(tmp_path / "runs" / "there")
    bucket.asked.clear()
    assert vaeorch("train", spec, "--out", tmp_path / "runs", "--name", "again", *words)[2] == ""
    assert metrics(tmp_path / "runs" / "here") == metrics(tmp_path / "runs" / "again") and not bucket.asked


def test_a_plan_asks_the_bucket_nothing(bucket, vaeorch, spec, tmp_path):
    words = ["--out", tmp_path / "runs", "--data-root", bucket.root, "--dry-run"]
    assert vaeorch("sweep", spec, *words, "--set", "run.data={name: mnist}")[0] == 0
    assert not bucket.asked


@pytest.mark.parametrize("root", ["s3://b/p", None])
def test_a_sweep_tells_its_slots_of_its_root_and_is_resumed_with_it(tmp_path, monkeypatch, root):
    monkeypatch.setattr("orchestrator.sweep.open.fingerprints", lambda *values: {})  # there is no such bucket
    for check in ("check_data", "checked_changes"):
        monkeypatch.setattr(resuming, check, lambda *values: [])
    spec, seen = spec_of(tmp_path), {}
    plan, folder = Plan.of(spec), claim(tmp_path / "runs", spec)
    open_queue(plan, folder, Start(DataAccess(root), "a.yaml"))
    assert {slot_config(spec, folder, root, trial)["data_root"] for trial in plan.trials} == {root}
    assert made_with(root)["data_root"] == root

    monkeypatch.setattr(resuming, "prepare", lambda plan, workspace, *more: seen.update(root=workspace.data_root))
    monkeypatch.setattr(resuming, "run_and_report", lambda *words: None)
    resuming.resume("tiny", Workspace(tmp_path / "runs", None, "sqlite://"), False)
    assert seen == {"root": root}
    resuming.resume("tiny", Workspace(tmp_path / "runs", "s3://other", "sqlite://"), False)
    assert seen == {"root": "s3://other"}


def test_what_a_bucket_lacks_is_told_with_both_commands_that_bring_it_there(bucket, vaeorch, spec, tmp_path):
    words = ["--out", tmp_path / "runs", "--data-root", bucket.root, "--set", "run.data={name: mnist}"]
    for verb in ("train", "sweep"):
        code, _, err = vaeorch(verb, spec, *words)
        assert code == 2 and err == (
            f"{bucket.root}/prepared/{index_file.key(Mnist())}: no prepared set of 'mnist': where its files are run "
            f"'vaeorch data prepare mnist', then 'vaeorch data push mnist {bucket.root}'.\n"
        )
    assert not (tmp_path / "runs").exists()
    with pytest.raises(DataError, match=f"'vaeorch data push celeba --set signed=true --set crop=178 {bucket.root}'"):
        open_splits(CelebA(crop=178, signed=True, train_rows=9), bucket.root)


@pytest.mark.parametrize("dataset", [Digits(val_rows=9), Sprites(train_rows=20, val_rows=20)])
def test_sets_that_need_no_files_are_had_from_a_bucket_without_them(bucket, dataset):
    assert same(load_splits(dataset, bucket.root), load_splits(dataset))


def test_your_own_array_comes_from_the_bucket_where_its_file_is_not(bucket, tmp_path):
    path = tmp_path / "x.npy"
    np.save(path, np.random.default_rng(0).integers(0, 256, (50, 3, 8, 8)).astype(np.uint8))
    dataset = Array(path=str(path))
    there = load_splits(dataset)
    assert same(load_splits(dataset, bucket.root), there)

    from trainables.data.prepared.prepare import prepare

    push(prepare(dataset, tmp_path, tmp_path / "made"), bucket.root)
    path.unlink()
    assert same(load_splits(dataset, bucket.root), there) and read_facts(dataset, bucket.root) == there.facts()


def test_the_cache_is_mended_after_it_was_damaged(bucket, digits, tmp_path):
    there = load_splits(Digits(), bucket.root)
    cached = tmp_path / "cache" / "s3" / bucket.name / "some/sets/prepared" / index_file.key(Digits())
    (cached / "train-00000.arrow").unlink()  # it is mapped: another file must take its place
    shutil.copy(cached / "val-00000.arrow", cached / "train-00000.arrow")
    assert same(load_splits(Digits(), bucket.root), there)


def test_list_and_info_tell_what_a_bucket_has(bucket, digits, vaeorch):
    lines = vaeorch("data", "list", "--data-root", bucket.root)[1].splitlines()
    counts = {line.split()[0]: line[lines[0].index("PREPARED") :].split()[0] for line in lines[1:]}
    assert counts.pop("digits") == "1" and set(counts.values()) == {"no"}
    place = f"{bucket.root}/prepared/{index_file.key(Digits())}"
    assert f"prepared  {place}, 0.1 MiB" in vaeorch("data", "info", "digits", "--data-root", bucket.root)[1]
    assert f"not in {bucket.root}/prepared/mnist-" in vaeorch("data", "info", "mnist", "--data-root", bucket.root)[1]


def test_verify_checks_what_came_from_a_bucket(bucket, digits, vaeorch, tmp_path):
    code, out, _ = vaeorch("data", "verify", "digits", "--data-root", bucket.root)
    assert code == 0 and out.startswith(f"sound  {tmp_path}/cache/s3/{bucket.name}/some/sets/prepared/digits-")
    code, _, err = vaeorch("data", "verify", "sprites", "--data-root", bucket.root)
    assert code == 2 and "no finished set: push it first." in err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["prepare", "digits", "--data-root", "s3://b/p"], "s3://b/p: sets are prepared in folders"),
        (["prepare", "digits", "--to", "s3://b/p"], "s3://b/p: sets are prepared in folders"),
        (["push", "digits", "s3://b/p", "--data-root", "s3://b/q"], "pushed from a folder (--data-root) to s3://"),
        (["push", "digits", "folder"], "pushed from a folder (--data-root) to s3://bucket/prefix."),
        (["push", "digits", "s3://b/p", "--data-root", "nowhere"], "no finished set"),
        (["push", "mnits", "s3://b/p"], "unknown data set 'mnits'. Did you mean 'mnist'?"),
        (["list", "--data-root", "s3://"], "s3://: no plain path in a bucket: write s3://bucket/prefix."),
    ],
)
def test_mistakes_are_one_line(bucket, vaeorch, words, said):
    code, out, err = vaeorch("data", *words)
    assert (code, out) == (2, "") and said in err and len(err.splitlines()) == 1
    assert not bucket.asked
