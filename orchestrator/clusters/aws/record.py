"""The records of kind `aws`: what a user writes of machines of Amazon EC2."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from contextlib import AbstractContextManager
from ipaddress import IPv4Network
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import AfterValidator, Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt

from orchestrator.clusters.aws.prices import PriceList
from orchestrator.clusters.base import InBucket, PathThere, RemoteCluster, Say
from orchestrator.clusters.connection import Node
from orchestrator.clusters.cost import Cost, cost_of
from trainables.common.records import Mistake, Record

if TYPE_CHECKING:
    from orchestrator.clusters.head import Head

LONGEST_HOURS = 24 * 30


def fitting(pattern: str, cure: str) -> AfterValidator:
    """The check that a text fits a pattern, or else what to write."""

    def check(text: str) -> str:
        if not re.fullmatch(pattern, text, re.ASCII):
            raise ValueError(f"'{text}' {cure}")
        return text

    return AfterValidator(check)


def _network(text: str) -> str:
    try:
        IPv4Network(text)
    except ValueError:
        raise ValueError(f"'{text}' is no network. Write it as in 203.0.113.7/32.") from None
    return text


Region = Annotated[str, fitting(r"[a-z]{2}(-[a-z]+)+-\d", "is no region. Write it as in us-west-2.")]
Zone = Annotated[str, fitting("[a-z]", "is no zone. Write its letter alone, as in [a, b].")]
Image = Annotated[str, fitting("ami-[0-9a-f]{8,17}", "is no image. Write its id, as in ami-0123456789abcdef0.")]
Instance = Annotated[
    str, fitting(r"[a-z0-9-]+\.[a-z0-9-]+", "is no instance type. Write it as AWS does, as in g5.2xlarge.")
]
PROFILE = r"[\w+=,.@-]{1,128}|arn:aws[a-z-]*:iam::\d{12}:instance-profile/[\w+=,.@/-]+"
Profile = Annotated[str, fitting(PROFILE, "is no instance profile. Write its name or its ARN.")]
Subnet = Annotated[str, fitting("subnet-[0-9a-f]{8,17}", "is no subnet. Write its id, as in subnet-0123456789abcdef0.")]
UserThere = Annotated[str, fitting("[a-z_][a-z0-9_-]*", "is no user. Write whom the image lets log in, as ubuntu.")]
Command = Annotated[str, fitting(r"[^\n]*\S[^\n]*", "is no command of one line.")]


class Machine(Record):
    """What all machines of EC2 have."""

    instance: Instance
    """The instance type, as g5.2xlarge."""
    profile: Profile
    """Name or ARN of the instance profile: what the machine may do. `cluster check` prints what it needs."""
    disk_gib: Annotated[int, Field(ge=8, le=16384)] = 200
    """Size of its disk, in GiB."""
    usd_per_hour: NonNegativeFloat | None = None
    """What one costs in an hour, in dollars; for spot machines, what you expect at most."""


class AwsHead(Machine):
    """The machine on which the sweep itself runs. It trains nothing, so it needs no GPU."""


class AwsWorkers(Machine):
    """Machines that train, all alike."""

    cpus: PositiveInt
    """CPUs of one that trials may use."""
    gpus: NonNegativeInt = 0
    """GPUs of one that trials may use."""
    spot: bool = False
    """Whether they are spot machines: cheaper, and taken away with a notice of two minutes."""
    at_most: PositiveInt
    """How many of them there are at most."""
    close_together: bool = False
    """Whether they are in one EC2 placement group, for trials over several of them. Needs a single zone."""

    @property
    def name(self) -> str:
        """What Ray calls this row."""
        return f"{self.instance}-{'spot' if self.spot else 'on-demand'}"


class Aws(RemoteCluster):
    """Machines of Amazon EC2. They are started for a sweep, as many as it has use for, and ended after it."""

    kind: Literal["aws"] = "aws"
    """Machines of Amazon EC2."""
    region: Region
    """The region, as us-west-2."""
    zones: Annotated[tuple[Zone, ...], Field(min_length=1)]
    """Letters of the region's zones, in the order in which they are tried for machines."""
    store: InBucket
    """Where sweeps are kept beyond the life of the machines: s3://BUCKET/PREFIX."""
    image: Image
    """The id of the image (AMI) of all machines."""
    python: PathThere
    """The Python of an environment with the packages of vaeorch, in the image or made by `setup`."""
    head: AwsHead
    """The machine on which the sweep itself runs."""
    workers: Annotated[tuple[AwsWorkers, ...], Field(min_length=1)]
    """The machines that train. A row is used once no more machines of the rows before it can be had."""
    at_most: PositiveInt | None = None
    """Workers of all rows together, at most. Default: as many as the rows have in all."""
    idle_minutes: PositiveFloat = 10
    """Minutes without work after which a worker is ended; and without a job, the whole cluster."""
    max_hours: Annotated[float, Field(gt=0, le=LONGEST_HOURS)] = 24
    """Hours after which each machine ends by itself, whatever happens."""
    patience_minutes: PositiveFloat = 10
    """Minutes without any worker, where AWS has none, after which a sweep ends; `resume` goes on with it."""
    user: UserThere = "ubuntu"
    """Whom the image lets log in."""
    setup: tuple[Command, ...] = ()
    """Commands of a shell that each new machine runs before Ray starts there."""
    folder: PathThere = "~/vaeorch-runs"
    """Where the head keeps the folders of sweeps while it lives, if there is no `shared`."""
    ssh_from: Annotated[str, AfterValidator(_network)] | None = None
    """The network that may reach the head by SSH, as 203.0.113.7/32. Default: the address of this machine alone."""
    subnets: tuple[Subnet, ...] = ()
    """Subnets of one VPC for the machines. Default: those of the default VPC in the `zones`."""
    private_addresses: bool = False
    """Whether this machine reaches the head by its private address, as through a VPN."""
    ray: dict[str, Any] = {}
    """Settings of Ray's cluster launcher, as in its own YAML; they overrule what vaeorch writes there."""

    @property
    def workers_at_most(self) -> int:
        """How many workers there are at most."""
        return min(sum(row.at_most for row in self.workers), self.at_most or 10**9)

    def room(self) -> tuple[Node, ...]:
        """As many as there may be, of the first rows."""
        every = [{"cpus": row.cpus, "gpus": row.gpus} for row in self.workers for _ in range(row.at_most)]
        return tuple(every[: self.workers_at_most])

    def patience(self) -> float:
        return self.patience_minutes

    def prices(self) -> dict[str, float | None]:
        """Of each row, by what Ray calls it."""
        from orchestrator.clusters.aws.render import HEAD

        return {HEAD: self.head.usd_per_hour, **{row.name: row.usd_per_hour for row in self.workers}}

    def priced(self) -> Aws:
        """The same, with prices of AWS's for what has none here; as long as AWS tells them."""
        if None not in self.prices().values():
            return self
        known = PriceList(self.region, tuple(f"{self.region}{zone}" for zone in self.zones))
        head = _priced(self.head, known, spot=False)
        return self.model_copy(
            update={"head": head, "workers": tuple(_priced(row, known, row.spot) for row in self.workers)}
        )

    def cost(self) -> Cost:
        """The most it can cost: the head, and as many workers as there may be, of the dearest rows."""
        rows, left, machines = sorted(self.workers, key=lambda row: -(row.usd_per_hour or 0)), self.workers_at_most, []
        for row in rows:
            machines.append((min(row.at_most, left), row.usd_per_hour))
            left -= machines[-1][0]
        return cost_of([(1, self.head.usd_per_hour), *machines], self.max_hours)

    def summary(self) -> list[str]:
        lines = [f"the head: {_told(self.head)}, in {self.region}"]
        for number, row in enumerate(self.workers):
            when = "" if not number else ", where no more of those above can be had"
            kind = "spot" if row.spot else "on demand"
            lines.append(f"up to {row.at_most} workers: {_told(row)}, {kind}, {row.cpus} CPUs, {row.gpus} GPUs{when}")
        if self.workers_at_most < sum(row.at_most for row in self.workers):
            lines.append(f"up to {self.workers_at_most} workers at a time")
        cost = self.cost()
        hours = f"all machines end after {self.max_hours:g} hours"
        if cost.usd_at_most is None:
            return [*lines, f"{hours}; write each usd_per_hour to see what this costs at most"]
        hourly = f"at most {cost.usd_per_hour_at_most:.2f} dollars an hour"
        return [*lines, f"{hourly}; {hours}, so at most {cost.usd_at_most:.2f} dollars in all"]

    def rendered(self) -> str:
        """The file for Ray's cluster launcher; what only AWS knows is in <...>."""
        from orchestrator.clusters.aws.render import as_yaml, offline, render

        return as_yaml(render(self, offline(self)))

    def opened(self, state: Path, out: Path) -> AbstractContextManager[Head]:
        from orchestrator.clusters.aws.reach import opened

        return opened(self, state)

    def up(self, state: Path, say: Say) -> bool:
        from orchestrator.clusters.aws.life import up

        return up(self, state, say)

    def down(self, state: Path) -> list[str]:
        from orchestrator.clusters.aws.life import down

        return down(self, state)

    def down_when_idle(self, state: Path, minutes: float) -> None:
        from orchestrator.clusters.aws.reach import down_when_idle

        down_when_idle(self, state, minutes)

    def check(self, state: Path) -> list[str]:
        from orchestrator.clusters.aws.checking import check

        return check(self)

    def standing(self, state: Path) -> str:
        from orchestrator.clusters.aws.standing import standing

        return standing(state)

    def mistakes(self) -> Iterator[Mistake]:
        """Rows and zones that are written twice, machines that cannot be close together."""
        for zone, times in Counter(self.zones).items():
            if times > 1:
                yield f"zones[{_last(self.zones, zone)}]", f"{zone} is written twice. Remove one."
        names = [row.name for row in self.workers]
        for number, row in enumerate(self.workers):
            place = f"workers[{number}]"
            if row.name in names[:number]:
                yield f"{place}.instance", f"{row.instance} stands here a second time. Give one row a higher at_most."
            if row.close_together and len(self.zones) > 1:
                yield f"{place}.close_together", "machines of two zones are not close together. Write one zone."
        if self.at_most and self.at_most > sum(row.at_most for row in self.workers):
            yield "at_most", f"{self.at_most} is more than the rows of workers have in all. Leave it out."


def _priced(machine: Machine, known: PriceList, spot: bool) -> Machine:
    if machine.usd_per_hour is not None:
        return machine
    return machine.model_copy(update={"usd_per_hour": known.usd_per_hour(machine.instance, spot)})


def _last(values: tuple[str, ...], wanted: str) -> int:
    return max(number for number, value in enumerate(values) if value == wanted)


def _told(machine: Machine) -> str:
    price = "" if machine.usd_per_hour is None else f" ({machine.usd_per_hour:g} dollars an hour)"
    return f"{machine.instance}{price}"
