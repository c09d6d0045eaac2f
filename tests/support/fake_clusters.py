"""A cluster in the place of one that cannot be had here: its jobs do at once what a test says."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from orchestrator.clusters.address import Address
from orchestrator.clusters.cost import Cost
from orchestrator.clusters.head import Head
from orchestrator.clusters.job_server import NoAnswer
from orchestrator.clusters.jobs import Listed, State
from orchestrator.clusters.settings import check_settings
from orchestrator.commands.driver import Job
from orchestrator.storage import layout
from tests.support import ROOT

MADE_BEFORE = ROOT / "tests" / "end_to_end" / "sweeps_made_before" / "whole"


@dataclass
class World:
    """A cluster as a test sees it. `out` is the folder of sweeps on its head."""

    out: Path
    state: State = State("SUCCEEDED", 0, "")
    """How its jobs end."""
    log: tuple[str, ...] = ()
    """What they print."""
    runs: bool = False
    """Whether it is up already."""
    interrupt: bool = False
    """Whether Ctrl-C comes while a job is followed."""
    bill: Cost | None = None
    """What it costs at most."""
    prices: dict[str, float | None] = field(default_factory=dict)
    """Of its groups of nodes, by the hour."""
    drive: Callable[[Job], None] = lambda job: None
    """What a job's driver does."""
    away: bool = False
    """Whether its head does not answer."""
    unreachable: bool = False
    """Whether a connection that was lost cannot be opened again."""
    lost: bool = False
    """Whether its head is gone for good."""
    store: str | None = None
    did: list[str] = field(default_factory=list)
    """What was done to the cluster."""
    jobs: dict[str, Job] = field(default_factory=dict)
    specs: list[str] = field(default_factory=list)
    """The texts of the specs that were sent."""

    @property
    def head(self) -> Head:
        settings = {"VAEORCH_A": "b"}
        how = {"remote": FakeRemote(), "settings": settings, "lost": lambda: self.lost}
        return Head(FakeJobs(self), str(self.out), "~/venv/bin/python", self.reopen, **how)

    def reopen(self) -> str:
        if self.unreachable:
            raise NoAnswer("http://far: does not answer.")
        return ""

    def cluster(self) -> Address:
        return FakeCluster.model_construct(world=self, store=self.store)


class FakeCluster(Address):
    """A record of a cluster file. `world` is what it leads to."""

    world: World

    @property
    def is_ours(self) -> bool:
        return True

    def cost(self) -> Cost | None:
        return self.world.bill

    def prices(self) -> dict[str, float | None]:
        return self.world.prices

    def up(self, state, say) -> bool:
        self.world.did.append("up")
        return not self.world.runs

    def down(self, state) -> list[str]:
        self.world.did.append("down")
        return []

    def down_when_idle(self, state, minutes) -> None:
        self.world.did.append(f"down after {minutes:g}")

    @contextmanager
    def opened(self, state, out) -> Iterator[Head]:
        if self.world.away:
            raise NoAnswer("http://far: does not answer.")
        yield self.world.head


@dataclass
class FakeRemote:
    """Its disk is a folder of this machine."""

    def push(self, folder: Path, there: str) -> None:
        shutil.copytree(folder, there, dirs_exist_ok=True)

    def pull(self, there: str, folder: Path, left_out: tuple[str, ...]) -> None:
        names = [pattern.lstrip("/") for pattern in left_out]
        if Path(there).is_dir():
            shutil.copytree(there, folder, ignore=shutil.ignore_patterns(*names), dirs_exist_ok=True)


@dataclass
class FakeJobs:
    """In the place of `clusters.jobs.Jobs`."""

    world: World

    def submit(self, job_id, entrypoint, working_dir, env, resources=None) -> None:
        check_settings(env)
        assert (working_dir / "orchestrator" / "__init__.py").is_file()
        place = self.world.out / layout.JOBS / job_id
        assert entrypoint == f"exec ~/venv/bin/python -m orchestrator driver {place / layout.CONFIG}"
        job = self.world.jobs[job_id] = Job.read(place / layout.CONFIG)
        self.world.specs += [Path(job.spec).read_text()] if job.spec else []
        self.world.did.append("submit")
        self.world.drive(job)

    def follow(self, job_id, reopen) -> Iterator[str]:
        assert job_id in self.world.jobs
        self.world.did.append("follow")
        yield from self.world.log
        if self.world.interrupt:
            raise KeyboardInterrupt

    def list(self) -> list[Listed]:
        return [Listed(job_id, "", self.world.state, None, None) for job_id in self.world.jobs]

    def logs(self, job_id) -> str:
        return "".join(f"{line}\n" for line in self.world.log)

    def status(self, job_id) -> State:
        return self.world.state

    def stop(self, job_id) -> State:
        self.world.did.append("stop")
        return State("STOPPED", 143, "")


def a_sweep(job: Job) -> None:
    """What the driver of a sweep leaves."""
    to = f"{job.out}/{job.target}"
    shutil.copytree(MADE_BEFORE, to, ignore=shutil.ignore_patterns("spool"), dirs_exist_ok=True)
