"""Each error of AWS is told in one line that says what to do."""

import pytest
from botocore import exceptions
from botocore.exceptions import ClientError
from ray.autoscaler.node_launch_exception import NodeLaunchException

from orchestrator.clusters.aws.errors import MEANINGS, WITHOUT_MACHINES, meaning, meaning_of_log, told
from orchestrator.errors import ClusterFailed, UserError

LINES = [
    ("UnauthorizedOperation", "You are not authorized.", UserError, "these credentials may not do this"),
    ("ExpiredToken", "The token has expired.", UserError, "AWS refuses the credentials of this machine. Renew them"),
    ("InvalidAMIID.NotFound", "The image id '[ami-1]' does not exist", UserError, "image: is not in this region"),
    ("InvalidParameterValue", "Invalid value 'zz.huge' for InstanceType.", UserError, "instance: is not to be had"),
    (
        "InvalidParameterValue",
        "Value (x) for parameter iamInstanceProfile.name: Invalid IAM Instance Profile name",
        UserError,
        "profile: there is no such instance profile",
    ),
    ("InvalidParameterValue", "Something else", UserError, "AWS has refused this (InvalidParameterValue: Something"),
    ("Unsupported", "The requested configuration is not supported.", UserError, "instance: is not to be had"),
    ("NoSuchBucket", "", UserError, "store: there is no such bucket"),
    ("InsufficientInstanceCapacity", "We do not have sufficient g5", ClusterFailed, "AWS has no such machines free"),
    ("InstanceLimitExceeded", "You have requested more", ClusterFailed, "the quota of this account"),
    ("VcpuLimitExceeded", "You have requested more vCPU", ClusterFailed, "the quota of this account"),
    ("MaxSpotInstanceCountExceeded", "Max spot", ClusterFailed, "the quota of this account"),
    ("NeverHeardOf", "a\nb", UserError, "AWS has refused this (NeverHeardOf: a b)."),
]


@pytest.mark.parametrize(("code", "text", "kind", "line"), LINES, ids=[f"{line[0]}: {line[1][:20]}" for line in LINES])
def test_an_error_is_told_in_one_line_with_its_cure(code, text, kind, line):
    error = meaning(code, text)
    [said] = error.lines
    assert type(error) is kind and said.startswith(line) and said.isprintable()


@pytest.mark.parametrize("code", [*MEANINGS, *WITHOUT_MACHINES])
def test_each_known_code_becomes_one_line(code):
    [line] = meaning(code, "why. " * 100).lines
    assert line.isprintable() and line.endswith((".", "?")) and len(line) < 400 and "{" not in line


@pytest.mark.parametrize("name", [name for name in MEANINGS if name.endswith("Error") or name == "ProfileNotFound"])
def test_the_names_of_errors_of_boto3_are_those_that_it_has(name):
    assert issubclass(getattr(exceptions, name), exceptions.BotoCoreError)


def test_errors_of_boto3_and_of_aws_become_those_of_the_user():
    refused = ClientError({"Error": {"Code": "VcpuLimitExceeded", "Message": "no more"}}, "RunInstances")
    for error, kind in ((refused, ClusterFailed), (exceptions.NoCredentialsError(), UserError)):
        with pytest.raises(kind), told():
            raise error


def test_the_reason_of_a_launcher_that_failed_is_the_last_error_of_aws_in_its_log():
    log = (
        "create_instances: Attempt failed with An error occurred (Unsupported) when calling the RunInstances operation:"
        " not here, retrying.\n"
        "An error occurred (InsufficientInstanceCapacity) when calling the RunInstances operation (reached max retries:"
        " 0): We currently do not have sufficient m5.large capacity.\n  more\n"
    )
    error = meaning_of_log(log)
    assert isinstance(error, ClusterFailed) and "sufficient m5.large capacity" in str(error)
    assert meaning_of_log("Shared connection closed.\n") is None


def test_what_rays_autoscaler_says_of_a_machine_that_it_did_not_get_is_understood():
    error = NodeLaunchException("VcpuLimitExceeded", "You have requested more vCPU capacity", None)
    assert str(meaning_of_log(f"launch failed with {error}")).startswith("the quota of this account")
