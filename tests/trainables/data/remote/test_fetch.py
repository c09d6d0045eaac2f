"""Prepared sets in a bucket: fetched once per machine, whole or not at all, whatever the server and the disk do."""

import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter, namedtuple
from pathlib import Path

import pytest

from tests.support import ROOT, warm
from tests.support.bucket_faults import FOR_EVER, Fault, a_set, content_of
from tests.support.waiting import until
from trainables.common.errors import DataError
from trainables.common.roots import in_bucket, recorded, root_of
from trainables.data.prepared.index_file import FORMAT, written
from trainables.data.remote import s3
from trainables.data.remote.fetch import fetched, sets, shards_in
from trainables.data.remote.s3 import BucketPath

SIZES = {"train-0.arrow": 300_000, "train-1.arrow": 200_000, "train-2.arrow": 1, "val-0.arrow": 100_000}
TOTAL = sum(SIZES.values())
FETCH = """
import sys
from trainables.data.remote import fetch, s3
s3.BLOCK_BYTES, s3.PAUSE_S, fetch.AT_ONCE = 20_000, 0.01, int(sys.argv[3])
print(fetch.fetched(sys.argv[1], sys.argv[2]))
"""


@pytest.fixture
def there(bucket, tmp_path):
    """A set that lies in the bucket: its folder."""
    folder = a_set(tmp_path / "made", SIZES)
    bucket.put(folder)
    return folder


def refusal(root, key="random-0"):
    """What is said where a set cannot be had: one line, a sentence."""
    with pytest.raises(DataError) as caught:
        fetched(root, key)
    text = str(caught.value)
    assert "\n" not in text and text.endswith(".") and len(text) < 400
    return text


def fetching(root, key="random-0", at_once=4):
    """Another process that fetches."""
    words = [sys.executable, "-c", FETCH, root, key, str(at_once)]
    return warm.Popen(words, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def asked_once(bucket):
    """How often each object was read."""
    return Counter(Path(path).name for method, path in bucket.asked if method == "GET")


@pytest.mark.parametrize(
    ("text", "root"),
    [
        ("s3://b/p/q/", "s3://b/p/q"),
        ("s3://b", "s3://b"),
        ("s3://", "s3://"),
        ("data/", Path("data")),
        ("s3:/b", Path("s3:/b")),
        (None, None),
        ("", None),
        (Path("x"), Path("x")),
    ],
)
def test_a_root_is_a_folder_or_a_place_in_a_bucket_whose_slashes_are_kept(text, root):
    assert root_of(text) == root and type(root_of(text)) is type(root)
    assert in_bucket(root) == isinstance(root, str)
    assert root_of(recorded(root)) == (root.resolve() if isinstance(root, Path) else root)


@pytest.mark.parametrize(
    "root", ["s3://", "s3:///p", "s3://b//p", "s3://b/../p", "s3://../p", "s3://b/./p", "s3://b_@/p"]
)
def test_an_address_that_names_no_plain_place_is_told(root):
    with pytest.raises(DataError, match="write s3://bucket/prefix"):
        BucketPath.of(root)


def test_a_place_is_a_bucket_and_a_path_in_it(monkeypatch):
    monkeypatch.setenv("VAEORCH_CACHE", "/cache")
    assert str(BucketPath.of("s3://b/p") / "x") == "s3://b/p/x" and str(BucketPath.of("s3://b") / "x") == "s3://b/x"
    assert (BucketPath.of("s3://b/p") / "x").cached == Path("/cache/s3/b/p/x")
    monkeypatch.delenv("VAEORCH_CACHE")
    assert BucketPath.of("s3://b").cached == Path.home() / ".cache" / "vaeorch" / "s3" / "b"


def test_a_set_comes_whole_each_object_being_read_once_and_then_needs_no_server(bucket, there, monkeypatch):
    told = []
    folder = fetched(bucket.root, there.name, lambda *said: told.append(said))
    assert content_of(folder) == content_of(there)
    assert asked_once(bucket) == dict.fromkeys([*SIZES, "index.json"], 1)
    assert told[0] == (0, TOTAL) and told[-1] == (TOTAL, TOTAL) and {of for _, of in told} == {TOTAL}
    assert told == sorted(told)

    bucket.asked.clear()
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    assert fetched(bucket.root, there.name) == folder
    assert not bucket.asked


def test_a_large_file_comes_in_blocks_that_are_one_request_each(bucket, there, monkeypatch):
    monkeypatch.setattr(s3, "BLOCK_BYTES", 100_000)
    assert content_of(fetched(bucket.root, there.name)) == content_of(there)
    assert asked_once(bucket)["train-0.arrow"] == 3


def test_a_bucket_without_the_set_or_with_an_unfinished_one_has_none(bucket, there):
    assert fetched(bucket.root, "other") is None
    bucket.direct.delete_object(Bucket=bucket.name, Key=f"some/sets/prepared/{there.name}/index.json")
    assert fetched(bucket.root, there.name) is None
    assert sets(bucket.root) == {}


def test_the_sets_of_a_bucket_are_listed_with_their_sizes(bucket, there, tmp_path):
    other = a_set(tmp_path / "made", {f"{number}.arrow": number for number in range(3)}, seed=1)
    bucket.put(other)
    sizes = {folder.name: sum(map(len, content_of(folder).values())) for folder in (there, other)}
    assert sets(bucket.root) == sizes


@pytest.mark.parametrize("kind", ["reset", "short", "flip", "503", "silent"])
@pytest.mark.parametrize("where", ["train-0", "index.json"])
def test_what_goes_wrong_on_the_way_is_tried_again(bucket, there, monkeypatch, kind, where):
    monkeypatch.setattr(s3, "QUIET_S", 1.0)
    bucket.faults = [Fault(kind, where, times=2 if kind != "silent" else 1)]
    told = []
    folder = fetched(bucket.root, there.name, lambda *said: told.append(said))
    assert content_of(folder) == content_of(there)
    assert bucket.count(where) == (2 if kind == "silent" else 3)
    assert told[-1] == (TOTAL, TOTAL) and all(0 <= done <= of for done, of in told)


@pytest.mark.parametrize("kind", ["reset", "short", "flip", "503"])
def test_what_goes_wrong_for_good_is_told_in_one_line_and_leaves_nothing_that_could_be_read(bucket, there, kind):
    bucket.faults = [Fault(kind, "train-0", FOR_EVER)]
    said = refusal(bucket.root)
    assert said.startswith(f"{bucket.root}/prepared/random-0/train-0.arrow: ") and "(4 attempts)" in said
    assert bucket.count("train-0") == 4
    folder = (BucketPath.of(bucket.root) / "prepared/random-0").cached
    assert {path.name for path in folder.iterdir()} <= set(SIZES) and not (folder / "train-0.arrow").exists()

    bucket.faults, bucket.asked = [], []
    assert content_of(fetched(bucket.root, there.name)) == content_of(there)


@pytest.mark.parametrize("damage", [lambda content: content[:-1], lambda content: b"x" + content[1:]])
def test_an_object_that_is_damaged_in_the_bucket_is_told_with_its_cure(bucket, there, damage):
    key = f"some/sets/prepared/{there.name}/val-0.arrow"
    bucket.direct.put_object(Bucket=bucket.name, Key=key, Body=damage((there / "val-0.arrow").read_bytes()))
    said = refusal(bucket.root)
    assert "val-0.arrow: " in said and "damaged in the bucket" in said and "push the set again" in said


def test_an_object_that_is_gone_from_the_bucket_is_told(bucket, there):
    bucket.direct.delete_object(Bucket=bucket.name, Key=f"some/sets/prepared/{there.name}/val-0.arrow")
    assert "val-0.arrow: is not there, though the set's index names it: push the set again." in refusal(bucket.root)
    assert bucket.count("val-0", "HEAD") == 1


def an_index(file):
    shard = {"file": file, "bytes": 1, "sha256": "", "rows": 1}
    return written({"format": FORMAT, "splits": {"train": {"rows": 1, "shards": [shard]}, "val": None}})


@pytest.mark.parametrize(
    ("index", "said"),
    [
        (b"{", "damaged or something else"),
        (b"{}", "damaged or something else"),
        (an_index("a").replace(b'"rows": 1', b'"rows": 2'), "wrong checksum"),
        (an_index("../a"), "names '../a', which is no plain file name"),
        (an_index("/etc/passwd"), "names '/etc/passwd', which is no plain file name"),
        (an_index(""), "names '', which is no plain file name"),
        (an_index(".a"), "names '.a', which is no plain file name"),
        (an_index("index.json"), "names 'index.json', which is no plain file name"),
    ],
)
def test_an_index_that_is_none_is_refused_before_anything_is_fetched(bucket, there, index, said):
    (there / "index.json").write_bytes(index)
    bucket.put(there)
    assert refusal(bucket.root).startswith(f"{bucket.root}/prepared/random-0/index.json: {said}")
    assert bucket.count("arrow") == 0


@pytest.mark.parametrize("where", ["index.json", "train-0"])
def test_credentials_that_are_refused_are_told_at_once(bucket, there, where):
    bucket.faults = [Fault("403", where, FOR_EVER)]
    assert re.search(r"refused \(\w+.*\): check the credentials", refusal(bucket.root))
    assert bucket.count(where) == 1


def test_absent_credentials_are_told_with_the_variables_that_name_them(bucket, there, monkeypatch):
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    assert "no credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE" in refusal(bucket.root)
    monkeypatch.setenv("AWS_PROFILE", "nobody")
    assert "no credentials" in refusal(bucket.root)
    assert not bucket.asked


def test_a_bucket_that_does_not_exist_is_told(bucket):
    assert "no such bucket: make it, or name another" in refusal("s3://no-such-bucket/p")
    with pytest.raises(DataError, match="no such bucket"):
        sets("s3://no-such-bucket/p")


@pytest.mark.parametrize(
    ("name", "value"), [("AWS_ENDPOINT_URL", "http://127.0.0.1:1"), ("AWS_ENDPOINT_URL", "nonsense")]
)
def test_a_server_that_is_not_there_is_told(bucket, monkeypatch, name, value):
    monkeypatch.setenv(name, value)
    assert value in refusal(bucket.root)


def test_a_disk_without_room_is_told_before_anything_is_fetched(bucket, there, monkeypatch):
    free = namedtuple("Usage", "free")(500_000)
    monkeypatch.setattr("shutil.disk_usage", lambda path: free)
    said = refusal(bucket.root)
    assert "0.6 MiB are to be written, but 0.5 MiB are free: free room, or name another cache by VAEORCH_CACHE" in said
    assert bucket.count("arrow") == 0


def test_a_disk_that_fills_up_on_the_way_is_told(bucket, there, monkeypatch):
    def full(number):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    assert "cannot be written (No space left on device): free room, or name another cache" in refusal(bucket.root)


def test_a_cache_that_cannot_be_written_is_told(bucket, there, monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("VAEORCH_CACHE", str(tmp_path / "file"))
    assert "cannot be written (Not a directory): name another cache by VAEORCH_CACHE" in refusal(bucket.root)


def test_a_cached_file_that_was_cut_or_removed_is_fetched_again_and_no_other(bucket, there):
    folder = fetched(bucket.root, there.name)
    bucket.asked.clear()
    (folder / "train-0.arrow").write_bytes(b"short")
    (folder / "val-0.arrow").unlink()
    assert content_of(fetched(bucket.root, there.name)) == content_of(there)
    assert asked_once(bucket) == {"index.json": 1, "train-0.arrow": 1, "val-0.arrow": 1}


def test_four_processes_that_want_a_set_at_once_fetch_it_once(bucket, there):
    bucket.faults = [Fault("slow", "train-0")]  # so that all are there before the first is ready
    children = [fetching(bucket.root) for _ in range(4)]
    said = [child.communicate(timeout=300) for child in children]
    folder = (BucketPath.of(bucket.root) / "prepared/random-0").cached
    assert said == [(f"{folder}\n", "")] * 4
    assert content_of(folder) == content_of(there)
    assert bucket.count("index.json") == 1 and bucket.count("val-0", "HEAD") == 1


def test_a_killed_fetch_goes_on_with_what_it_lacked(bucket, there):
    bucket.faults = [Fault("silent", "val-0")]
    child = fetching(bucket.root, at_once=1)
    until(lambda: bucket.count("val-0"))
    folder = (BucketPath.of(bucket.root) / "prepared/random-0").cached
    child.kill()
    child.communicate()
    left = {path.name for path in folder.iterdir()}
    assert left == {"train-0.arrow", "train-1.arrow", "train-2.arrow", f".val-0.arrow.{child.pid}"}

    bucket.asked.clear()
    told = []
    fetched(bucket.root, there.name, lambda *said: told.append(said))
    assert content_of(folder) == content_of(there)
    assert asked_once(bucket) == {"index.json": 1, "val-0.arrow": 1}
    assert told[0] == (TOTAL - SIZES["val-0.arrow"], TOTAL) and told[-1] == (TOTAL, TOTAL)


def test_a_process_that_waits_takes_over_from_one_that_is_killed(bucket, there):
    bucket.faults = [Fault("silent", "train-0")]
    first = fetching(bucket.root)
    until(lambda: bucket.count("train-0"))
    second = fetching(bucket.root)
    time.sleep(1)
    assert second.poll() is None
    first.kill()
    first.communicate()
    out, err = second.communicate(timeout=300)
    assert not err and content_of(Path(out.strip())) == content_of(there)


def test_ctrl_c_ends_a_fetch_soon_and_leaves_nothing_half(bucket, there):
    bucket.faults = [Fault("crawling", "train-0", FOR_EVER), Fault("crawling", "train-1", FOR_EVER)]
    child = fetching(bucket.root)
    until(lambda: bucket.count("train-0") and bucket.count("train-1"))
    child.send_signal(signal.SIGINT)
    _, err = child.communicate(timeout=300)
    assert err.strip().endswith("KeyboardInterrupt")
    folder = (BucketPath.of(bucket.root) / "prepared/random-0").cached
    whole = content_of(there)
    assert all(whole[name] == content for name, content in content_of(folder).items())
    assert not {"index.json", "train-0.arrow", "train-1.arrow"} & {path.name for path in folder.iterdir()}


def test_what_a_file_of_the_cache_is_called_says_nothing_of_what_it_holds(bucket, there):
    """Of a set without index: right in name and size, but not in content."""
    folder = (BucketPath.of(bucket.root) / "prepared/random-0").cached
    folder.mkdir(parents=True)
    (folder / "train-0.arrow").write_bytes(b"\0" * SIZES["train-0.arrow"])
    assert content_of(fetched(bucket.root, there.name)) == content_of(there)


def test_index_names_its_shards(tmp_path):
    folder = a_set(tmp_path, SIZES)
    shards = shards_in((folder / "index.json").read_bytes(), folder)
    assert {shard.file: shard.bytes for shard in shards} == SIZES
    assert all(shard.sound(folder / shard.file) for shard in shards)
