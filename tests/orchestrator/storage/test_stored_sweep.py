"""A sweep's place in a bucket: each thing that can be wrong with it is one line, before anything starts."""

import pytest
from botocore.exceptions import ClientError

from orchestrator.errors import UserError
from orchestrator.storage.stored_sweep import KeptFile, Manifest, StoredSweep
from tests.support.bucket_faults import Fault
from trainables.data.remote import s3


def told(store: str) -> str:
    """The one line that a check of it raises."""
    with pytest.raises(UserError) as error:
        StoredSweep(store, "a").bucket.check()
    assert len(error.value.lines) == 1 and "\n" not in error.value.lines[0]
    return error.value.lines[0]


def test_a_bucket_that_can_be_used_is_left_as_it_was(bucket):
    StoredSweep(bucket.root, "a").bucket.check()
    assert bucket.objects() == {}


def test_a_bucket_that_is_not_there(bucket):
    assert "s3://nowhere/some/a/probe-" in (line := told("s3://nowhere/some"))
    assert "no such bucket: make it, or name another" in line


@pytest.mark.parametrize("method", ["PUT", "GET", "POST"])
def test_a_bucket_in_which_something_is_refused(bucket, method):
    """To write, to read and list, or to remove."""
    bucket.faults.append(Fault("403", "", times=10**6, method=method))
    assert "refused (InvalidAccessKeyId: unknown key): check the credentials" in told(bucket.root)


def test_no_credentials(bucket, monkeypatch):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    assert "no credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE" in told(bucket.root)


def test_a_profile_that_is_not_there(bucket, monkeypatch):
    monkeypatch.setenv("AWS_PROFILE", "nobody")
    assert "The config profile (nobody) could not be found" in told(bucket.root)


def test_another_region(bucket, monkeypatch):
    said = "The authorization header is malformed; the region 'us-east-1' is wrong; expecting 'eu-central-1'"
    answer = {"Error": {"Code": "AuthorizationHeaderMalformed", "Message": said}}

    class Elsewhere:
        def put_object(self, **how):
            raise ClientError(answer | {"ResponseMetadata": {"HTTPStatusCode": 400}}, "PutObject")

    stored = StoredSweep(bucket.root, "a")
    stored.bucket.__dict__["client"] = Elsewhere()
    with pytest.raises(UserError, match="region 'us-east-1' is wrong; expecting 'eu-central-1'"):
        stored.bucket.check()


def test_a_server_that_does_not_answer(bucket, monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setattr(s3, "ATTEMPTS", 1)
    assert "Could not connect to the endpoint URL" in told(bucket.root)


def test_a_place_that_is_no_plain_path_in_a_bucket():
    assert "no plain path in a bucket" in told("s3://a bucket/x")


def test_a_manifest_is_read_as_it_was_written():
    manifest = Manifest(3, 7, {"spool/sweep.jsonl": KeptFile("blobs/000003/abc", 5)})
    assert Manifest.read(manifest.name, manifest.written()) == manifest
    assert manifest.name == "manifests/000003-00000007.json"
