"""What is told of hosts that cannot be nodes of one Ray; tests/end_to_end/test_lab_hosts.py starts Ray on some."""

import pytest

from orchestrator.clusters.ray_on_hosts import Hosts, differences, start_options
from tests.support.ssh_records import ssh_cluster

FACT = {"python": "3.11.7", "ray": "2.60.0", "address": "10.0.0.1"}
ADDRESSES = {"gpu1": "10.0.0.1", "gpu2": "10.0.0.2", "gpu3": "10.0.0.3"}


def test_hosts_that_are_alike_are_nodes_of_one_ray():
    assert differences({"gpu1": FACT, "gpu2": FACT | {"address": "10.0.0.2"}}) == []
    assert differences({}) == []


def test_other_versions_and_a_machine_with_two_names_are_told():
    facts = {
        "gpu1": FACT,
        "gpu2": FACT | {"address": "10.0.0.2", "python": "3.12.1"},
        "gpu3": FACT | {"address": "10.0.0.3", "ray": "2.9.0"},
        "again": FACT,
    }
    assert differences(facts) == [
        "gpu2: has Python 3.12.1, but gpu1 has 3.11.7: install the same on all hosts.",
        "gpu3: has Ray 2.9.0, but gpu1 has 2.60.0: install the same on all hosts.",
        "again: is the same machine as gpu1 (10.0.0.1). Name it once.",
    ]


def options(host: str, record, state) -> set[str]:
    return set(Hosts(record, state).start_order(host, ADDRESSES)["options"])


def test_what_a_host_offers_to_trials_is_what_the_record_says(tmp_path):
    record = ssh_cluster(cpus=8, gpus=2)
    assert {"--num-cpus=0", "--num-gpus=0"} < options("gpu1", record, tmp_path)
    assert {"--num-cpus=8", "--num-gpus=2"} < options("gpu2", record, tmp_path)
    assert {"--num-cpus=8", "--num-gpus=2"} < options("gpu1", ssh_cluster(cpus=8, gpus=2, train_on_head=True), tmp_path)
    assert not any("num-" in option for option in options("gpu2", ssh_cluster(cpus=None), tmp_path))


@pytest.mark.parametrize(("host", "others"), [("gpu1", False), ("gpu2", True)])
def test_workers_join_the_head_at_the_address_by_which_others_reach_it(host, others, tmp_path):
    found = options(host, ssh_cluster(ray_port=7000), tmp_path)
    assert ("--address=10.0.0.1:7000" in found) == others
    assert ("--port=7000" in found) != others
    assert f"--node-ip-address={ADDRESSES[host]}" in found


def test_clusters_of_one_name_on_two_machines_do_not_touch_each_other(tmp_path):
    for home in ("one", "other"):
        (tmp_path / home / "gpus").mkdir(parents=True)
    one, other = (Hosts(ssh_cluster(), tmp_path / home / "gpus") for home in ("one", "other"))
    assert one.mark == Hosts(ssh_cluster(), tmp_path / "one" / "gpus").mark != other.mark
    assert one.folder != other.folder
    assert len(f"/tmp/{one.mark}/r") <= 20  # Ray's socket paths have a limit


def test_what_is_shown_is_what_hosts_are_told():
    record, addresses = ssh_cluster(), {name: f"<address of {name}>" for name in ("gpu1", "gpu2", "gpu3")}
    shown = dict(line.split(": ray start ") for line in record.rendered().splitlines())
    assert shown == {host: " ".join(start_options(record, host, addresses)) for host in addresses}
    assert "--head" in shown["gpu1"] and "--address=<address of gpu1>:6379" in shown["gpu3"]
