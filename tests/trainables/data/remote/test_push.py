"""A prepared set is pushed into a bucket: whole, never over another one, and without sending anything twice."""

import hashlib
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import ROOT
from tests.support.bucket_faults import FOR_EVER, Fault, a_set, content_of
from tests.support.waiting import until
from trainables.common.errors import DataError
from trainables.data.prepared.index_file import index_of, written
from trainables.data.remote import push
from trainables.data.remote.fetch import fetched, sets

PART = 5 << 20  # the least that S3 takes for all parts but the last
SIZES = {"train-0.arrow": 2 * PART + 1, "train-1.arrow": 200_000, "val-0.arrow": 1}
TOTAL = sum(SIZES.values())
FILES = [*SIZES, "index.json"]
PUSH = """
import sys
from pathlib import Path
from trainables.data.remote import push
push.PART_BYTES = 5 << 20
print(push.push(Path(sys.argv[1]), sys.argv[2]))
"""


@pytest.fixture
def made(tmp_path, monkeypatch):
    """A set that has been prepared here, one shard of which goes in three parts: its folder."""
    monkeypatch.setattr(push, "PART_BYTES", PART)
    return a_set(tmp_path / "made", SIZES)


def pushed(folder, bucket, *told):
    return push.push(folder, bucket.root, *told)


def refusal(folder, bucket):
    with pytest.raises(DataError) as caught:
        pushed(folder, bucket)
    text = str(caught.value)
    assert "\n" not in text and text.endswith(".")
    return text


def sent(bucket):
    """What was put, each once, in order; of a part, its file."""
    return [Path(path.partition("?")[0]).name for method, path in bucket.asked if method == "PUT"]


def test_a_pushed_set_is_the_one_that_comes_back(bucket, made):
    told = []
    assert pushed(made, bucket, lambda *said: told.append(said)) == 4
    assert content_of(fetched(bucket.root, made.name)) == content_of(made) == bucket.objects()
    assert sent(bucket) == [*["train-0.arrow"] * 3, *FILES[1:]]
    assert told[0] == (0, TOTAL) and told[-1] == (TOTAL, TOTAL) and len(told) > 10
    assert list(sets(bucket.root)) == [made.name]


def test_what_is_there_is_not_sent_again(bucket, made):
    pushed(made, bucket)
    bucket.asked.clear()
    told = []
    assert pushed(made, bucket, lambda *said: told.append(said)) == 0
    assert not sent(bucket) and not bucket.count("arrow")
    assert told[-1] == (TOTAL, TOTAL)


def test_another_set_under_the_same_key_is_left_as_it_is(bucket, made, tmp_path):
    pushed(made, bucket)
    there, other = bucket.objects(), a_set(tmp_path / "other", SIZES | {"val-0.arrow": 2})
    bucket.asked.clear()
    assert "random-0: holds another set under this key, and sets never change: name another prefix." in refusal(
        other, bucket
    )
    assert bucket.objects() == there and not sent(bucket)


def test_the_same_shards_with_another_story_are_the_same_set(bucket, made):
    pushed(made, bucket)
    index = made / "index.json"
    index.write_bytes(written(index_of(index.read_bytes()) | {"prepared": "elsewhere"}))
    assert pushed(made, bucket) == 0


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda folder: (folder / "index.json").unlink(), "no finished set (No such file or directory): prepare it"),
        (lambda folder: (folder / "val-0.arrow").unlink(), "val-0.arrow: is not the file that index.json names"),
        (lambda folder: (folder / "val-0.arrow").write_bytes(b"?"), "val-0.arrow: is not the file that index.json"),
        (lambda folder: (folder / "index.json").write_text("{"), "index.json: damaged or something else"),
    ],
)
def test_an_unsound_set_is_refused_and_has_no_index_in_the_bucket(bucket, made, spoil, said):
    spoil(made)
    assert said in refusal(made, bucket)
    assert "index.json" not in bucket.objects()


@pytest.mark.parametrize("kind", ["503", "reset", "flip"])
@pytest.mark.parametrize("where", ["train-0", "train-1", "index.json"])
def test_what_goes_wrong_on_the_way_is_sent_again(bucket, made, kind, where):
    bucket.faults = [Fault(kind, where, method="PUT")]
    told = []
    pushed(made, bucket, lambda *said: told.append(said))
    assert bucket.objects() == content_of(made)
    assert told[-1] == (TOTAL, TOTAL)


def test_a_server_that_keeps_something_else_is_told_and_gets_no_index(bucket, made):
    bucket.faults = [Fault("flip", "train-1", FOR_EVER, "PUT")]
    said = refusal(made, bucket)
    assert "train-1.arrow: the server has kept something else than was sent (4 attempts)" in said
    assert "index.json" not in bucket.objects()


def test_a_server_with_its_own_idea_of_etags_is_read_back(bucket, made, monkeypatch):
    monkeypatch.setattr(push, "etag", lambda path: "whatever")
    assert pushed(made, bucket) == 4
    assert bucket.count("arrow") >= 3
    assert pushed(made, bucket) == 0
    key = f"some/sets/prepared/{made.name}/val-0.arrow"
    bucket.direct.put_object(Bucket=bucket.name, Key=key, Body=b"?")
    assert pushed(made, bucket) == 1
    assert bucket.objects() == content_of(made)


@pytest.mark.parametrize("size", [0, 1, PART - 1, PART, PART + 1, 2 * PART])
def test_etag_is_what_the_server_says(bucket, made, size):
    file = a_set(made.parent / "odd", {"one.arrow": size}) / "one.arrow"
    pushed(file.parent, bucket)
    head = bucket.direct.head_object(Bucket=bucket.name, Key=f"some/sets/prepared/{file.parent.name}/one.arrow")
    assert head["ETag"].strip('"') == push.etag(file)
    if size < PART:
        assert push.etag(file) == hashlib.md5(file.read_bytes()).hexdigest()


def killed_push(made, bucket, where):
    """Another process that pushes, and is killed while a file is on its way."""
    bucket.faults = [Fault("silent", where, method="PUT")]
    words = [sys.executable, "-c", PUSH, str(made), bucket.root]
    child = subprocess.Popen(words, cwd=ROOT, stdout=subprocess.DEVNULL)
    until(lambda: bucket.count(where, "PUT"))
    child.kill()
    child.wait()
    assert fetched(bucket.root, made.name) is None


@pytest.mark.parametrize("allowed", [True, False])
def test_parts_that_a_killed_push_has_left_do_not_stay(bucket, made, allowed):
    killed_push(made, bucket, "train-0")

    def uploads():
        return bucket.direct.list_multipart_uploads(Bucket=bucket.name).get("Uploads", [])

    assert len(uploads()) == 1
    bucket.faults = [] if allowed else [Fault("403", "?uploads", FOR_EVER)]
    assert pushed(made, bucket) == 4
    assert len(uploads()) == (0 if allowed else 1)
    assert bucket.objects() == content_of(made)


def test_a_killed_push_goes_on_with_what_was_not_there(bucket, made):
    killed_push(made, bucket, "train-1")

    bucket.asked.clear()
    pushed(made, bucket)
    assert bucket.objects() == content_of(made)
    assert "train-0.arrow" not in sent(bucket)


@pytest.mark.parametrize(
    ("root", "said"), [("s3://no-such-bucket/p", "no such bucket"), ("s3://", "write s3://bucket/prefix")]
)
def test_a_bucket_that_is_not_there_is_told(bucket, made, root, said):
    with pytest.raises(DataError, match=said):
        push.push(made, root)


def test_credentials_that_may_read_but_not_write_are_told_at_once(bucket, made):
    bucket.faults = [Fault("403", "train-1", FOR_EVER, "PUT")]
    assert "refused (InvalidAccessKeyId: unknown key): check the credentials" in refusal(made, bucket)
    assert bucket.count("train-1", "PUT") == 1
