"""Snapshots of a sweep's folder in a bucket: each is a state to go on from, whatever is lost, and whenever."""

import json
import shutil
from pathlib import Path

import pytest

from orchestrator.errors import UserError
from orchestrator.storage import blobs, stored_sweep
from orchestrator.storage import snapshots as snapshots_module
from orchestrator.storage.snapshots import Snapshots
from orchestrator.storage.stored_sweep import Manifest, StoredSweep
from tests.support.bucket_faults import Fault
from tests.support.stored_sweeps import keep, outcome_of, train_all
from trainables.data.remote import s3


@pytest.fixture
def often(monkeypatch):
    """No time passes between snapshots."""
    monkeypatch.setattr(snapshots_module, "INTERVAL_S", 0.0)


@pytest.fixture
def head(bucket, tmp_path):
    """Makes the snapshots of a sweep `a` on a head with this name. `said` has its lines."""

    def made(name: str = "head") -> Snapshots:
        said: list[str] = []
        (tmp_path / name).mkdir(exist_ok=True)
        snapshots = Snapshots(bucket.root, tmp_path / name / "a", said.append)
        snapshots.said = said
        return snapshots

    return made


@pytest.fixture
def started(head, often) -> Snapshots:
    """Of a folder with two files, begun and kept once."""
    snapshots = head()
    snapshots.folder.mkdir()
    (snapshots.folder / "spec.yaml").write_text("name: a\n")
    (snapshots.folder / "journal.jsonl").write_text('{"event":"sweep"}\n')
    snapshots.begin()
    keep(snapshots)
    return snapshots


def objects(bucket) -> dict[str, bytes]:
    """All objects of the sweep, by their name below it."""
    client, start = bucket.direct, f"{bucket.root.partition(bucket.name)[2].strip('/')}/a/"
    keys = [each["Key"] for each in client.list_objects_v2(Bucket=bucket.name).get("Contents", ())]
    return {
        key.removeprefix(start): client.get_object(Bucket=bucket.name, Key=key)["Body"].read()
        for key in keys
        if key.startswith(start)
    }


def files_in(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): path.read_text()
        for path in folder.rglob("*")
        if path.is_file() and path.name != "heads.txt"
    }


def test_a_resume_from_any_snapshot_ends_as_the_unbroken_sweep(bucket, head, often, tmp_path, monkeypatch, fast_disk):
    """A snapshot after each step: from every single one another head goes on, with another path."""
    monkeypatch.setattr(stored_sweep, "KEPT", 10**6)
    train_all(tmp_path / "unbroken" / "a")
    first = head()
    first.folder.mkdir()
    first.begin()
    train_all(first.folder, lambda: keep(first))
    first.close()
    expected = outcome_of(tmp_path / "unbroken" / "a")
    assert outcome_of(first.folder) == expected
    names = first.stored.manifests()
    assert len(names) == 8 and first.said == []
    for number, name in enumerate(names):
        other = head(f"other{number}")
        monkeypatch.setattr(other.stored, "manifests", lambda name=name: [name])
        other.restore()
        spool = (other.folder / "spool").glob("*.jsonl")
        assert all(path.read_text().endswith("\n") for path in spool)
        train_all(other.folder)
        assert outcome_of(other.folder) == expected, name
        shutil.rmtree(other.folder)


def test_what_the_bucket_has_is_not_uploaded_again(bucket, started):
    before = bucket.count("/blobs/", "PUT")
    with (started.folder / "journal.jsonl").open("a") as file:
        file.write('{"event":"began"}\n')
    (started.folder / "copy.yaml").write_text("name: a\n")  # an equal content
    keep(started)
    assert bucket.count("/blobs/", "PUT") == before + 1


def test_a_driver_that_goes_on_in_the_same_folder_uploads_only_what_is_new(bucket, head, started):
    before = bucket.count("/blobs/", "PUT")
    again = head()
    again.restore()
    again.begin()
    keep(again)
    assert again.head == 2 and bucket.count("/blobs/", "PUT") == before


def test_a_file_that_grows_during_the_upload_is_kept_as_it_was(head, started, monkeypatch):
    journal = started.folder / "journal.jsonl"
    journal.write_text(journal.read_text() + '{"event":"began"}\n')
    true, before = started._kept, journal.read_text()

    def grown(*values):
        with journal.open("a") as file:
            file.write('{"event":"late"}\n')
        return true(*values)

    monkeypatch.setattr(started, "_kept", grown)
    keep(started)
    other = head("other")
    other.restore()
    assert (other.folder / "journal.jsonl").read_text() == before


def test_snapshots_are_a_minute_apart_and_the_last_one_is_made_at_once(bucket, started, monkeypatch):
    monkeypatch.setattr(snapshots_module, "INTERVAL_S", 60.0)
    (started.folder / "results.json").write_text("{}")
    keep(started)
    assert len(started.stored.manifests()) == 1
    started.close()
    assert "results.json" in started.stored.manifest(started.stored.manifests()[0]).files


def test_of_old_snapshots_the_last_few_are_kept_and_all_that_they_name(bucket, started, monkeypatch):
    monkeypatch.setattr(stored_sweep, "UNNAMED_S", -60.0)
    monkeypatch.setattr(snapshots_module, "UNNAMED_S", 0.0)
    for number in range(6):
        (started.folder / "results.json").write_text(f"{number}")
        keep(started)
    found = objects(bucket)
    manifests = [name for name in found if name.startswith("manifests/")]
    named = {file["blob"] for name in manifests for file in json.loads(found[name])["files"].values()}
    assert len(manifests) == 3
    assert {name for name in found if name.startswith("blobs/")} == named
    assert {found[name] for name in named} == {b"name: a\n", b'{"event":"sweep"}\n', b"3", b"4", b"5"}


def test_a_blob_that_is_new_stays_although_no_snapshot_names_it(bucket, started):
    blob = "blobs/000001/just-uploaded"
    started.stored.bucket.write(blob, b"by a node")
    (started.folder / "results.json").write_text("{}")
    started.removed_s = float("-inf")
    keep(started)
    assert blob in objects(bucket)


def test_weights_that_nodes_have_uploaded_stay_as_long_as_a_snapshot_needs_them(bucket, head, started, monkeypatch):
    """The folder has a reference to them, and the snapshot does not carry them."""
    monkeypatch.setattr(stored_sweep, "UNNAMED_S", -60.0)
    monkeypatch.setattr(snapshots_module, "UNNAMED_S", 0.0)
    trial = started.folder / "trials" / "0001"
    trial.mkdir(parents=True)
    for epoch in range(1, 6):
        (trial / "best.pt").write_bytes(b"model %d" % epoch)
        blobs.upload(trial / "best.pt", started.place)
        (trial / "best.pt").unlink()
        keep(started)
    weights = {content for content in objects(bucket).values() if content.startswith(b"model")}
    assert weights == {b"model 3", b"model 4", b"model 5"}
    other = head("other")
    other.restore()
    there = other.folder / "trials" / "0001" / "best.pt"
    assert not there.exists() and blobs.exists(there)
    assert blobs.here(there).read_bytes() == b"model 5"


@pytest.mark.parametrize("where", ["/blobs/", "/manifests/"])
def test_a_kill_before_a_manifest_is_whole_changes_nothing(bucket, head, started, monkeypatch, where):
    """The upload of a blob, or of the manifest, never comes to its end."""
    before = files_in(started.folder)
    (started.folder / "results.json").write_text("{}")
    monkeypatch.setattr(s3, "ATTEMPTS", 1)
    bucket.faults.append(Fault("reset", where, times=10**6, method="PUT"))
    keep(started)
    bucket.faults.clear()
    other = head("other")
    other.restore()
    assert files_in(other.folder) == before


def test_a_damaged_manifest_or_a_missing_blob_leads_to_the_snapshot_before(bucket, head, started):
    (started.folder / "results.json").write_text("1")
    keep(started)
    good = files_in(started.folder)
    (started.folder / "results.json").write_text("2")
    (started.folder / "new.json").write_text("3")
    keep(started)
    newest = started.stored.manifest(started.stored.manifests()[0])
    started.stored.bucket.remove([newest.files["results.json"].blob])
    started.stored.bucket.write("manifests/000001-00000009.json", newest.written()[:-20])
    other = head("other")
    other.restore()
    assert files_in(other.folder) == good
    half, lost, restored = other.said
    assert "manifests/000001-00000009.json: is damaged" in half and "is missing" in lost
    assert restored.endswith("manifests/000001-00000002.json")


def test_a_blob_with_another_content_is_noticed(head, started):
    newest = started.stored.manifest(started.stored.manifests()[0])
    started.stored.bucket.write(newest.files["spec.yaml"].blob, b"name: b\n")
    with pytest.raises(UserError, match=r"another(.|\n)*has no whole snapshot of the sweep"):
        head("other").restore()


def test_a_manifest_that_leads_out_of_the_folder_is_refused(head, started):
    newest = started.stored.manifest(started.stored.manifests()[0])
    evil = Manifest(1, 5, {"../evil": newest.files["spec.yaml"]})
    started.stored.bucket.write(evil.name, evil.written())
    other = head("other")
    other.restore()
    assert not (other.folder.parent / "evil").exists() and "is damaged at ../evil" in other.said[0]


def test_an_old_head_that_goes_on_is_never_taken_over_a_new_one(bucket, head, started):
    new = head("new")
    new.restore()
    new.begin()
    (new.folder / "results.json").write_text("new")
    keep(new)
    (started.folder / "results.json").write_text("old")
    late = Manifest(1, 99, {"results.json": new.stored.manifest(new.stored.manifests()[0]).files["spec.yaml"]})
    started.stored.bucket.write(late.name, late.written())  # its upload had begun before
    before = objects(bucket)
    keep(started)
    started.close()
    uploaded = objects(bucket).keys() - before.keys()
    assert [name for name in uploaded if name.startswith("manifests/")] == []
    assert before.keys() - objects(bucket).keys() == set()
    with pytest.raises(UserError, match="another head goes on with this sweep"):
        started.due()
    other = head("other")
    other.restore()
    assert (other.folder / "results.json").read_text() == "new"


def test_a_new_head_is_claimed_before_anything_is_fetched(head, started, monkeypatch):
    """Or the old one would remove meanwhile what is fetched."""
    new = head("new")
    heads = []
    true = new.stored.bucket.fetch
    monkeypatch.setattr(new.stored.bucket, "fetch", lambda *values: [heads.append(new.stored.head()), true(*values)])
    new.restore()
    assert set(heads) == {2}


def test_two_heads_that_begin_at_once_have_different_numbers(head, started):
    one, two = StoredSweep(*_of(started)), StoredSweep(*_of(started))
    two.head = lambda: 1  # it has looked before the other one wrote
    assert one.claim("one") == 2
    calls = iter([1, 2])
    two.head = lambda: next(calls)
    assert two.claim("two") == 3


def _of(snapshots: Snapshots) -> tuple[str, str]:
    address, _, name = str(snapshots.stored.place).rpartition("/")
    return address, name


def test_a_folder_that_has_what_came_after_the_last_snapshot_is_not_replaced(head, started):
    (started.folder / "results.json").write_text("newer")
    again = head()
    again.restore()
    assert (again.folder / "results.json").read_text() == "newer" and again.said == []


def test_a_folder_that_another_head_has_gone_on_from_is_set_aside(head, started):
    new = head("new")
    new.restore()
    new.begin()
    (new.folder / "results.json").write_text("new")
    keep(new)
    again = head()
    again.restore()
    assert (again.folder / "results.json").read_text() == "new"
    [aside] = again.folder.parent.glob("a-before-*")
    assert (aside / "spec.yaml").exists() and str(aside) in again.said[0]


def test_a_bucket_that_is_away_is_told_once_and_tried_again(bucket, started, monkeypatch):
    monkeypatch.setattr(s3, "ATTEMPTS", 1)
    bucket.faults.append(Fault("403", "", times=10**6, method="PUT"))
    (started.folder / "results.json").write_text("{}")
    for _ in range(3):
        keep(started)
    [line] = started.said
    assert line.startswith("unsaved      no snapshot could be made, which is tried again: s3://") and "refused" in line
    started.close()
    assert started.said[1].startswith("unsaved ") and str(started.folder) in started.said[1]
    bucket.faults.clear()
    keep(started), keep(started)
    assert started.said[2] == "unsaved      nothing any more: snapshots are made again"
    assert "results.json" in started.stored.manifest(started.stored.manifests()[0]).files


def test_a_folder_that_cannot_be_held_is_told_and_the_sweep_goes_on(started, monkeypatch):
    def full(*values):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(snapshots_module, "freeze", full)
    keep(started), keep(started)
    assert "No space left on device" in started.said[0] and not list(started.folder.glob(".snapshot*"))


def test_a_name_that_the_bucket_has_already_is_refused_with_its_cure(started):
    again = "vaeorch resume a --cluster clusters/aws.yaml"
    with pytest.raises(UserError, match=rf"/a: holds another sweep. Go on with it: {again}; or choose another --name"):
        started.stored.refuse_another(again)
    StoredSweep(_of(started)[0], "b").refuse_another(again)
