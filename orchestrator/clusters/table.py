"""The kinds of cluster that a cluster file can name: each is one file, and one line here."""

from orchestrator.clusters.address import Address
from orchestrator.clusters.aws.record import Aws
from orchestrator.clusters.base import Cluster, Local
from orchestrator.clusters.kuberay.record import KubeRay
from orchestrator.clusters.slurm.record import Slurm
from orchestrator.clusters.ssh import Ssh

CLUSTERS: tuple[type[Cluster], ...] = (
    Local,
    Address,
    Ssh,
    Slurm,
    KubeRay,
    Aws,
)
