"""The file of Ray's launcher: no default of Ray's is left that costs money or opens a port, and the record is in it."""

import inspect
from pathlib import Path

import pytest
import ray
import yaml

from orchestrator.clusters.aws.lint import problems
from orchestrator.clusters.aws.render import HEAD, as_yaml, offline, render
from orchestrator.clusters.read import read_cluster
from tests.support import ROOT
from tests.support.aws_records import SPOT, aws_cluster

RAYS_OWN = yaml.safe_load((Path(inspect.getfile(ray)).parent / "autoscaler" / "aws" / "defaults.yaml").read_text())
SHIPPED = sorted((ROOT / "clusters").glob("aws*.yaml"))


def made(**changes) -> dict:
    record = aws_cluster(**changes)
    return render(record, offline(record))


def nodes(config: dict) -> dict[str, dict]:
    return {row: values["node_config"] for row, values in config["available_node_types"].items()}


def found(**changes) -> list[str]:
    record = aws_cluster(**changes)
    plain = aws_cluster(**{**changes, "ray": {}})
    return problems(record, render(record, offline(record)), render(plain, offline(plain)))


def test_every_key_that_ray_has_a_default_for_is_written():
    assert set(RAYS_OWN) <= set(made())


def test_no_command_or_image_of_rays_own_is_left():
    text = as_yaml(made())
    for key in ("setup_commands", "head_setup_commands", "head_start_ray_commands", "worker_start_ray_commands"):
        for command in RAYS_OWN[key]:
            assert command.strip() not in text
    assert "0.0.0.0" not in text and "pip" not in text


def test_machines_are_ended_never_only_stopped():
    config = made()
    assert config["provider"]["cache_stopped_nodes"] is False
    for node in nodes(config).values():
        assert node["InstanceInitiatedShutdownBehavior"] == "terminate"
        assert [disk["Ebs"]["DeleteOnTermination"] for disk in node["BlockDeviceMappings"]] == [True]


def test_each_machine_ends_by_itself_after_max_hours():
    for node in nodes(made(max_hours=1.5)).values():
        assert node["UserData"].startswith("#!/bin/sh\nshutdown -h +90 ||")


def test_each_machine_has_its_profile_tags_and_a_guarded_metadata_service():
    arn = "arn:aws:iam::123456789012:instance-profile/workers"
    config = nodes(made(workers=[SPOT | {"profile": arn}]))
    assert config[HEAD]["IamInstanceProfile"] == {"Name": "vaeorch-head"}
    assert config["g5.2xlarge-spot"]["IamInstanceProfile"] == {"Arn": arn}
    for node in config.values():
        assert node["MetadataOptions"]["HttpTokens"] == "required"
        assert [tags["ResourceType"] for tags in node["TagSpecifications"]] == ["instance", "volume"]
        assert {tag["Key"] for tags in node["TagSpecifications"] for tag in tags["Tags"]} == {
            "vaeorch",
            "vaeorch-owner",
        }


def test_the_head_runs_no_trial_and_its_dashboard_listens_on_loopback_only():
    config = made()
    assert config["available_node_types"][HEAD]["resources"] == {"CPU": 0, "GPU": 0}
    start = config["head_start_ray_commands"][1]
    assert "--num-cpus=0" in start and "--dashboard-host=127.0.0.1" in start


def test_ray_asks_for_the_token_on_every_machine_and_no_command_has_it_in_it():
    config = made()
    assert list(config["file_mounts"]) == ["~/.vaeorch"]
    for command in (config["head_start_ray_commands"][1], config["worker_start_ray_commands"][1]):
        assert "RAY_AUTH_MODE=token" in command and "RAY_AUTH_TOKEN_PATH=~/.vaeorch/token" in command


def test_rows_become_kinds_of_machine_the_first_before_the_others():
    small = SPOT | {"spot": False, "at_most": 4}
    rows = made(workers=[SPOT, small], at_most=9)
    assert rows["max_workers"] == 9
    spot, on_demand = (rows["available_node_types"][f"g5.2xlarge-{kind}"] for kind in ("spot", "on-demand"))
    assert (spot["max_workers"], on_demand["max_workers"]) == (8, 4)
    assert spot["priority"] > on_demand["priority"]
    assert spot["node_config"]["InstanceMarketOptions"]["MarketType"] == "spot"
    assert "InstanceMarketOptions" not in on_demand["node_config"]


def test_machines_that_are_close_together_share_a_placement_group():
    config = nodes(made(zones=["a"], workers=[SPOT | {"close_together": True}]))
    assert config["g5.2xlarge-spot"]["Placement"] == {"GroupName": "<cluster>"}
    assert "Placement" not in config[HEAD]


def test_what_a_user_writes_for_ray_comes_last():
    config = made(ray={"upscaling_speed": 2.0, "provider": {"use_internal_ips": True}, "setup_commands": ["true"]})
    assert (config["upscaling_speed"], config["setup_commands"]) == (2.0, ["true"])
    assert config["provider"]["use_internal_ips"] is True and config["provider"]["region"] == "us-west-2"


@pytest.mark.parametrize("file", SHIPPED, ids=lambda file: file.name)
def test_ray_and_aws_take_what_the_shipped_files_become(file):
    record = read_cluster(file)
    assert problems(record, render(record, offline(record)), render(record, offline(record))) == []
    assert yaml.safe_load(record.rendered()) == render(record, offline(record))


NODE = {"available_node_types": {"g5.2xlarge-spot": {"node_config": {"InstnceType": "g5.2xlarge"}}}}
MISTAKES = [
    (NODE, 'node_config: Unknown parameter in input: "InstnceType"'),
    (
        {"available_node_types": {"head": {"node_config": {"InstanceMarketOptions": {"MarketTyp": "spot"}}}}},
        'Unknown parameter in InstanceMarketOptions: "MarketTyp"',
    ),
    ({"available_node_types": {"head": {"node_config": {"EbsOptimized": "yes"}}}}, "Invalid type for parameter Ebs"),
    ({"available_node_types": {"gpu": {"node_config": {}}}}, "ray.available_node_types.gpu: is no row of this file"),
    ({"available_node_types": 3}, "ray.available_node_types: must be a mapping."),
    ({"available_node_types": {"head": {"node_config": []}}}, "ray.available_node_types.head.node_config: must be a"),
    ({"provider": {"cache_stoped_nodes": True}}, "ray.provider.cache_stoped_nodes: unknown key."),
    ({"provider": {"cache_stopped_nodes": True}}, "ray.provider.cache_stopped_nodes: by it machines are found again"),
    ({"cluster_name": "mine"}, "ray.cluster_name: by it machines are found again, and end. Leave it out."),
    ({"available_node_types": {"head": {"node_config": {"UserData": ""}}}}, "node_config.UserData: by it machines"),
    ({"max_worker": 3}, "Additional properties are not allowed ('max_worker' was unexpected)"),
    ({"max_workers": "3"}, "ray.max_workers: '3' is not of type 'integer'"),
    ({"docker": {"image": "x"}}, "ray: Must provide a container & image name"),
]


@pytest.mark.parametrize(("own", "line"), MISTAKES, ids=[line for _, line in MISTAKES])
def test_a_mistake_in_settings_of_ray_is_found_without_a_network(own, line):
    told = found(ray=own)
    assert any(line in each for each in told), told
    assert all("\n" not in each for each in told)
