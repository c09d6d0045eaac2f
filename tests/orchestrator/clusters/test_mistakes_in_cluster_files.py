"""Each mistake in a cluster file is told with its line and its cure."""

import json
import re

import pytest

from orchestrator.clusters.read import read_cluster
from orchestrator.spec.diagnostics import SpecError
from tests.support.cluster_files import ADDRESS, AWS, KUBERAY, SLURM, SSH

KNOWN = "Known: local, address, ssh, slurm, kuberay, aws."
CURE_OF_EMPTY = f"Write {' or '.join(repr(f'kind: {kind}') for kind in KNOWN[7:-1].split(', '))}."
NO_PATH = "is no whole path. Begin it with / or, for a path below the home folder, with ~/."
NO_HOST = "is no host. Write it as you give it to ssh, with letters, digits and . _ : - only, perhaps after USER@."
NO_BUCKET = "is no place in a bucket. Write s3://bucket/prefix."
NO_ADDRESS = "is no address of a Ray. Write auto, or HOST:PORT of its GCS, as in 10.0.0.5:6379."

MISTAKES = [
    ("", f"1: is empty. {CURE_OF_EMPTY}"),
    ("# nothing yet\n", f"1: is empty. {CURE_OF_EMPTY}"),
    ("[gpu1, gpu2]", f"1: must hold a mapping, not [gpu1, gpu2]. {CURE_OF_EMPTY}"),
    ("kind: ssh\nhead: a: b\n", "2: is not YAML: mapping values are not allowed"),
    ("kind: ssh\nkind: local\n", "2: kind: is written twice, first at x.yaml:1. Remove one."),
    ("kind: !ssh x\n", "1: kind: the tag !ssh is not read here, as only plain values are. Remove it."),
    ("kind: shh\nhead: gpu1\n", f"1: kind: unknown kind 'shh'. Did you mean 'ssh'? {KNOWN}"),
    ("\nkind: kubernetes\n", f"2: kind: unknown kind 'kubernetes'. {KNOWN}"),
    ("kind: 3\n", f"1: kind: unknown kind 3. {KNOWN}"),
    ("kind:\n", f"1: kind: unknown kind nothing. {KNOWN}"),
    ("head: gpu1\n", f"1: has no 'kind'. {KNOWN}"),
    ("name: ssh\nhead: gpu1\n", f"1: has no 'kind'. {KNOWN}"),
    ("kind: local\nhead: gpu1\n", "2: head: unknown key. Known: kind."),
    ("kind: local\ncheckpoint_minutes: 10\n", "2: checkpoint_minutes: unknown key. Known: kind."),
    ("kind: local\nrun: {epochs: 3}\n", "2: run: unknown key. Known: kind."),
    (
        SSH + "usr: me\n",
        "5: usr: unknown key. Did you mean 'user'? Known: kind, checkpoint_minutes, shared, store, head",
    ),
    (SSH.replace("head: gpu1\n", ""), "1: head: is missing."),
    (SSH + "store: /mnt/sweeps\n", f"5: store: '/mnt/sweeps' {NO_BUCKET}"),
    (SSH + "store: S3://bucket/sweeps\n", f"5: store: 'S3://bucket/sweeps' {NO_BUCKET}"),
    (SSH + "store: s3://bucket/../x\n", "5: store: s3://bucket/../x: no plain path in a bucket: write s3://bucket/"),
    (SSH.replace("python: ~/venv/bin/python\n", ""), "1: python: is missing."),
    (SSH.replace("gpu1", "17"), "2: head: must be text (in quotes, where it looks like a number), not 17."),
    (SSH.replace("gpu1", "gpu 1"), f"2: head: 'gpu 1' {NO_HOST}"),
    (SSH.replace("gpu1", "''"), f"2: head: '' {NO_HOST}"),
    (SSH.replace("gpu1", "-oProxyCommand"), f"2: head: '-oProxyCommand' {NO_HOST}"),
    (SSH.replace("gpu1", "me@-oProxyCommand"), f"2: head: 'me@-oProxyCommand' {NO_HOST}"),
    (SSH.replace("gpu1", '"gpu1\\n"'), f"2: head: 'gpu1\\n' {NO_HOST}"),
    (SSH.replace("gpu1", "$(reboot)"), f"2: head: '$(reboot)' {NO_HOST}"),
    (
        SSH.replace("gpu1", "gpu1:22"),
        "2: head: 'gpu1:22' has a port in it. Write gpu1 here, and port: 22 for all hosts.",
    ),
    (SSH.replace("[gpu2, gpu3]", "gpu2"), "3: workers: must be a list, not 'gpu2'."),
    (SSH.replace("gpu3", "3"), "3: workers[1]: must be text (in quotes, where it looks like a number), not 3."),
    (SSH.replace("gpu3", "gpu/3"), f"3: workers[1]: 'gpu/3' {NO_HOST}"),
    (SSH.replace("gpu3", "gpu1"), "3: workers[1]: gpu1 is the head. Remove it here: train_on_head says whether"),
    (SSH.replace("gpu3", "me@GPU1"), "3: workers[1]: me@GPU1 is the head. Remove it here: train_on_head says whether"),
    (SSH.replace("gpu3", "gpu2"), "3: workers[1]: gpu2 is named twice, first as workers[0]. Remove one."),
    (SSH.replace("[gpu2, gpu3]", "[]\ntrain_on_head: false"), "4: train_on_head: false leaves no host that trains."),
    (SSH + "train_on_head: yes\n", "5: train_on_head: must be true or false, not 'yes'."),
    (SSH + "user: -l\n", "5: user: '-l' is no user. Write the name with which you log in."),
    (SSH + "user: my self\n", "5: user: 'my self' is no user. Write the name with which you log in."),
    (SSH + "port: 0\n", "5: port: must be at least 1, not 0."),
    (SSH + "port: 65536\n", "5: port: must be at most 65535, not 65536."),
    (SSH + "port: '22'\n", "5: port: must be a whole number, not '22'."),
    (SSH + "cpus: 0\n", "5: cpus: must be above 0, not 0."),
    (SSH + "gpus: -1\n", "5: gpus: must be at least 0, not -1."),
    (SSH + "gpus: 0.5\n", "5: gpus: must be a whole number, not 0.5."),
    (SSH + "checkpoint_minutes: 0\n", "5: checkpoint_minutes: must be above 0, not 0."),
    (SSH + "checkpoint_minutes: .inf\n", "5: checkpoint_minutes: must be a finite number, not inf."),
    (SSH.replace("~/venv", "venv"), f"4: python: 'venv/bin/python' {NO_PATH}"),
    (SSH + "folder: runs\n", f"5: folder: 'runs' {NO_PATH}"),
    (SSH + "folder: ~you/runs\n", f"5: folder: '~you/runs' {NO_PATH}"),
    (SSH + "shared: ''\n", f"5: shared: '' {NO_PATH}"),
    (
        SSH + 'shared: "/a\\nb"\n',
        "5: shared: has a line break or another control character in it. Choose another path.",
    ),
    (SSH + "ray_port: 10002\n", "5: ray_port: 10002 is among 10002-19999, the ports of Ray's own workers."),
    (SSH + "dashboard_port: 19999\n", "5: dashboard_port: 19999 is among 10002-19999, the ports of Ray's own workers."),
    (SSH + "ray_port: 8265\n", "1: dashboard_port: 8265 is the ray_port too. Choose another."),
    (SSH + "dashboard_port: 6379\n", "5: dashboard_port: 6379 is the ray_port too. Choose another."),
    (ADDRESS.replace("10.0.0.5:6379", "10.0.0.5"), f"2: address: '10.0.0.5' {NO_ADDRESS}"),
    (ADDRESS.replace("10.0.0.5:6379", "gpu1:0"), f"2: address: 'gpu1:0' {NO_ADDRESS}"),
    (ADDRESS.replace("10.0.0.5:6379", "gpu1:65536"), f"2: address: 'gpu1:65536' {NO_ADDRESS}"),
    (ADDRESS.replace("10.0.0.5:6379", "ray://gpu1:10001"), f"2: address: 'ray://gpu1:10001' {NO_ADDRESS}"),
    (ADDRESS.replace("nodes: 8, ", ""), "3: at_most.nodes: is missing."),
    (ADDRESS.replace("cpus: 8", "cpu: 8, cpus: 8"), "3: at_most.cpu: unknown key. Did you mean 'cpus'?"),
    (ADDRESS.replace("nodes: 8", "nodes: 0"), "3: at_most.nodes: must be above 0, not 0."),
    (ADDRESS.replace("{nodes: 8, cpus: 8, gpus: 1}", "8"), "3: at_most: must be a mapping, not 8."),
    (ADDRESS + "shared: runs\n", f"4: shared: 'runs' {NO_PATH}"),
    (SLURM.replace("shared: /scratch/me\n", ""), "1: shared: is missing."),
    (SLURM.replace("hours: 12\n", ""), "1: hours: is missing."),
    (SLURM.replace("/scratch/me", "scratch"), f"3: shared: 'scratch' {NO_PATH}"),
    (SLURM.replace("12", "0"), "2: hours: must be above 0, not 0."),
    (
        SLURM.replace("12", "0.05"),
        "2: hours: 0.05 leaves no time, as the sweep ends 120 s before. Write 0.07 at least.",
    ),
    (SLURM + "nodes: 0\n", "4: nodes: must be above 0, not 0."),
    (SLURM + "nodes: two\n", "4: nodes: must be a whole number, not 'two'."),
    (SLURM + "cpus: 0\n", "4: cpus: must be above 0, not 0."),
    (SLURM + "gpus: -1\n", "4: gpus: must be at least 0, not -1."),
    (
        SLURM + "partition: a b\n",
        "4: partition: 'a b' is no name of Slurm's. Write it as `sinfo` or `sacctmgr` show it.",
    ),
    (SLURM + "account: --x\n", "4: account: '--x' is no name of Slurm's. Write it as `sinfo` or `sacctmgr` show it."),
    (SLURM + "python: python3\n", f"4: python: 'python3' {NO_PATH}"),
    (SLURM + 'setup: ["a\\nb"]\n', "4: setup[0]: must be one line of a shell's script. Write each line as an element"),
    (SLURM + "setup: module load cuda\n", "4: setup: must be a list, not 'module load cuda'."),
    (
        SLURM + "options: [mem=64G]\n",
        "4: options[0]: 'mem=64G' is no option of sbatch. Write it as on its command line",
    ),
    (SLURM + "options: [--time=3]\n", "4: options[0]: '--time=3': vaeorch sets --time itself. Use the key `hours`."),
    (SLURM + "options: [-N4]\n", "4: options[0]: '-N4': vaeorch sets --nodes itself. Use the key `nodes`."),
    (SLURM + "options: [--requeue]\n", "4: options[0]: '--requeue': vaeorch sets --requeue itself. Remove it."),
    (SLURM + "checkpoint_minutes: 3\n", "4: checkpoint_minutes: unknown key. Known: kind, shared, nodes, cpus, gpus"),
    (
        KUBERAY.replace("store: s3://bucket/prefix\n", ""),
        "1: store: is missing: the disks of pods vanish with them. Name",
    ),
    (
        KUBERAY.replace("s3://bucket", "gs://bucket"),
        f"4: store: 'gs://bucket/prefix' {NO_BUCKET}",
    ),
    (KUBERAY.replace("namespace: ml\n", ""), "1: namespace: is missing."),
    (
        KUBERAY.replace("ml", "My_Lab"),
        "2: namespace: 'My_Lab' is no name of Kubernetes: lower-case letters, digits and -",
    ),
    (KUBERAY.replace("image: registry.example/vaeorch:1\n", ""), "1: image: is missing."),
    (KUBERAY.replace("registry.example/vaeorch:1", "a b"), "3: image: 'a b' must be one word."),
    (
        KUBERAY.replace("name: gpu", "name: GPU"),
        "5: workers[0].name: 'GPU' cannot name workers: lower-case letters, digits",
    ),
    (KUBERAY.replace("at_most: 8", "at_most: 0"), "5: workers[0].at_most: must be above 0, not 0."),
    (KUBERAY.replace("memory_gib: 32, ", ""), "5: workers[0].memory_gib: is missing."),
    (
        KUBERAY.replace("memory_gib: 32", "memory: 32, memory_gib: 32"),
        "5: workers[0].memory: unknown key. Did you mean",
    ),
    (KUBERAY.replace("gpus: 1", "gpus: 0.5"), "5: workers[0].gpus: must be a whole number, not 0.5."),
    (re.sub("workers: .*", "workers: []", KUBERAY), "5: workers: names none, so no trial could run. Add one."),
    (
        re.sub(
            "workers: .*",
            "workers: [{name: a, cpus: 1, memory_gib: 1, at_most: 1}, {name: a, cpus: 2, memory_gib: 1, at_most: 1}]",
            KUBERAY,
        ),
        "5: workers[1].name: a is named twice, first as workers[0]. Rename one.",
    ),
    (KUBERAY + "max_hours: 0\n", "6: max_hours: must be above 0, not 0."),
    (KUBERAY + "secrets: [MY_KEYS]\n", "6: secrets[0]: 'MY_KEYS' is no name of Kubernetes: lower-case letters, digits"),
    (
        KUBERAY + "service_account: a/b\n",
        "6: service_account: 'a/b' is no name of Kubernetes: lower-case letters, digi",
    ),
    (KUBERAY + "context: ''\n", "6: context: '' must be one word."),
    (KUBERAY + "head: {cpu: 4}\n", "6: head.cpu: unknown key. Did you mean 'cpus'?"),
    (KUBERAY + "shared: /mnt\n", "6: shared: unknown key."),
    (
        KUBERAY.replace("at_most: 8", "at_most: 8, tolerations: [{key: a, effect: No}]"),
        "5: workers[0].tolerations[0].effect: ",
    ),
    (AWS.replace("us-west-2", "us-west"), "2: region: 'us-west' is no region. Write it as in us-west-2."),
    (
        AWS.replace("[a, b]", "[us-west-2a]"),
        "3: zones[0]: 'us-west-2a' is no zone. Write its letter alone",
    ),
    (AWS.replace("[a, b]", "[]"), "3: zones: "),
    (AWS.replace("[a, b]", "[a, b, a]"), "3: zones[2]: a is written twice. Remove one."),
    (AWS.replace("store: s3://bucket/prefix\n", ""), "1: store: is missing."),
    (
        AWS.replace("s3://bucket", "bucket"),
        f"4: store: 'bucket/prefix' {NO_BUCKET}",
    ),
    (AWS.replace("ami-0123456789abcdef0", "ubuntu"), "5: image: 'ubuntu' is no image. Write its id, as in ami-01234"),
    (AWS.replace("m6i.xlarge", "m6i"), "7: head.instance: 'm6i' is no instance type. Write it as AWS does, as in g5.2"),
    (
        AWS.replace("profile: vaeorch-head", "profile: a b"),
        "7: head.profile: 'a b' is no instance profile.",
    ),
    (AWS.replace(", profile: vaeorch-head", ""), "7: head.profile: is missing."),
    (AWS.replace("at_most: 8", "at_most: 0"), "9: workers[0].at_most: must be above 0, not 0."),
    (AWS.replace("spot: true", "spto: true"), "9: workers[0].spto: unknown key. Did you mean 'spot'?"),
    (AWS.replace("gpus: 1, at", "gpus: 1, spot: true, at"), "10: workers[1].instance: g5.2xlarge stands here a second"),
    (AWS.replace("gpus: 1, at", "gpus: 1, close_together: true, at"), "10: workers[1].close_together: machines of two"),
    (AWS + "at_most: 13\n", "11: at_most: 13 is more than the rows of workers have in all. Leave it out."),
    (AWS + "max_hours: 0\n", "11: max_hours: must be above 0, not 0."),
    (AWS + "max_hours: 1000\n", "11: max_hours: must be at most 720, not 1000."),
    (AWS + "idle_minutes: 0\n", "11: idle_minutes: must be above 0, not 0."),
    (AWS + "ssh_from: 1.2.3\n", "11: ssh_from: '1.2.3' is no network. Write it as in 203.0.113.7/32."),
    (AWS + "subnets: [vpc-1]\n", "11: subnets[0]: 'vpc-1' is no subnet. Write its id, as in subnet-0123456789abcdef0."),
    (AWS + "user: 'a b'\n", "11: user: 'a b' is no user. Write whom the image lets log in, as ubuntu."),
    (AWS + "setup: ['a\n\n  b']\n", "11: setup[0]: "),
    (AWS + "ray: 3\n", "11: ray: must be a mapping, not 3."),
    (
        "name: x\nrun: {epochs: 1}\n",
        "2: run: this is the spec of a sweep, not a cluster file. Name a file such as clus",
    ),
    (
        "name: x\nsearch: {}\n",
        "2: search: this is the spec of a sweep, not a cluster file. Name a file such as cluster",
    ),
]
"""(a cluster file, how its only line of error begins)."""


def refused(folder, text):
    file = folder / "x.yaml"
    file.write_text(text)
    with pytest.raises(SpecError) as error:
        read_cluster(file)
    return [line.replace(f"{folder}/", "") for line in error.value.lines]


@pytest.mark.parametrize(("text", "line"), MISTAKES, ids=[line for _, line in MISTAKES])
def test_a_mistake_is_told_in_one_line_with_its_place_and_its_cure(tmp_path, text, line):
    (told,) = refused(tmp_path, text)
    assert told.startswith(f"x.yaml:{line}") and told.isprintable()


def test_all_mistakes_are_told_at_once_in_the_order_of_the_file(tmp_path):
    told = refused(tmp_path, "kind: ssh\npython: /python\nworkers: [a b, gpu2, 3]\nporrt: 22\nfolder: runs\ngpus: -1\n")
    assert [re.match(r"x.yaml:\d: [^:]*", line)[0] for line in told] == [
        "x.yaml:1: head",
        "x.yaml:3: workers[0]",
        "x.yaml:3: workers[2]",
        "x.yaml:4: porrt",
        "x.yaml:5: folder",
        "x.yaml:6: gpus",
    ]


def test_all_values_that_do_not_go_together_are_told_at_once(tmp_path):
    told = refused(tmp_path, SSH.replace("[gpu2, gpu3]", "[gpu1, gpu2, gpu1, gpu2]") + "ray_port: 8265\n")
    assert [re.match(r"x.yaml:\d: [^:]*", line)[0] for line in told] == [
        "x.yaml:1: dashboard_port",
        "x.yaml:3: workers[0]",
        "x.yaml:3: workers[2]",
        "x.yaml:3: workers[3]",
    ]


def test_a_file_that_is_not_there_is_told(tmp_path):
    with pytest.raises(SpecError) as error:
        read_cluster(tmp_path / "x.yaml")
    assert error.value.lines == (f"{tmp_path}/x.yaml: cannot be read: No such file or directory.",)


def test_hosts_are_named_as_ssh_takes_them(tmp_path):
    file = tmp_path / "x.yaml"
    hosts = ("10.0.0.5", "me@gpu-2.lab_a.org", "fe80::1", "::1")
    file.write_text(SSH.replace("[gpu2, gpu3]", json.dumps(hosts)))
    assert read_cluster(file).workers == hosts


@pytest.mark.parametrize("address", ["auto", "127.0.0.1:6379", "gpu-1.lab_a.org:1", "[::1]:65535"])
def test_the_address_of_a_ray_is_auto_or_that_of_its_gcs(tmp_path, address):
    file = tmp_path / "x.yaml"
    file.write_text(f"kind: address\naddress: '{address}'\n")
    assert read_cluster(file).address == address
