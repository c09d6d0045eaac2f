"""The kind `ssh`: hosts that are reached by SSH, on which vaeorch starts a Ray."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import AfterValidator, Field, NonNegativeInt, PositiveInt

from orchestrator.clusters.base import PathThere, RemoteCluster, Say
from orchestrator.clusters.connection import Node
from orchestrator.errors import UserError
from trainables.common.records import Mistake

if TYPE_CHECKING:
    from orchestrator.clusters.head import Head

HOST = re.compile(r"([A-Za-z0-9._][A-Za-z0-9._-]*@)?[A-Za-z0-9._:][A-Za-z0-9._:-]*")
USER = re.compile(r"[^\s-]\S*")
WORKER_PORTS = range(10002, 20000)  # Ray's worker processes listen on these


def _host(name: str) -> str:
    if not HOST.fullmatch(name):
        what = f"'{name}' is no host. Write it as you give it to ssh, with letters, digits and . _ : - only"
        raise ValueError(f"{what}, perhaps after USER@.")
    if re.fullmatch("[^:]+:[0-9]+", name):  # an IPv6 address has two colons or more
        host, _, port = name.partition(":")
        raise ValueError(f"'{name}' has a port in it. Write {host} here, and port: {port} for all hosts.")
    return name


def _user(name: str) -> str:
    if not USER.fullmatch(name):
        raise ValueError(f"'{name}' is no user. Write the name with which you log in.")
    return name


def _free_of_workers(port: int) -> int:
    if port in WORKER_PORTS:
        raise ValueError(f"{port} is among 10002-19999, the ports of Ray's own workers. Choose another.")
    return port


Host = Annotated[str, AfterValidator(_host)]
Port = Annotated[int, Field(ge=1, le=65535)]
RayPort = Annotated[Port, AfterValidator(_free_of_workers)]


class Ssh(RemoteCluster):
    """Hosts that are reached by SSH. A Ray is started on them for a sweep, and ended after it."""

    kind: Literal["ssh"] = "ssh"
    """Hosts that are reached by SSH."""
    head: Host
    """The host on which the sweep itself runs, as you give it to ssh: a name, an address, a Host of ~/.ssh/config."""
    workers: tuple[Host, ...] = ()
    """The other hosts that train. The head must reach them, and they it, without ssh."""
    user: Annotated[str, AfterValidator(_user)] | None = None
    """Whom to log in as, on every host. Default: as ssh chooses."""
    port: Port | None = None
    """Port of the SSH servers. Default: as ssh chooses."""
    key: str | None = None
    """File of the private key, on this machine. Default: as ssh chooses."""
    python: PathThere
    """The Python of an environment with the packages of vaeorch, the same path on every host: ~/venv/bin/python."""
    cpus: PositiveInt | None = None
    """CPUs of each host that trials may use. Default: all that Ray finds there."""
    gpus: NonNegativeInt | None = None
    """GPUs of each host that trials may use. Default: all that Ray finds there."""
    train_on_head: bool = True
    """Whether trials run on the head too."""
    credentials: str | None = None
    """A file on this machine, as ~/.aws/credentials, for trials that read a bucket. Each host gets a copy, mode 600."""
    folder: PathThere = "~/vaeorch-runs"
    """Where the head keeps the folders of sweeps, if there is no `shared`."""
    ray_port: RayPort = 6379
    """Port of Ray's GCS on the head."""
    dashboard_port: RayPort = 8265
    """Port of Ray's dashboard on the head, where it listens on loopback only."""

    def room(self) -> tuple[Node, ...]:
        if self.cpus is None or self.gpus is None:
            return ()
        hosts = len(self.workers) + self.train_on_head
        return ({"cpus": self.cpus, "gpus": self.gpus},) * hosts

    def opened(self, state: Path, out: Path) -> AbstractContextManager[Head]:
        from orchestrator.clusters.ssh_head import opened

        return opened(self, state)

    def up(self, state: Path, say: Say) -> bool:
        from orchestrator.clusters.ray_on_hosts import up

        return up(self, state, say)

    def down(self, state: Path) -> list[str]:
        from orchestrator.clusters.ray_on_hosts import down

        return [str(problem) for problem in down(self, state)]

    def down_when_idle(self, state: Path, minutes: float) -> None:
        from orchestrator.clusters.ray_on_hosts import down_when_idle

        down_when_idle(self, state, minutes)

    def check(self, state: Path) -> list[str]:
        from orchestrator.clusters.ray_on_hosts import Hosts

        facts = Hosts(self, state).check()
        return [
            f"{host}: Python {fact['python']}, Ray {fact['ray']}, at {fact['address']}" for host, fact in facts.items()
        ]

    def standing(self, state: Path) -> str:
        from orchestrator.clusters.ray_on_hosts import running

        known = running(self, state)
        unsure = [host for host, answer in known.items() if isinstance(answer, UserError)]
        up = sum(answer is True for answer in known.values())
        return f"{up} of {len(known)} hosts up" + (f", no answer of {', '.join(unsure)}" if unsure else "")

    def summary(self) -> list[str]:
        hosts = [f"{self.head} (the head)", *self.workers]
        return [f"Ray is started on {len(hosts)} hosts: {', '.join(hosts)}"]

    def rendered(self) -> str:
        """The command that starts Ray on each host."""
        from orchestrator.clusters.ray_on_hosts import commands

        return commands(self)

    def mistakes(self) -> Iterator[Mistake]:
        """Hosts that are named twice, a head that leaves nobody to train, ports that are the same."""
        seen = {_name_of(self.head): "head"}
        for number, worker in enumerate(self.workers):
            place = f"workers[{number}]"
            first = seen.setdefault(_name_of(worker), place)
            if first == "head":
                yield place, f"{worker} is the head. Remove it here: train_on_head says whether trials run there too."
            elif first != place:
                yield place, f"{worker} is named twice, first as {first}. Remove one."
        if not (self.workers or self.train_on_head):
            yield "train_on_head", "false leaves no host that trains. Name workers, or write true."
        if self.ray_port == self.dashboard_port:
            yield "dashboard_port", f"{self.dashboard_port} is the ray_port too. Choose another."


def _name_of(host: str) -> str:
    """The name of a host, without the user, as two spellings of it have in common."""
    return host.rpartition("@")[2].lower()
