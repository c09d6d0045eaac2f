"""Cluster files: those that are shipped can be read and show all, and what is written is what is read."""

import json
import re

import jsonschema
import pytest
from hypothesis import HealthCheck, given, settings, strategies
from ruamel.yaml import YAML

from orchestrator.clusters.kuberay.record import KubeRay, Pod
from orchestrator.clusters.read import cluster_schema, read_cluster
from orchestrator.clusters.table import CLUSTERS
from tests.support import ROOT
from tests.support.cluster_files import ADDRESS, AWS, KUBERAY, RECORDS, SLURM, SSH
from trainables.common.records import name_of

SHIPPED = sorted((ROOT / "clusters").iterdir())
WHOLE = [file for file in SHIPPED if "_" not in file.stem]
"""Those that show all that can be written; the others are variants."""


def test_what_is_not_written_has_its_default(tmp_path):
    file = tmp_path / "x.yaml"
    file.write_text(SSH)
    read = read_cluster(file)
    assert (read.ray_port, read.dashboard_port, read.checkpoint_minutes, read.train_on_head) == (6379, 8265, 10, True)
    assert (read.folder, read.shared, read.user, read.cpus) == ("~/vaeorch-runs", None, None, None)


@pytest.mark.parametrize("file", SHIPPED, ids=lambda file: file.name)
def test_the_name_of_a_shipped_file_begins_with_its_kind_and_it_can_be_read(file):
    assert file.stem.partition("_")[0] == read_cluster(file).kind


def test_there_is_a_shipped_file_of_each_kind():
    assert {file.name for file in WHOLE} == {f"{name_of(record)}.yaml" for record in CLUSTERS}


@pytest.mark.parametrize("file", WHOLE, ids=lambda file: file.name)
def test_a_shipped_file_shows_every_key_and_what_it_says_of_defaults_is_so(file):
    """Where the lines that are commented out are read too."""
    written = YAML(typ="safe", pure=True).load(re.sub(r"^# (?=[a-z_]+: \S)", "", file.read_text(), flags=re.MULTILINE))
    record = type(read_cluster(file))
    assert set(written) == set(record.model_fields)
    keys = ("folder", "checkpoint_minutes", "train_on_head", "ray_port", "dashboard_port")
    for key in (*keys, "idle_minutes", "max_hours", "private_addresses", "patience_minutes"):
        assert key not in written or written[key] == record.model_fields[key].default
    if record is KubeRay:
        assert written["head"] == Pod().model_dump()


def plain(text):
    return json.loads(json.dumps(YAML(typ="safe", pure=True).load(text)))


def test_the_schema_holds_for_the_shipped_files():
    jsonschema.Draft202012Validator.check_schema(cluster_schema())
    for file in SHIPPED:
        jsonschema.validate(plain(file.read_text()), cluster_schema())


REFUSED_BY_SCHEMA = [
    "{}",
    "kind: shh",
    "kind: ssh",
    "head: gpu1\npython: /python",
    SSH + "usr: me",
    SSH + "port: 0",
    SSH.replace("[gpu2, gpu3]", "gpu2"),
    ADDRESS.replace("nodes: 8", "nodes: 0"),
    SLURM + "node: 2",
    SLURM.replace("12", "0"),
    KUBERAY.replace("at_most: 8", "at_most: 0"),
    "kind: local\nhead: gpu1",
    AWS.replace("store:", "shop:"),
    AWS.replace("gpus: 1", "gpu: 1"),
]


@pytest.mark.parametrize("text", REFUSED_BY_SCHEMA)
def test_the_schema_refuses_unknown_keys_and_wrong_types(text):
    assert list(jsonschema.Draft202012Validator(cluster_schema()).iter_errors(plain(text)))


def test_the_schema_describes_every_key():
    definitions = cluster_schema()["$defs"]
    records = {record.__name__ for record in CLUSTERS}
    assert set(definitions) == records | {"AtMost", "Pod", "Toleration", "Workers", "AwsHead", "AwsWorkers"}
    for definition in definitions.values():
        assert definition["description"]
        assert all(known["description"] for known in definition["properties"].values())


def test_records_of_every_kind_are_drawn():
    assert set(RECORDS) == set(CLUSTERS)


@pytest.mark.parametrize("kind", RECORDS, ids=name_of)
@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=strategies.data())
def test_a_cluster_that_is_written_as_yaml_is_read_as_the_same(tmp_path, kind, data):
    cluster = data.draw(RECORDS[kind])
    with (tmp_path / "x.yaml").open("w") as file:
        YAML(typ="safe", pure=True).dump(cluster.model_dump(mode="json"), file)
    assert read_cluster(tmp_path / "x.yaml") == cluster
