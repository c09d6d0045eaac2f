"""Which environment variables a job on a cluster is given. All who may list its jobs can read them: no secrets."""

import re
from collections.abc import Mapping
from fnmatch import fnmatchcase

ALLOWED = {  # names, and patterns of names, that go from this machine to slots and workers
    "VAEORCH_*",
    "OMP_NUM_THREADS",
    "NCCL_*",
    "GLOO_SOCKET_IFNAME",
    "TORCH_*",
    "CUDA_LAUNCH_BLOCKING",
    "AWS_ENDPOINT_URL",
    "AWS_ENDPOINT_URL_S3",
    "AWS_DEFAULT_REGION",
    "AWS_REGION",
    "AWS_PROFILE",
}
OF_THE_CLUSTER = {"RAY_*", "TUNE_*", "AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE"}  # those that a launcher may add
SECRET = re.compile("SECRET|TOKEN|PASSWORD|PASSWD|CREDENTIAL|_KEY")
LOGIN = re.compile("://[^/?#]*@")  # user:password in an address


def settings_of(environment: Mapping[str, str]) -> dict[str, str]:
    """The settings of `environment` that go to slots and workers, without any that may hold a secret."""
    return {
        name: value for name, value in sorted(environment.items()) if _known(name, ALLOWED) and not LOGIN.search(value)
    }


def check_settings(settings: Mapping[str, str]) -> None:
    """Raises ValueError for settings that a job must not be given."""
    for name, value in settings.items():
        if not _known(name, ALLOWED | OF_THE_CLUSTER):
            raise ValueError(f"{name}: is not among the settings that a job may be given: it could be a secret.")
        if LOGIN.search(value):
            raise ValueError(f"{name}: holds a user name or password, which all who may list jobs could read.")


def _known(name: str, names: set[str]) -> bool:
    """Whether it is among the names, or fits a pattern of them and does not sound like a secret."""
    return name in names or (not SECRET.search(name.upper()) and any(fnmatchcase(name, each) for each in names))
