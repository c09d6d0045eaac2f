"""What the errors of AWS mean, in a line for the user each: by the codes that AWS's answers have.

A machine that cannot be had, for whatever reason of AWS's, is ClusterFailed: the same command may succeed later. All
else is UserError.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager

from orchestrator.errors import ClusterFailed, ReportedError, UserError

NO_CREDENTIALS = "there are no credentials of AWS on this machine. Run `aws configure`, or set AWS_PROFILE."
REFUSED = "AWS refuses the credentials of this machine. Renew them: `aws configure`, or `aws sso login`."
FORBIDDEN = "these credentials may not do this ({said}). Ask for the right, or use others by AWS_PROFILE."
NO_REGION = "region: cannot be reached ({said}). Is its name right, and is this machine online?"
NO_IMAGE = "image: is not in this region ({said}). Write the id that it has there."
NO_TYPE = "instance: is not to be had in these zones ({said}). Choose another type or other zones."
NO_PROFILE = "profile: there is no such instance profile ({said}). `vaeorch cluster check` prints how to make it."
NO_BUCKET = "store: there is no such bucket ({said}). Make it, or name another."
NO_ROOM = "AWS has no such machines free in these zones now ({said}). Add zones or rows of workers, or try again later."
QUOTA = "the quota of this account for such machines is used up ({said}). Ask AWS for more, or lower at_most."
MEANINGS = {
    "NoCredentialsError": NO_CREDENTIALS,
    "PartialCredentialsError": NO_CREDENTIALS,
    "ProfileNotFound": "AWS_PROFILE: {said}. Write one that `aws configure list-profiles` shows.",
    "AuthFailure": REFUSED,
    "ExpiredToken": REFUSED,
    "ExpiredTokenException": REFUSED,
    "InvalidAccessKeyId": REFUSED,
    "InvalidClientTokenId": REFUSED,
    "RequestExpired": REFUSED,
    "SignatureDoesNotMatch": REFUSED,
    "UnrecognizedClientException": REFUSED,
    "TokenRetrievalError": REFUSED,
    "SSOTokenLoadError": REFUSED,
    "UnauthorizedSSOTokenError": REFUSED,
    "CredentialRetrievalError": REFUSED,
    "AccessDenied": FORBIDDEN,
    "AccessDeniedException": FORBIDDEN,
    "UnauthorizedOperation": FORBIDDEN,
    "403": FORBIDDEN,
    "OptInRequired": "this account does not use EC2 in this region ({said}). Enable the region, or choose another.",
    "EndpointConnectionError": NO_REGION,
    "ConnectTimeoutError": NO_REGION,
    "InvalidRegionError": NO_REGION,
    "UnknownRegionError": NO_REGION,
    "InvalidAMIID.NotFound": NO_IMAGE,
    "InvalidAMIID.Malformed": NO_IMAGE,
    "InvalidAMIID.Unavailable": NO_IMAGE,
    "InvalidInstanceType": NO_TYPE,
    "Unsupported": NO_TYPE,
    "NoSuchEntity": NO_PROFILE,
    "InvalidIamInstanceProfileArn.Malformed": NO_PROFILE,
    "NoSuchBucket": NO_BUCKET,
    "404": NO_BUCKET,
    "InvalidSubnetID.NotFound": "subnets: is not in this region ({said}). Write those of your VPC there.",
    "RequestLimitExceeded": "AWS asks for fewer requests ({said}). Try again in a minute.",
}
WITHOUT_MACHINES = {
    "InsufficientInstanceCapacity": NO_ROOM,
    "InsufficientHostCapacity": NO_ROOM,
    "InsufficientReservedInstanceCapacity": NO_ROOM,
    "InsufficientFreeAddressesInSubnet": "subnets: have no free address left ({said}). Name larger ones.",
    "SpotMaxPriceTooLow": NO_ROOM,
    "InstanceLimitExceeded": QUOTA,
    "VcpuLimitExceeded": QUOTA,
    "MaxSpotInstanceCountExceeded": QUOTA,
}
SAID = re.compile(  # as boto3 says it, and Ray
    r"(?:error occurred \((?P<code>[\w.]+)\) when calling the \w+ operation(?: \([^)]*\))?"
    r"|Node Launch Exception \((?P<category>[\w.]+)\)): (?P<text>.*)"
)
LONGEST = 200  # characters of what AWS says


def meaning(code: str, text: str) -> ReportedError:
    """The error for the user, from the code and the text of one of AWS's."""
    said = f"{code}: {text.strip()}" if text.strip() else code
    if code == "InvalidParameterValue":  # one code for all
        code = next((known for word, known in VALUES.items() if word in text), code)
    kind = ClusterFailed if code in WITHOUT_MACHINES else UserError
    line = (WITHOUT_MACHINES | MEANINGS).get(code, "AWS has refused this ({said}).")
    return kind(line.format(said=" ".join(said.split())[:LONGEST].rstrip(".")))


VALUES = {"InstanceType": "InvalidInstanceType", "instance type": "InvalidInstanceType", "Profile": "NoSuchEntity"}
"""Words of the text, where the code is InvalidParameterValue -> a code that says more."""


def meaning_of_log(text: str) -> ReportedError | None:
    """The error for the user from the last one of AWS's in a log; None if there is none."""
    found = list(SAID.finditer(text))
    return meaning(found[-1]["code"] or found[-1]["category"], found[-1]["text"]) if found else None


@contextmanager
def told() -> Iterator[None]:
    """Inside this context the errors of boto3 become UserError and ClusterFailed."""
    from botocore.exceptions import BotoCoreError, ClientError
    from botocore.parsers import ResponseParserError

    try:
        yield
    except ClientError as error:
        known = error.response.get("Error", {})
        raise meaning(str(known.get("Code", "")), str(known.get("Message", ""))) from None
    except (BotoCoreError, ResponseParserError) as error:
        raise meaning(type(error).__name__, str(error)) from None
