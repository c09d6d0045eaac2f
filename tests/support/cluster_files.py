"""Files of clusters, one of each kind, and records as anybody may write them."""

from hypothesis import strategies

from orchestrator.clusters.address import Address
from orchestrator.clusters.aws.record import Aws, AwsHead, AwsWorkers
from orchestrator.clusters.base import AtMost, Local
from orchestrator.clusters.kuberay.record import KubeRay, Pod, Toleration, Workers
from orchestrator.clusters.slurm.record import Slurm
from orchestrator.clusters.ssh import Ssh

SSH = """\
kind: ssh
head: gpu1
workers: [gpu2, gpu3]
python: ~/venv/bin/python
"""
ADDRESS = """\
kind: address
address: 10.0.0.5:6379
at_most: {nodes: 8, cpus: 8, gpus: 1}
"""
SLURM = """\
kind: slurm
hours: 12
shared: /scratch/me
"""
KUBERAY = """\
kind: kuberay
namespace: ml
image: registry.example/vaeorch:1
store: s3://bucket/prefix
workers: [{name: gpu, cpus: 8, memory_gib: 32, gpus: 1, at_most: 8}]
"""

AWS = """\
kind: aws
region: us-west-2
zones: [a, b]
store: s3://bucket/prefix
image: ami-0123456789abcdef0
python: ~/venv/bin/python
head: {instance: m6i.xlarge, profile: vaeorch-head}
workers:
  - {instance: g5.2xlarge, profile: vaeorch-worker, cpus: 8, gpus: 1, spot: true, at_most: 8}
  - {instance: g5.2xlarge, profile: vaeorch-worker, cpus: 8, gpus: 1, at_most: 4}
"""

WORDS = strategies.text("abcXYZ019._-", min_size=1, max_size=8).filter(lambda word: not word.startswith("-"))
PATHS = strategies.builds(
    "{}{}".format, strategies.sampled_from(["/", "~/"]), strategies.text("ab: #'\"\\é{[*&", max_size=8)
)
PATHS = PATHS.filter(str.isprintable)
PORTS = strategies.integers(1, 65535)
RAY_PORTS = PORTS.filter(lambda port: port not in range(10002, 20000))
AMOUNTS = strategies.floats(0, 1e6)
COMMON = {
    "checkpoint_minutes": strategies.floats(1e-6, 1e6),
    "shared": strategies.none() | PATHS,
    "store": strategies.none() | strategies.from_regex(r"s3://[a-z]{3,9}(/[a-z0-9]{1,5}){0,2}", fullmatch=True),
}


@strategies.composite
def ssh(draw):
    """Any cluster of hosts that are all different."""
    head, *workers = draw(strategies.lists(WORDS, min_size=1, max_size=5, unique_by=str.lower))
    ray_port, dashboard_port = draw(strategies.lists(RAY_PORTS, min_size=2, max_size=2, unique=True))
    optional = {
        "user": strategies.none() | WORDS,
        "port": strategies.none() | PORTS,
        "key": strategies.none() | PATHS,
        "cpus": strategies.none() | strategies.integers(1, 512),
        "gpus": strategies.none() | strategies.integers(0, 16),
        "credentials": strategies.none() | PATHS,
        "train_on_head": strategies.booleans() if workers else strategies.just(True),
        "python": PATHS,
        "folder": PATHS,
    }
    values = draw(strategies.fixed_dictionaries(COMMON | optional))
    return Ssh(head=head, workers=tuple(workers), ray_port=ray_port, dashboard_port=dashboard_port, **values)


NAMES = strategies.from_regex("[a-z][a-z0-9]{0,7}", fullmatch=True)
LINES = strategies.lists(strategies.sampled_from(["module load cuda", "set -x"]), max_size=2).map(tuple)
WORKERS = strategies.builds(
    Workers,
    name=NAMES,
    cpus=strategies.integers(1, 64),
    memory_gib=strategies.integers(1, 999),
    gpus=strategies.integers(0, 8),
    at_most=strategies.integers(1, 99),
    node_selector=strategies.dictionaries(NAMES, NAMES, max_size=2),
    tolerations=strategies.lists(
        strategies.builds(Toleration, key=NAMES, value=strategies.none() | NAMES, effect=strategies.none()), max_size=2
    ).map(tuple),
)
PROFILES = strategies.sampled_from(["vaeorch-head", "arn:aws:iam::123456789012:instance-profile/a/b"])
MACHINE = {
    "profile": PROFILES,
    "disk_gib": strategies.integers(8, 16384),
    "usd_per_hour": strategies.none() | AMOUNTS,
}
INSTANCES = strategies.builds("{}{}.{}xlarge".format, strategies.sampled_from("gmp"), *[strategies.integers(1, 9)] * 2)
ROWS = strategies.lists(
    strategies.builds(
        AwsWorkers,
        instance=INSTANCES,
        cpus=strategies.integers(1, 512),
        gpus=strategies.integers(0, 16),
        spot=strategies.booleans(),
        at_most=strategies.integers(1, 99),
        **MACHINE,
    ),
    min_size=1,
    max_size=4,
    unique_by=lambda row: row.name,
)
AWS_RECORDS = strategies.builds(
    Aws,
    region=strategies.sampled_from(["us-west-2", "ap-southeast-1", "us-gov-east-1"]),
    zones=strategies.lists(strategies.sampled_from("abcdef"), min_size=1, unique=True).map(tuple),
    image=strategies.just("ami-0123456789abcdef0"),
    python=PATHS,
    folder=PATHS,
    head=strategies.builds(AwsHead, instance=INSTANCES, **MACHINE),
    workers=ROWS.map(tuple),
    idle_minutes=strategies.floats(0.1, 1e4),
    max_hours=strategies.floats(0.1, 720),
    setup=strategies.lists(strategies.sampled_from(["true", "echo 'a: b' # c"])).map(tuple),
    ray=strategies.sampled_from([{}, {"provider": {"use_internal_ips": True}, "max_workers": 3}]),
    **COMMON | {"store": strategies.sampled_from(["s3://bucket", "s3://a.b-c/one/t_w.o"])},
)

RECORDS = {
    Local: strategies.just(Local()),
    Address: strategies.builds(
        Address,
        address=strategies.just("auto") | strategies.builds("{}:{}".format, WORDS, PORTS),
        at_most=strategies.none()
        | strategies.builds(AtMost, nodes=strategies.integers(1, 99), cpus=AMOUNTS, gpus=AMOUNTS),
        **COMMON,
    ),
    Ssh: ssh(),
    Slurm: strategies.builds(
        Slurm,
        shared=PATHS,
        nodes=strategies.integers(1, 64),
        cpus=strategies.none() | strategies.integers(1, 128),
        gpus=strategies.integers(0, 8),
        hours=strategies.floats(0.1, 720),
        partition=strategies.none() | NAMES,
        account=strategies.none() | NAMES,
        python=strategies.none() | PATHS,
        setup=LINES,
        options=strategies.sampled_from([(), ("--mem=64G", "-C a100")]),
    ),
    KubeRay: strategies.builds(
        KubeRay,
        context=strategies.none() | NAMES,
        namespace=NAMES,
        image=NAMES,
        service_account=strategies.none() | NAMES,
        secrets=strategies.lists(NAMES, max_size=2).map(tuple),
        head=strategies.builds(Pod, cpus=strategies.integers(1, 64), memory_gib=strategies.integers(1, 64)),
        workers=strategies.lists(WORKERS, min_size=1, max_size=3, unique_by=lambda group: group.name).map(tuple),
        store=strategies.just("s3://bucket/prefix"),
        max_hours=strategies.floats(1e-6, 8760),
        checkpoint_minutes=COMMON["checkpoint_minutes"],
    ),
    Aws: AWS_RECORDS,
}
