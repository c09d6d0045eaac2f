"""Which settings go to a job, which all who may list jobs can read."""

import pytest

from orchestrator.clusters.settings import check_settings, settings_of

SECRETS = ["AWS_SECRET_ACCESS_KEY", "AWS_ACCESS_KEY_ID", "AWS_SESSION_TOKEN", "RAY_AUTH_TOKEN", "HF_TOKEN"]
SECRETS += ["VAEORCH_PASSWORD", "MLFLOW_TRACKING_PASSWORD", "WANDB_API_KEY", "TORCH_HUB_TOKEN", "vaeorch_token"]


def test_settings_of_training_are_passed_on_and_nothing_else():
    wanted = {"VAEORCH_CACHE": "/c", "OMP_NUM_THREADS": "2", "NCCL_DEBUG": "INFO", "AWS_PROFILE": "lab"}
    wanted |= {"AWS_ENDPOINT_URL": "http://minio:9000", "CUDA_LAUNCH_BLOCKING": "1", "TORCH_LOGS": "all"}
    others = {"HOME": "/home/me", "PATH": "/bin", "RAY_ADDRESS": "auto", "XVAEORCH_CACHE": "", "OMP_NUM_THREADS_": "1"}
    assert settings_of(wanted | others | dict.fromkeys(SECRETS, "s3cret")) == wanted


def test_an_address_with_a_password_is_not_passed_on():
    assert settings_of({"AWS_ENDPOINT_URL": "https://me:pass@minio:9000/", "AWS_REGION": "a"}) == {"AWS_REGION": "a"}
    assert settings_of({"AWS_ENDPOINT_URL": "http://minio/a?to=x@y"}) != {}


@pytest.mark.parametrize("name", [*SECRETS, "HOME", "LD_PRELOAD"])
def test_a_job_is_refused_what_is_not_known_to_be_harmless(name):
    with pytest.raises(ValueError, match=f"^{name}: is not among the settings"):
        check_settings({"OMP_NUM_THREADS": "1", name: "s3cret"})


def test_a_job_is_refused_an_address_with_a_password_and_the_message_does_not_repeat_it():
    with pytest.raises(ValueError, match="^AWS_ENDPOINT_URL: holds a user name") as refused:
        check_settings({"AWS_ENDPOINT_URL": "https://me:s3cret@minio"})
    assert "s3cret" not in str(refused.value)


def test_a_launcher_may_add_settings_of_ray_and_name_a_file_of_credentials():
    check_settings({"RAY_AIR_NEW_OUTPUT": "0", "TUNE_X": "1", "AWS_SHARED_CREDENTIALS_FILE": "/home/me/.aws/c"})
